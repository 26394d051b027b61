"""Computations of fixed shape that a CUDA device captures once as a graph and replays without Python.

A few tokens after a long context are computed in steps of 1, 4, 8, 16 or 32 over a fixed span of the cache. Cache slots
that are not filled yet are masked and positions are tensors, so one graph serves every step of its size. Each image
size has a graph of its own. On other devices nothing is captured and the same functions are called, so that they can be
tested there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from model.nn.fused_decoder import FusedDecoder, signed
from model.nn.kv_cache import KVCache
from model.nn.rope import text_rotary
from model.nn.vision_encoder import VisionEncoder

SIZES = (1, 4, 8, 16, 32)
SPAN = 1024  # the attended part of the cache is a multiple of this
MAX_IMAGE_SIZES = 4  # whose graphs are kept


def capture(run: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Return a function that repeats `run` on the same tensors each time it is called."""
    if device.type != "cuda":
        return run
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # warm up: lazy initialization must not be captured
        run()
        run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


class DecodeGraphs:
    """Decodes a few tokens at a time after a cached context, batch 1; a graph is valid until the cache moves."""

    def __init__(self, fused: FusedDecoder, cache: KVCache) -> None:
        self.fused, self.cache = fused, cache
        self._graphs: dict[tuple[int, int], _Step] = {}
        self._cache_address: int | None = None

    def __call__(self, ids: Sequence[int] | Tensor, position: int) -> Tensor | None:
        """Return the last id's hidden state [1, C], or None when there are too many ids or too little room for a step.

        Args:
            ids: Token ids, or a tensor [1] with an id that is on the device only.
            position: Position of the first id.
        """
        size = next((size for size in SIZES if len(ids) <= size), None)
        cache = self.cache
        if size is None or not cache.length or (cache.limit and cache.length + size > cache.limit):
            return None
        cache_address = cache.reserve(size)
        if cache_address != self._cache_address:
            self._graphs, self._cache_address = {}, cache_address
        span = min(-(-(cache.length + size) // SPAN) * SPAN, cache.capacity)
        step = self._graphs.get((size, span))
        if step is None:
            step = self._graphs[size, span] = _Step(self.fused, cache, size, span)
        hidden = step(ids, position, cache.length)
        cache.length += len(ids)
        return hidden


class _Step:
    """The graph of one step size and cache span, with its input and output tensors."""

    def __init__(self, fused: FusedDecoder, cache: KVCache, size: int, span: int) -> None:
        self.fused, self.cache, self.size, self.span = fused, cache, size, span
        weight = fused.decoder.norm.weight
        options: dict[str, Any] = {"device": weight.device, "dtype": torch.long}
        self.ids, self.positions = torch.zeros(size, **options), torch.zeros(3, 1, size, **options)
        self.slots = torch.zeros(size, **options)  # of the cache that the new keys and values go to
        self.out = torch.empty(size, len(weight), device=weight.device, dtype=weight.dtype)
        self._slot_index, self._token_index = (torch.arange(count, device=weight.device) for count in (span, size))
        self._replay: Callable[[], None] | None = None

    def __call__(self, ids: Sequence[int] | Tensor, position: int, start: int) -> Tensor:
        count = len(ids)
        if not isinstance(ids, Tensor):
            padded = [*ids, *[ids[-1]] * (self.size - len(ids))]  # the next step overwrites the padding
            ids = torch.tensor(padded, pin_memory=self.ids.is_cuda)
        self.ids.copy_(ids, non_blocking=True)
        self.positions.copy_((self._token_index + position).expand(3, 1, -1))
        self.slots.copy_(self._token_index + start)
        if self._replay is None:
            self._replay = capture(self._run, self.ids.device)
        self._replay()
        return self.out[count - 1 : count].clone()

    def _run(self) -> None:
        config = self.fused.config
        embeddings = self.fused.decoder.embed_tokens(self.ids)
        cos, sin = text_rotary(config, self.positions, embeddings.dtype)
        group = self.fused.heads // self.fused.kv_heads
        mask = (self._slot_index <= self.slots[:, None]).repeat(group, 1)  # [group * S, span]

        def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            full_layer = self.cache.full_layer(index)
            for tensor, new in zip(full_layer, (k, v), strict=True):
                tensor.index_copy_(2, self.slots, new.transpose(0, 1)[None])
            keys, values = (tensor[:, :, : self.span] for tensor in full_layer)
            queries = q.reshape(self.size, self.fused.kv_heads, group, -1).permute(1, 2, 0, 3).flatten(1, 2)[None]
            out = F.scaled_dot_product_attention(queries, keys, values, mask)  # [1, kv heads, group * S, D]
            return out[0].unflatten(1, (group, self.size)).permute(2, 0, 1, 3).flatten(1, 2)

        self.out.copy_(self.fused.run(embeddings, cos[0][:, None], signed(sin[0])[:, None], attend))


class VisionGraphs:
    """The vision encoder, with a graph for each of the last image sizes; record=False calls it directly."""

    def __init__(self, visual: VisionEncoder, record: bool = False) -> None:
        self.visual, self.record = visual, record
        self._graphs: OrderedDict[tuple[object, ...], tuple[Tensor, list[Tensor], Callable[[], None]]] = OrderedDict()

    @torch.inference_mode()
    def __call__(self, patches: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """Return embeddings [N / 4, C] of one image's patches [N, 588 or 1176]."""
        if not self.record:
            return self.visual(patches, [grid])
        weight = next(self.visual.parameters())
        key = (grid, patches.shape, weight.data_ptr(), weight.dtype)
        if key not in self._graphs:
            graph_input, out = patches.clone(), list[Tensor]()

            def run() -> None:
                out[:] = [self.visual(graph_input, [grid])]

            self._graphs[key] = graph_input, out, capture(run, patches.device)
            while len(self._graphs) > MAX_IMAGE_SIZES:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(key)
        graph_input, out, replay = self._graphs[key]
        graph_input.copy_(patches)
        replay()
        return out[0].clone()
