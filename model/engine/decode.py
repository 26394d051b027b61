"""Token generation: from the ids of a prompt to one id after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Required, TypedDict, Unpack

import torch
from torch import Tensor

from actions import UsageError
from model.engine.session import ImageSegment, PrefixCachedSession, Segment
from model.nn.kv_cache import KVCache
from model.nn.qwen25vl import Grids, Qwen25VL
from model.nn.text_decoder import attention_mask as make_mask


@dataclass(frozen=True)
class Sampling:
    """How the next token is picked; temperature 0 is greedy, with the lowest id among equal logits."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0  # 0 for no limit
    seed: int | None = None  # None for a random one

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0:
            raise UsageError(
                "sampling needs temperature >= 0, 0 < top_p <= 1 and top_k >= 0, "
                f"not {self.temperature}, {self.top_p}, {self.top_k}"
            )


class ImageInputs(TypedDict, total=False):
    """Image and video arguments of `Qwen25VL.prefill`."""

    pixel_values: Tensor
    image_grid_thw: Grids
    pixel_values_videos: Tensor
    video_grid_thw: Grids
    second_per_grid_ts: Tensor | Sequence[float]


class BatchOptions(ImageInputs, total=False):
    """Keyword arguments of `stream_batch`."""

    max_new_tokens: Required[int]
    stop_ids: Sequence[int]
    sampling: Sampling
    vocabulary: int | None
    attention_mask: Tensor | None


def sample(logits: Tensor, sampling: Sampling, generator: torch.Generator | None) -> Tensor:
    """Return the next ids [B] of logits [B, V]."""
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    scores = logits.float() / sampling.temperature
    if sampling.top_k:
        threshold = scores.topk(min(sampling.top_k, scores.shape[-1])).values[:, -1:]
        scores = scores.masked_fill(scores < threshold, float("-inf"))
    if sampling.top_p < 1:
        ranked, order = scores.sort(dim=-1, descending=True)
        mass_before = ranked.softmax(-1).cumsum(-1) - ranked.softmax(-1)
        scores = scores.scatter(-1, order, ranked.masked_fill(mass_before >= sampling.top_p, float("-inf")))
    return torch.multinomial(scores.softmax(-1), 1, generator=generator).squeeze(-1)


@torch.inference_mode()
def stream_batch(
    model: Qwen25VL,
    input_ids: Tensor,
    *,
    max_new_tokens: int,
    stop_ids: Sequence[int] = (),
    sampling: Sampling = Sampling(),
    vocabulary: int | None = None,
    attention_mask: Tensor | None = None,
    **images: Unpack[ImageInputs],
) -> Iterator[Tensor]:
    """Yield the next ids [B] step by step, until every row has a stop id or max_new_tokens are generated.

    A row that has stopped repeats its stop id.

    Args:
        model: The network, or an object that constrains its logits (`model.serve.json_grammar.ConstrainedLogits`).
        input_ids: Prompts [B, S], padded on the left.
        max_new_tokens: Most steps.
        stop_ids: Ids that end a row.
        sampling: How tokens are picked.
        vocabulary: Ids from here on are padding of the embedding and never picked.
        attention_mask: [B, S], 0 for padding.
        **images: pixel_values, image_grid_thw and the other arguments of `Qwen25VL.prefill`.
    """
    device = model.device
    generator = _generator(sampling, device)
    cache = KVCache(model.config.text.num_hidden_layers, input_ids.shape[1] + max_new_tokens)
    hidden, deltas = model.prefill(input_ids.to(device), attention_mask, **images, cache=cache)
    valid = None if attention_mask is None else attention_mask.to(device)
    stops = torch.tensor(list(stop_ids), device=device, dtype=torch.long)
    stopped = torch.zeros(len(input_ids), dtype=torch.bool, device=device)
    ids = torch.zeros(len(input_ids), dtype=torch.long, device=device)
    for step in range(max_new_tokens):
        logits = model.logits(hidden[:, -1])[:, :vocabulary]
        if step == 0:
            _check_finite(logits)
        ids = torch.where(stopped, ids, sample(logits, sampling, generator))
        stopped = stopped | torch.isin(ids, stops)
        yield ids
        if step + 1 == max_new_tokens or bool(stopped.all()):
            return
        if valid is not None:
            valid = torch.cat([valid, valid.new_ones(len(valid), 1)], dim=1)
        mask = make_mask(valid, 1, cache.length, device)
        positions = (deltas + cache.length).expand(3, -1, 1)
        hidden = model.model(model.model.embed_tokens(ids[:, None]), positions, mask, cache)


class Guide(Protocol):
    """Constrains a reply token by token; see `model.engine.grammar.GrammarGuide`."""

    @property
    def done(self) -> bool:
        """Whether the reply is complete."""
        ...

    def forced(self, max_count: int) -> list[int]:
        """Return the ids that must come next, at most `max_count`, and accept them."""
        ...

    def accept(self, token: int) -> None:
        """Advance by an id."""
        ...

    def mask_logits(self, logits: Tensor, remaining: int) -> Tensor:
        """Return logits [1, V] with forbidden ids at -inf."""
        ...


@dataclass
class Generation:
    """A reply while it is generated."""

    ids: list[int] = field(default_factory=list)
    forced_count: int = 0  # ids that the grammar left no alternative to
    passes: int = 0  # forward passes of the decoder
    # index in ids -> probabilities of the tracked ids, and of all others together, where a tracked id was sampled
    probabilities: dict[int, list[float]] = field(default_factory=dict)

    @property
    def sampled(self) -> int:
        """Ids that were sampled from the model."""
        return len(self.ids) - self.forced_count

    def is_tracked(self, token: int, tracked_ids: Sequence[int]) -> bool:
        """Return whether probabilities are recorded for the next id: it or the id before it is tracked."""
        return token in tracked_ids or bool(self.ids and self.ids[-1] in tracked_ids)

    def record(self, probabilities: Sequence[float]) -> None:
        """Record the probabilities of the tracked ids for the next id."""
        self.probabilities[len(self.ids)] = [*probabilities, max(0.0, 1.0 - sum(probabilities))]


@torch.inference_mode()
def generate_stream(
    session: PrefixCachedSession,
    context: Sequence[Segment],
    encode: Callable[[ImageSegment], Tensor],
    generation: Generation,
    *,
    max_new_tokens: int,
    stop_ids: Sequence[int] = (),
    sampling: Sampling = Sampling(),
    vocabulary: int | None = None,
    guide: Guide | None = None,
    tracked_ids: Sequence[int] = (),
    lookahead: bool | None = None,
) -> Iterator[int]:
    """Yield a reply id by id, and record it in `generation`.

    Without a guide the reply ends with a stop id. With one it ends with its grammar, and forced ids are computed
    together in the next pass.

    Args:
        session: Cached context of the model.
        context: Segments of the prompt.
        encode: Returns the embeddings [length, C] of an image.
        generation: Filled with the reply.
        max_new_tokens: Longest reply.
        stop_ids: Ids that end a reply without a guide.
        sampling: How tokens are picked.
        vocabulary: Ids from here on are padding of the embedding and never picked.
        guide: Constrains the reply.
        tracked_ids: Ids whose probabilities are recorded.
        lookahead: Without a guide, start each pass before the id that it computes is known on the host, so that the
            device never waits for Python; None for CUDA only.

    Raises:
        UsageError: The logits are not finite.
        ContextLengthError: The context exceeds the session's budget.
    """
    generator = _generator(sampling, session.model.device)
    stop_set = frozenset(stop_ids)
    hidden = session.prefill(context, encode)
    generation.passes += 1
    if guide is None and (session.model.device.type == "cuda" if lookahead is None else lookahead):
        yield from _lookahead(
            session, hidden, generation, max_new_tokens, stop_set, sampling, generator, vocabulary, tracked_ids
        )
        return
    pending: list[int] = []
    while len(generation.ids) < max_new_tokens:
        remaining = max_new_tokens - len(generation.ids)
        if guide is not None:
            for token in guide.forced(remaining):
                generation.ids.append(token)
                generation.forced_count += 1
                pending.append(token)
                yield token
            remaining = max_new_tokens - len(generation.ids)
            if guide.done or not remaining:
                return
        if pending:
            hidden = session.append(pending)
            generation.passes += 1
            pending = []
        logits = session.model.logits(hidden)[:, :vocabulary]
        if not generation.sampled:
            _check_finite(logits)
        if guide is not None:
            logits = guide.mask_logits(logits, remaining)
        token = int(sample(logits, sampling, generator))
        if generation.is_tracked(token, tracked_ids):
            generation.record(logits[0].float().softmax(-1)[list(tracked_ids)].tolist())
        generation.ids.append(token)
        pending.append(token)
        if guide is not None:
            guide.accept(token)
        yield token
        if token in stop_set if guide is None else guide.done:
            return


def _lookahead(
    session: PrefixCachedSession,
    hidden: Tensor,
    generation: Generation,
    max_new_tokens: int,
    stop_set: frozenset[int],
    sampling: Sampling,
    generator: torch.Generator | None,
    vocabulary: int | None,
    tracked_ids: Sequence[int],
) -> Iterator[int]:
    """Generate without a guide, one pass ahead; the pass after a stop id is rolled back."""
    tracked = torch.tensor(tracked_ids, dtype=torch.long, device=hidden.device)
    while len(generation.ids) < max_new_tokens:
        logits = session.model.logits(hidden)[:, :vocabulary]
        if not generation.ids:
            _check_finite(logits)
        next_id = sample(logits, sampling, generator)  # [1]
        tracked_probabilities = logits[0].float().softmax(-1)[tracked] if tracked_ids else logits.new_empty(0)
        copy = AsyncCopy(next_id, tracked_probabilities)
        is_speculative = len(generation.ids) + 1 < max_new_tokens and session.length < session.budget_tokens
        if is_speculative:
            hidden = session.append_speculative(next_id)
        (token,), probabilities = copy.wait()
        is_last = int(token) in stop_set
        if is_speculative:
            session.commit(None if is_last else int(token))
            generation.passes += not is_last
        if generation.is_tracked(int(token), tracked_ids):
            generation.record(probabilities)
        generation.ids.append(int(token))
        yield int(token)
        if is_last:
            return
        if not is_speculative and len(generation.ids) < max_new_tokens:
            session.append([int(token)])  # raises ContextLengthError


class AsyncCopy:
    """Copies of tensors to the host that do not block the device."""

    def __init__(self, *tensors: Tensor) -> None:
        self._copies = [tensor.to("cpu", non_blocking=True) for tensor in tensors]
        self._done = torch.cuda.Event() if tensors[0].is_cuda else None
        if self._done is not None:
            self._done.record()

    def wait(self) -> list[list[float]]:
        """Wait for the copies and return them as lists."""
        if self._done is not None:
            self._done.synchronize()
        return [copy.tolist() for copy in self._copies]


def _generator(sampling: Sampling, device: torch.device) -> torch.Generator | None:
    """Return the random generator of a sampling, or None for greedy decoding."""
    if sampling.temperature == 0:
        return None
    generator = torch.Generator(device=device)
    if sampling.seed is None:
        generator.seed()
    else:
        generator.manual_seed(sampling.seed)
    return generator


def _check_finite(logits: Tensor) -> None:
    if not bool(logits.isfinite().all()):
        raise UsageError(
            f"the model's logits are not finite in {str(logits.dtype).removeprefix('torch.')}: its weights are "
            "damaged (download the checkpoint again) or need float32 (--dtype float32)"
        )


def generate_batch(model: Qwen25VL, input_ids: Tensor, **options: Unpack[BatchOptions]) -> Tensor:
    """Return new ids [B, n]; takes the arguments of `stream_batch`."""
    return torch.stack(list(stream_batch(model, input_ids, **options)), dim=1)
