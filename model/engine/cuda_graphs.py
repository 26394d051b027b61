"""Work of fixed shape, which a CUDA device records once and repeats without Python. Knows tensors; knows no words.

A few tokens behind a long context are computed in steps of 1, 4, 8, 16 or 32 over a fixed span of the cache: what is
not there yet is masked, and where things lie stands in tensors, so that one recording serves every step of its size. A
picture's size has a recording of its own. On other devices nothing is recorded and the same functions are called, so
they can be tested there.
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
from model.nn.rope import text_cos_sin
from model.nn.vision_encoder import VisionEncoder

SIZES = (1, 4, 8, 16, 32)
SPAN = 1024  # the part of the cache that is looked at grows in these
KEPT = 4  # picture sizes


def capture(run: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """A function that does what run does, with the same tensors, each time it is called."""
    if device.type != "cuda":
        return run
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # what is prepared at a first call must not be recorded
        run()
        run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


class DecodeGraphs:
    """A few tokens at a time behind what a cache holds, batch 1. A recording holds while the cache's room does."""

    def __init__(self, fused: FusedDecoder, cache: KVCache) -> None:
        self.fused, self.cache = fused, cache
        self._made: dict[tuple[int, int], _Step] = {}
        self._room: int | None = None

    def __call__(self, ids: Sequence[int] | Tensor, position: int) -> Tensor | None:
        """The last id's hidden state [1, C]; None where they are too many, or no whole step has room.

        ids: a tensor [1] where the device alone knows the one id.
        """
        size = next((one for one in SIZES if len(ids) <= one), None)
        cache = self.cache
        if size is None or not cache.length or (cache.limit and cache.length + size > cache.limit):
            return None
        room = cache.reserve(size)
        if room != self._room:
            self._made, self._room = {}, room
        span = min(-(-(cache.length + size) // SPAN) * SPAN, cache.capacity)
        step = self._made.get((size, span))
        if step is None:
            step = self._made[size, span] = _Step(self.fused, cache, size, span)
        hidden = step(ids, position, cache.length)
        cache.length += len(ids)
        return hidden


class _Step:
    def __init__(self, fused: FusedDecoder, cache: KVCache, size: int, span: int) -> None:
        self.fused, self.cache, self.size, self.span = fused, cache, size, span
        weight = fused.decoder.norm.weight
        place: dict[str, Any] = {"device": weight.device, "dtype": torch.long}
        self.ids, self.positions = torch.zeros(size, **place), torch.zeros(3, 1, size, **place)
        self.places = torch.zeros(size, **place)  # of the cache
        self.out = torch.empty(size, len(weight), device=weight.device, dtype=weight.dtype)
        self._seen, self._counted = (torch.arange(count, device=weight.device) for count in (span, size))
        self._replay: Callable[[], None] | None = None

    def __call__(self, ids: Sequence[int] | Tensor, position: int, start: int) -> Tensor:
        count = len(ids)
        if not isinstance(ids, Tensor):
            padded = [*ids, *[ids[-1]] * (self.size - len(ids))]  # what is too much is overwritten by the next step
            ids = torch.tensor(padded, pin_memory=self.ids.is_cuda)
        self.ids.copy_(ids, non_blocking=True)
        self.positions.copy_((self._counted + position).expand(3, 1, -1))
        self.places.copy_(self._counted + start)
        if self._replay is None:
            self._replay = capture(self._run, self.ids.device)
        self._replay()
        return self.out[count - 1 : count].clone()

    def _run(self) -> None:
        config = self.fused.config
        embeddings = self.fused.decoder.embed_tokens(self.ids)
        cos, sin = text_cos_sin(
            self.positions, config.head_dim, config.mrope_section, config.rope_theta, embeddings.dtype
        )
        group = self.fused.heads // self.fused.kv_heads
        mask = (self._seen <= self.places[:, None]).repeat(group, 1)  # [group * S, span]

        def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            held = self.cache.full_layer(index)
            for part, new in zip(held, (k, v), strict=True):
                part.index_copy_(2, self.places, new.transpose(0, 1)[None])
            keys, values = (part[:, :, : self.span] for part in held)
            rows = q.reshape(self.size, self.fused.kv_heads, group, -1).permute(1, 2, 0, 3).flatten(1, 2)[None]
            out = F.scaled_dot_product_attention(rows, keys, values, mask)  # [1, kv heads, group * S, D]
            return out[0].unflatten(1, (group, self.size)).permute(2, 0, 1, 3).flatten(1, 2)

        self.out.copy_(self.fused.run(embeddings, cos[0][:, None], signed(sin[0])[:, None], attend))


class Encoder:
    """The picture encoder, by a recording for each of the last KEPT sizes; record False calls it as it is."""

    def __init__(self, visual: VisionEncoder, record: bool = False) -> None:
        self.visual, self.record = visual, record
        self._made: OrderedDict[tuple[object, ...], tuple[Tensor, list[Tensor], Callable[[], None]]] = OrderedDict()

    @torch.inference_mode()
    def __call__(self, patches: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """patches [N, 588 or 1176] of one picture -> [N / 4, C]."""
        if not self.record:
            return self.visual(patches, [grid])
        weight = next(self.visual.parameters())
        key = (grid, patches.shape, weight.data_ptr(), weight.dtype)
        if key not in self._made:
            given, out = patches.clone(), list[Tensor]()

            def run() -> None:
                out[:] = [self.visual(given, [grid])]

            self._made[key] = given, out, capture(run, patches.device)
            while len(self._made) > KEPT:
                self._made.popitem(last=False)
        self._made.move_to_end(key)
        given, out, replay = self._made[key]
        given.copy_(patches)
        replay()
        return out[0].clone()
