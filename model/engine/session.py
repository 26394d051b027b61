"""A context that grows: what the next prompt shares with the last one stays in the cache. Knows ids and positions.

A context is a row of segments, text or picture. Of a new one, the longest beginning that equals what the cache holds is
kept, token by token in texts and whole in pictures; only the rest is embedded and computed, at positions that follow
from the segments themselves. A picture is its key: who makes the keys sees to it that equal keys mean equal pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actions import UsageError
from model.engine.cuda_graphs import DecodeGraphs
from model.engine.memory_errors import ContextLengthError
from model.nn.fused_decoder import FusedDecoder, fused
from model.nn.kv_cache import KVCache
from model.nn.qwen25vl import Qwen25VL
from model.nn.rope import image_position_span, vision_positions

CHUNK = 4096  # tokens computed at a time: bounds what a long cold prompt takes beside the cache


@dataclass(frozen=True)
class TextSegment:
    """Ids of words."""

    ids: tuple[int, ...]

    @property
    def length(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class ImageSegment:
    """A still picture of grid (1, h, w) patches, that takes `length` places in the context."""

    key: str
    grid: tuple[int, int, int]
    length: int


Segment = TextSegment | ImageSegment


def segments(input_ids: Sequence[int], placeholder: int, pictures: Sequence[ImageSegment]) -> list[Segment]:
    """A prompt's ids as segments; each picture takes its own number of placeholders, else it is a UsageError."""
    made: list[Segment] = []
    left, text, place = list(pictures), list[int](), 0
    while place < len(input_ids):
        if input_ids[place] != placeholder:
            text.append(input_ids[place])
            place += 1
            continue
        end = place + (left[0].length if left else 1)
        if not left or any(one != placeholder for one in input_ids[place:end]) or end > len(input_ids):
            raise UsageError(f"the prompt's placeholders do not fit its {len(pictures)} pictures; one run for each")
        if text:
            made.append(TextSegment(tuple(text)))
            text = []
        made.append(left.pop(0))
        place = end
    if left:
        raise UsageError(f"the prompt has no placeholders for {len(left)} of its {len(pictures)} pictures")
    return [*made, TextSegment(tuple(text))] if text else made


def common_prefix_length(held: Sequence[Segment], new: Sequence[Segment]) -> int:
    """How many tokens both begin with; a picture counts whole or not at all."""
    count = 0
    for old, fresh in zip(held, new, strict=False):
        if old == fresh:
            count += fresh.length
            continue
        if isinstance(old, TextSegment) and isinstance(fresh, TextSegment):
            pairs = zip(old.ids, fresh.ids, strict=False)
            count += next((n for n, (a, b) in enumerate(pairs) if a != b), min(old.length, fresh.length))
        break
    return count


class PrefixCachedSession:
    """One context and its cache, batch 1. budget_tokens: a longer context is refused, and the room never exceeds it.

    reused and computed count the tokens of the last feed that were kept, and that were not. The weights may change
    their dtype or device between feeds, which forgets everything; whoever changes their values calls forget().
    fuse: False leaves the decoder's own products as they are (see model.engine.fused); graphs: what is said token by
    token goes by steps of fixed shape (see model.engine.graphs), which needs the former.
    """

    def __init__(
        self,
        model: Qwen25VL,
        budget_tokens: int = 0,
        chunk: int = CHUNK,
        fuse: bool = True,
        graphs: bool = False,
    ) -> None:
        self.model, self.chunk, self.fuse, self.graphs = model, chunk, fuse, graphs
        self._fused: FusedDecoder | None = None
        self._steps: DecodeGraphs | None = None
        self.budget_tokens = budget_tokens or model.config.text.max_position_embeddings
        self.reused = self.computed = 0
        self.reset()

    def reset(self) -> None:
        """Begin anew, without the memory that the cache took."""
        self._cached_segments: list[Segment] = []
        self._next_position = 0
        self._weights_key = (self.model.dtype, self.model.device)
        self._cache = KVCache(self.model.config.text.num_hidden_layers, limit=self.budget_tokens)

    @property
    def length(self) -> int:
        """Tokens in the cache."""
        return self._cache.length

    @property
    def bytes(self) -> int:
        """Memory of the cache."""
        return self._cache.bytes

    def reusable_tokens(self, new: Sequence[Segment]) -> int:
        """Tokens of a context that feed would keep: all that is shared, but never the last, whose logits are wanted."""
        if self._weights_key != (self.model.dtype, self.model.device):
            return 0
        total = sum(one.length for one in new)
        count = min(common_prefix_length(self._cached_segments, new), total - 1)
        for segment, start in _starts(new):
            if isinstance(segment, ImageSegment) and start < count < start + segment.length:
                return start
        return count

    def missing_images(self, new: Sequence[Segment]) -> list[ImageSegment]:
        """The pictures that feed would ask for."""
        kept = self.reusable_tokens(new)
        return [one for one, start in _starts(new) if isinstance(one, ImageSegment) and start >= kept]

    @torch.inference_mode()
    def prefill(self, new: Sequence[Segment], encode: Callable[[ImageSegment], Tensor]) -> Tensor:
        """Make the context `new`; the last token's hidden state [1, C].

        encode gives a picture's embeddings [length, C]; it is asked for those alone that are not in the cache.
        UsageError for an empty context, OverBudget for one beyond the budget; then the cache is what it was.
        """
        total = sum(one.length for one in new)
        self._require(total)
        if total == 0:
            raise UsageError("the prompt is empty; a model must be asked something")
        if self._weights_key != (self.model.dtype, self.model.device):
            self.reset()
        self._fused = fused(self.model.model) if self.fuse else None  # looked at here: it costs as much as a token
        kept = self.reusable_tokens(new)
        self._cache.truncate(kept)
        self._cached_segments, self._next_position = (
            [],
            0,
        )  # until all is computed: an error on the way leaves nothing half known
        parts: list[Tensor] = []
        places: list[Tensor] = []
        position = 0
        merge, flat = self.model.config.vision.spatial_merge_size, self.model.config.text.flat_rope
        for segment, start in _starts(new):
            skip = min(max(kept - start, 0), segment.length)
            if isinstance(segment, TextSegment):
                if skip < segment.length:
                    parts.append(self._embed(segment.ids[skip:]))
                    places.append((torch.arange(skip, segment.length) + position).expand(3, -1))
                position += segment.length
            else:
                if not skip:
                    rows = encode(segment)
                    if len(rows) != segment.length:
                        raise ValueError(f"a picture of {segment.length} places came as {len(rows)} embeddings")
                    parts.append(rows.to(self._weights_key[1], self._weights_key[0]))
                    places.append(vision_positions(segment.grid, merge, 0.0, flat) + position)
                position += image_position_span(segment.grid, merge, flat)
        hidden = self._forward(torch.cat(parts), torch.cat(places, dim=1))
        self._cached_segments, self._next_position = _merged(new), position
        self.reused, self.computed = kept, total - kept
        return hidden

    @torch.inference_mode()
    def append(self, ids: Sequence[int]) -> Tensor:
        """Append words, as many as there are in one pass; the last one's hidden state [1, C]."""
        self._require(self.length + len(ids))
        position = self._next_position
        held, self._cached_segments = self._cached_segments, []
        hidden = self._stepped(ids, position) if self.graphs else None
        if hidden is None:
            hidden = self._forward(self._embed(ids), (torch.arange(len(ids)) + position).expand(3, -1))
        self._cached_segments = _merged([*held, TextSegment(tuple(ids))])
        self._next_position = position + len(ids)
        return hidden

    @torch.inference_mode()
    def append_speculative(self, token: Tensor) -> Tensor:
        """Append one id [1] that the device alone knows yet; its hidden state [1, C]. settle must follow."""
        self._require(self.length + 1)
        hidden = self._stepped(token, self._next_position) if self.graphs else None
        if hidden is None:
            place = torch.full((3, 1), self._next_position, device=self._weights_key[1])
            hidden = self._forward(self.model.model.embed_tokens(token), place)
        return hidden

    def commit(self, token: int | None) -> None:
        """What the id was that guess appended; None takes it back."""
        if token is None:
            self._cache.truncate(self.length - 1)
            return
        self._cached_segments = _merged([*self._cached_segments, TextSegment((token,))])
        self._next_position += 1

    def _require(self, tokens: int) -> None:
        if tokens > self.budget_tokens:
            raise ContextLengthError(tokens, self.budget_tokens)

    def _embed(self, ids: Sequence[int]) -> Tensor:
        return self.model.model.embed_tokens(torch.tensor(ids, device=self._weights_key[1]))

    def _stepped(self, ids: Sequence[int] | Tensor, position: int) -> Tensor | None:
        if self._fused is None:
            return None
        if self._steps is None or self._steps.fused is not self._fused or self._steps.cache is not self._cache:
            self._steps = DecodeGraphs(self._fused, self._cache)
        return self._steps(ids, position)

    def _forward(self, embeddings: Tensor, positions: Tensor) -> Tensor:  # [S, C], [3, S] -> [1, C]
        positions = positions.to(self._weights_key[1])
        hidden = embeddings
        for start in range(0, len(embeddings), self.chunk):
            words, places = embeddings[None, start : start + self.chunk], positions[:, None, start : start + self.chunk]
            if self._fused is not None:
                hidden = self._fused(words, places, self._cache)[0]
            else:
                hidden = self.model.model(words, places, None, self._cache)[0]
        return hidden[-1:]


def _starts(row: Sequence[Segment]) -> Iterator[tuple[Segment, int]]:
    start = 0
    for segment in row:
        yield segment, start
        start += segment.length


def _merged(row: Sequence[Segment]) -> list[Segment]:
    """The same tokens with neighbouring texts as one."""
    made: list[Segment] = []
    for segment in row:
        if isinstance(segment, TextSegment) and made and isinstance(made[-1], TextSegment):
            made[-1] = TextSegment(made[-1].ids + segment.ids)
        else:
            made.append(segment)
    return made
