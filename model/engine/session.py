"""A context with a key-value cache, of which the next prompt reuses the longest common prefix.

A context is a sequence of text and image segments. The prefix that equals the cached context is kept, token by token in
texts and whole images only; the rest is embedded and computed at positions that follow from the segments. Images are
compared by key only: callers must derive the key from the pixels.

The states of recurrent layers cannot be cut back. Snapshots of them are kept where segments end and before the last
token of a prompt, and a prefix is reused up to the last of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from actions import UsageError
from model.engine.cuda_graphs import DecodeGraphs
from model.engine.memory_errors import ContextLengthError
from model.engine.state_snapshots import StateSnapshots
from model.nn.config import NO_TOKEN
from model.nn.fused_decoder import FusedDecoder, fused
from model.nn.kv_cache import CacheSnapshot, KVCache
from model.nn.qwen25vl import Qwen25VL
from model.nn.rope import image_position_span, vision_positions

CHUNK = 4096  # tokens per pass: bounds the memory of a long prompt's activations


@dataclass(frozen=True)
class TextSegment:
    """Token ids of text."""

    ids: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens of the segment."""
        return len(self.ids)


@dataclass(frozen=True)
class ImageSegment:
    """An image or a video in a context."""

    key: str  # equal keys mean equal embeddings
    grid: tuple[int, int, int]  # (t, h, w) in patches, t = 1 for an image
    length: int  # tokens: merged patches
    time_step: float = 0.0  # time positions per temporal patch of a video; 0 for an image

    @property
    def is_video(self) -> bool:
        """Whether it is a video."""
        return self.time_step > 0


Segment = TextSegment | ImageSegment


def split_segments(
    input_ids: Sequence[int], placeholder: int, images: Sequence[ImageSegment], video_placeholder: int = NO_TOKEN
) -> list[Segment]:
    """Return the segments of a prompt.

    Args:
        input_ids: Token ids with a run of placeholders for each image and video.
        placeholder: Id of the placeholder of images.
        images: The images and videos in their order.
        video_placeholder: Id of the placeholder of videos.

    Raises:
        UsageError: The placeholders do not fit the images.
    """
    result: list[Segment] = []
    queue, text, index = list(images), list[int](), 0
    while index < len(input_ids):
        if input_ids[index] not in (placeholder, video_placeholder):
            text.append(input_ids[index])
            index += 1
            continue
        end = index + (queue[0].length if queue else 1)
        expected = video_placeholder if queue and queue[0].is_video else placeholder
        if not queue or any(token != expected for token in input_ids[index:end]) or end > len(input_ids):
            raise UsageError(f"the prompt's placeholders do not fit its {len(images)} images; each needs one run")
        if text:
            result.append(TextSegment(tuple(text)))
            text = []
        result.append(queue.pop(0))
        index = end
    if queue:
        raise UsageError(f"the prompt has no placeholders for {len(queue)} of its {len(images)} images")
    return [*result, TextSegment(tuple(text))] if text else result


def common_prefix_length(cached: Sequence[Segment], context: Sequence[Segment]) -> int:
    """Return the number of tokens that both contexts begin with; an image counts whole or not at all."""
    count = 0
    for old, new in zip(cached, context, strict=False):
        if old == new:
            count += new.length
            continue
        if isinstance(old, TextSegment) and isinstance(new, TextSegment):
            pairs = zip(old.ids, new.ids, strict=False)
            count += next((n for n, (a, b) in enumerate(pairs) if a != b), min(old.length, new.length))
        break
    return count


class PrefixCachedSession:
    """One context and its cache, batch 1.

    When the weights change their dtype or device, the next prefill starts from scratch; after a change of their values
    the caller must call `reset`.

    Args:
        model: The network.
        budget_tokens: Longest context, which also limits the cache; 0 for all positions of the model.
        chunk: Tokens per pass in `prefill`.
        fuse: Use the fused decoder (`model.nn.fused_decoder`).
        graphs: Decode with steps of fixed shape (`model.engine.cuda_graphs`); needs `fuse`.

    Attributes:
        reused: Tokens of the last prefill that were in the cache.
        computed: Tokens of the last prefill that were not.

    Raises:
        UsageError: `graphs` is set and the network has experts or recurrent layers.
    """

    def __init__(
        self,
        model: Qwen25VL,
        budget_tokens: int = 0,
        chunk: int = CHUNK,
        fuse: bool = True,
        graphs: bool = False,
    ) -> None:
        if graphs and model.config.text.num_experts:
            raise UsageError(
                f"CUDA graphs cannot be used with {model.config.name}: which experts compute a token is read on the "
                'host. Remove --graphs, or "graphs" from pixelhand.json.'
            )
        if graphs and model.config.text.delta:
            raise UsageError(
                f"CUDA graphs cannot be used with {model.config.name}: the states of its recurrent layers are new "
                'tensors at each token. Remove --graphs, or "graphs" from pixelhand.json.'
            )
        self.model, self.chunk, self.fuse, self.graphs = model, chunk, fuse, graphs
        self._fused: FusedDecoder | None = None
        self._graphs: DecodeGraphs | None = None
        self.budget_tokens = budget_tokens or model.config.text.max_position_embeddings
        self.reused = self.computed = 0
        self.reset()

    def reset(self) -> None:
        """Drop the context and free the cache."""
        self._cached_segments: list[Segment] = []
        self._next_position = 0
        self._weights_key = (self.model.dtype, self.model.device)
        self._cache = KVCache(self.model.config.text.num_hidden_layers, limit=self.budget_tokens)
        self._snapshots = StateSnapshots()
        self._before_speculation: CacheSnapshot | None = None

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        return self._cache.length

    @property
    def bytes(self) -> int:
        """Memory of the cache and of the snapshots of its states."""
        return self._cache.bytes + self._snapshots.bytes

    def reusable_tokens(self, context: Sequence[Segment]) -> int:
        """Return the tokens of a context that `prefill` would reuse; never the last one, whose logits are needed."""
        if self._weights_key != (self.model.dtype, self.model.device):
            return 0
        total = sum(segment.length for segment in context)
        count = min(common_prefix_length(self._cached_segments, context), total - 1)
        for segment, start in _with_starts(context):
            if isinstance(segment, ImageSegment) and start < count < start + segment.length:
                count = start
        if self._is_recurrent and count != self._cache.length:
            snapshot = self._snapshots.longest(count)
            return snapshot.length if snapshot else 0
        return count

    def missing_images(self, context: Sequence[Segment]) -> list[ImageSegment]:
        """Return the images that `prefill` would encode."""
        reused = self.reusable_tokens(context)
        return [
            segment for segment, start in _with_starts(context) if isinstance(segment, ImageSegment) and start >= reused
        ]

    @torch.inference_mode()
    def prefill(self, context: Sequence[Segment], encode: Callable[[ImageSegment], Tensor]) -> Tensor:
        """Make `context` the cached context, and return the last token's hidden state [1, C].

        Args:
            context: Segments of the prompt.
            encode: Returns the embeddings [length, C] of an image, or wider ones with DeepStack features; called for
                images that are not in the cache.

        Raises:
            UsageError: The context is empty.
            ContextLengthError: The context exceeds the budget; the cache is unchanged.
        """
        total = sum(segment.length for segment in context)
        self._check_budget(total)
        if total == 0:
            raise UsageError("the prompt is empty; pass at least one token")
        if self._weights_key != (self.model.dtype, self.model.device):
            self.reset()
        self._fused = fused(self.model.model) if self.fuse else None  # once per prompt: it costs as much as a token
        reused = self.reusable_tokens(context)
        self._cut_back(reused)
        self._cached_segments, self._next_position = [], 0  # stays so if the computation below fails
        parts: list[Tensor] = []
        positions: list[Tensor] = []
        position = 0
        merge, flat = self.model.config.vision.spatial_merge_size, self.model.config.text.flat_rope
        for segment, start in _with_starts(context):
            skip = min(max(reused - start, 0), segment.length)
            if isinstance(segment, TextSegment):
                if skip < segment.length:
                    parts.append(self._embed(segment.ids[skip:]))
                    positions.append((torch.arange(skip, segment.length) + position).expand(3, -1))
                position += segment.length
            else:
                if not skip:
                    embeddings = encode(segment)
                    if len(embeddings) != segment.length:
                        raise ValueError(f"an image of {segment.length} tokens has {len(embeddings)} embeddings")
                    parts.append(embeddings.to(self._weights_key[1], self._weights_key[0]))
                    positions.append(vision_positions(segment.grid, merge, segment.time_step, flat) + position)
                position += self._position_span(segment)
        width = max(part.shape[1] for part in parts)  # text has no DeepStack features
        hidden = self._forward(
            torch.cat([F.pad(part, (0, width - part.shape[1])) for part in parts]),
            torch.cat(positions, dim=1),
            self._borders(context, reused) if self._is_recurrent else (),
        )
        self._cached_segments, self._next_position = _merge_texts(context), position
        self.reused, self.computed = reused, total - reused
        return hidden

    @torch.inference_mode()
    def append(self, ids: Sequence[int]) -> Tensor:
        """Append text ids in one pass, and return the last one's hidden state [1, C].

        Raises:
            ContextLengthError: The context would exceed the budget.
        """
        self._check_budget(self.length + len(ids))
        position = self._next_position
        segments, self._cached_segments = self._cached_segments, []
        hidden = self._graph_step(ids, position) if self.graphs else None
        if hidden is None:
            hidden = self._forward(self._embed(ids), (torch.arange(len(ids)) + position).expand(3, -1))
        self._cached_segments = _merge_texts([*segments, TextSegment(tuple(ids))])
        self._next_position = position + len(ids)
        return hidden

    @torch.inference_mode()
    def append_speculative(self, token: Tensor) -> Tensor:
        """Append one id [1] that is on the device only, and return its hidden state [1, C]; `commit` must follow."""
        self._check_budget(self.length + 1)
        self._before_speculation = self._cache.snapshot()
        segments, self._cached_segments = self._cached_segments, []  # stays so if the computation below fails
        hidden = self._graph_step(token, self._next_position) if self.graphs else None
        if hidden is None:
            position = torch.full((3, 1), self._next_position, device=self._weights_key[1])
            hidden = self._forward(self.model.model.embed_tokens(token), position)
        self._cached_segments = segments
        return hidden

    def commit(self, token: int | None) -> None:
        """Confirm the speculative token, or roll it back with None."""
        snapshot, self._before_speculation = self._before_speculation, None
        if token is None:
            assert snapshot is not None
            self._cache.restore(snapshot)
            return
        self._cached_segments = _merge_texts([*self._cached_segments, TextSegment((token,))])
        self._next_position += 1

    @property
    def _is_recurrent(self) -> bool:
        """Whether the network has layers whose states cannot be cut back."""
        return self.model.config.text.delta is not None

    def _cut_back(self, length: int) -> None:
        """Drop all but the first `length` tokens, which `reusable_tokens` has returned."""
        if self._is_recurrent and length != self._cache.length and length:
            snapshot = self._snapshots.longest(length)
            assert snapshot is not None
            self._cache.restore(snapshot)
        else:
            self._cache.truncate(length)
        self._snapshots.drop_after(length)
        if self._is_recurrent and length:
            self._snapshots.add(self._cache.snapshot())

    def _borders(self, context: Sequence[Segment], reused: int) -> list[int]:
        """Return where to keep snapshots, as numbers of tokens after the reused ones.

        They are the ends of segments, every `chunk` tokens of a text, and the place before the last token, from which
        an equal prompt is continued.
        """
        total = sum(segment.length for segment in context)
        ends = {total - 1}
        for segment, start in _with_starts(context):
            ends.add(start + segment.length)
            if isinstance(segment, TextSegment):
                ends.update(range(start + self.chunk, start + segment.length, self.chunk))
        return sorted(end - reused for end in ends if reused < end < total)

    def _position_span(self, segment: ImageSegment) -> int:
        """Return the distance from the first position of an image or video to that of the text after it."""
        merge, is_flat = self.model.config.vision.spatial_merge_size, self.model.config.text.flat_rope
        if segment.is_video and self.model.mrope == "original":
            return int(vision_positions(segment.grid, merge, segment.time_step, is_flat).max()) + 1
        return image_position_span(segment.grid, merge, is_flat)

    def _check_budget(self, tokens: int) -> None:
        if tokens > self.budget_tokens:
            raise ContextLengthError(tokens, self.budget_tokens)

    def _embed(self, ids: Sequence[int]) -> Tensor:
        return self.model.model.embed_tokens(torch.tensor(ids, device=self._weights_key[1]))

    def _graph_step(self, ids: Sequence[int] | Tensor, position: int) -> Tensor | None:
        if self._fused is None:
            return None
        if self._graphs is None or self._graphs.fused is not self._fused or self._graphs.cache is not self._cache:
            self._graphs = DecodeGraphs(self._fused, self._cache)
        return self._graphs(ids, position)

    def _forward(self, embeddings: Tensor, positions: Tensor, borders: Sequence[int] = ()) -> Tensor:
        """Return the hidden state [1, C] of the last of embeddings [S, C] at positions [3, S].

        borders: Ascending numbers of tokens after which a snapshot is kept.
        """
        positions = positions.to(self._weights_key[1])
        hidden, start = embeddings, 0
        for border in (*borders, len(embeddings)):
            while start < border:
                end = min(start + self.chunk, border)
                chunk, chunk_positions = embeddings[None, start:end], positions[:, None, start:end]
                if self._fused is not None:
                    hidden = self._fused(chunk, chunk_positions, self._cache)[0]
                else:
                    hidden = self.model.model(chunk, chunk_positions, None, self._cache)[0]
                start = end
            if border in borders:
                self._snapshots.add(self._cache.snapshot())
        return hidden[-1:]


def _with_starts(context: Sequence[Segment]) -> Iterator[tuple[Segment, int]]:
    """Yield each segment with the index of its first token."""
    start = 0
    for segment in context:
        yield segment, start
        start += segment.length


def _merge_texts(context: Sequence[Segment]) -> list[Segment]:
    """Return the same tokens with adjacent text segments joined."""
    merged: list[Segment] = []
    for segment in context:
        if isinstance(segment, TextSegment) and merged and isinstance(merged[-1], TextSegment):
            merged[-1] = TextSegment(merged[-1].ids + segment.ids)
        else:
            merged.append(segment)
    return merged
