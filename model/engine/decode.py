"""Generation: a prompt's ids in, one id after the other out. Knows nothing of text, screens or actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from actions import UsageError
from model.engine.session import ImageSegment, PrefixCachedSession, Segment
from model.nn.kv_cache import KVCache
from model.nn.qwen25vl import Qwen25VL
from model.nn.text_decoder import attention_mask as make_mask


@dataclass(frozen=True)
class Sampling:
    """How the next token is picked. temperature 0 is greedy: the likeliest, the lowest id among equals."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0  # 0: no limit
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0:
            raise UsageError(
                "sampling needs temperature >= 0, 0 < top_p <= 1 and top_k >= 0, "
                f"not {self.temperature}, {self.top_p}, {self.top_k}"
            )


def sample(logits: Tensor, sampling: Sampling, generator: torch.Generator | None) -> Tensor:
    """Next ids [B] from logits [B, V]."""
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    scores = logits.float() / sampling.temperature
    if sampling.top_k:
        floor = scores.topk(min(sampling.top_k, scores.shape[-1])).values[:, -1:]
        scores = scores.masked_fill(scores < floor, float("-inf"))
    if sampling.top_p < 1:
        ranked, order = scores.sort(dim=-1, descending=True)
        before = ranked.softmax(-1).cumsum(-1) - ranked.softmax(-1)
        scores = scores.scatter(-1, order, ranked.masked_fill(before >= sampling.top_p, float("-inf")))
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
    **pictures: Any,
) -> Iterator[Tensor]:
    """Yield the next ids [B], step by step, until every row has said a stop id or max_new_tokens are out.

    A row that has stopped repeats its stop id. pictures: pixel_values, image_grid_thw and so on, as the model takes
    them. vocabulary: ids from there on are padding of the embedding and never picked. Left padding only.
    """
    device = model.device
    generator = _generator(sampling, device)
    cache = KVCache(model.config.text.num_hidden_layers, input_ids.shape[1] + max_new_tokens)
    hidden, deltas = model.prefill(input_ids.to(device), attention_mask, **pictures, cache=cache)
    valid = None if attention_mask is None else attention_mask.to(device)
    stops = torch.tensor(list(stop_ids), device=device, dtype=torch.long)
    stopped = torch.zeros(len(input_ids), dtype=torch.bool, device=device)
    held = torch.zeros(len(input_ids), dtype=torch.long, device=device)
    for step in range(max_new_tokens):
        logits = model.logits(hidden[:, -1])[:, :vocabulary]
        if step == 0:
            _require_finite(logits)
        held = torch.where(stopped, held, sample(logits, sampling, generator))
        stopped = stopped | torch.isin(held, stops)
        yield held
        if step + 1 == max_new_tokens or bool(stopped.all()):
            return
        if valid is not None:
            valid = torch.cat([valid, valid.new_ones(len(valid), 1)], dim=1)
        mask = make_mask(valid, 1, cache.length, device)
        positions = (deltas + cache.length).expand(3, -1, 1)
        hidden = model.model(model.model.embed_tokens(held[:, None]), positions, mask, cache)


class Guide(Protocol):
    """What may be said next; see model.engine.grammar."""

    @property
    def done(self) -> bool: ...

    def forced(self, most: int) -> list[int]: ...

    def accept(self, token: int) -> None: ...

    def mask_logits(self, logits: Tensor, left: int) -> Tensor: ...


@dataclass
class Generation:
    """A reply as it came about. forced: ids that had no alternative and were not asked for; passes: of the decoder.

    chances: place in ids -> the probabilities of the ids watched, and of all others together, where one was sampled.
    """

    ids: list[int] = field(default_factory=list)
    forced_count: int = 0
    passes: int = 0
    probabilities: dict[int, list[float]] = field(default_factory=dict)

    @property
    def sampled(self) -> int:
        return len(self.ids) - self.forced_count

    def watches(self, token: int, watched: Sequence[int]) -> bool:
        """Whether the probabilities are wanted at the place of the next id: it is watched, or the one before is."""
        return token in watched or bool(self.ids and self.ids[-1] in watched)

    def note(self, likely: Sequence[float]) -> None:
        """The probabilities of the watched ids at the place of the next id."""
        self.probabilities[len(self.ids)] = [*likely, max(0.0, 1.0 - sum(likely))]


@torch.inference_mode()
def generate_stream(
    session: PrefixCachedSession,
    new: Sequence[Segment],
    encode: Callable[[ImageSegment], Tensor],
    said: Generation,
    *,
    max_new_tokens: int,
    stop_ids: Sequence[int] = (),
    sampling: Sampling = Sampling(),
    vocabulary: int | None = None,
    guide: Guide | None = None,
    watched: Sequence[int] = (),
    ahead: bool | None = None,
) -> Iterator[int]:
    """Yield a reply to the context `new`, id by id, and note it in `said`.

    Without a guide this is plain generation, and ends with a stop id. With one, the reply ends when its grammar does;
    ids that are forced are carried along into the next pass, unasked. watched: ids whose probabilities are noted.
    ahead: without a guide, each pass begins before the id that it is about is known here, so that the device never
    waits for Python; None: on CUDA.
    """
    generator = _generator(sampling, session.model.device)
    stops = frozenset(stop_ids)
    hidden = session.prefill(new, encode)
    said.passes += 1
    if guide is None and (session.model.device.type == "cuda" if ahead is None else ahead):
        yield from _lookahead(session, hidden, said, max_new_tokens, stops, sampling, generator, vocabulary, watched)
        return
    pending: list[int] = []
    while len(said.ids) < max_new_tokens:
        left = max_new_tokens - len(said.ids)
        if guide is not None:
            for token in guide.forced(left):
                said.ids.append(token)
                said.forced_count += 1
                pending.append(token)
                yield token
            left = max_new_tokens - len(said.ids)
            if guide.done or not left:
                return
        if pending:
            hidden = session.append(pending)
            said.passes += 1
            pending = []
        logits = session.model.logits(hidden)[:, :vocabulary]
        if not said.sampled:
            _require_finite(logits)
        if guide is not None:
            logits = guide.mask_logits(logits, left)
        token = int(sample(logits, sampling, generator))
        if said.watches(token, watched):
            said.note(logits[0].float().softmax(-1)[list(watched)].tolist())
        said.ids.append(token)
        pending.append(token)
        if guide is not None:
            guide.accept(token)
        yield token
        if token in stops if guide is None else guide.done:
            return


def _lookahead(
    session: PrefixCachedSession,
    hidden: Tensor,
    said: Generation,
    max_new_tokens: int,
    stops: frozenset[int],
    sampling: Sampling,
    generator: torch.Generator | None,
    vocabulary: int | None,
    watched: Sequence[int],
) -> Iterator[int]:
    """What speak yields without a guide. The pass that follows a stop id is in vain, and taken back."""
    whom = torch.tensor(watched, dtype=torch.long, device=hidden.device)
    while len(said.ids) < max_new_tokens:
        logits = session.model.logits(hidden)[:, :vocabulary]
        if not said.ids:
            _require_finite(logits)
        next_id = sample(logits, sampling, generator)  # [1]
        likely = logits[0].float().softmax(-1)[whom] if watched else logits.new_empty(0)
        coming = AsyncCopy(next_id, likely)
        guessed = len(said.ids) + 1 < max_new_tokens and session.length < session.budget_tokens
        if guessed:
            hidden = session.append_speculative(next_id)
        (token,), chances = coming.wait()
        ends = int(token) in stops
        if guessed:
            session.commit(None if ends else int(token))
            said.passes += not ends
        if said.watches(int(token), watched):
            said.note(chances)
        said.ids.append(int(token))
        yield int(token)
        if ends:
            return
        if not guessed and len(said.ids) < max_new_tokens:
            session.append([int(token)])  # which says that there is no room


class AsyncCopy:
    """Numbers on their way from a device, which works on meanwhile."""

    def __init__(self, *tensors: Tensor) -> None:
        self._copies = [one.to("cpu", non_blocking=True) for one in tensors]
        self._done = torch.cuda.Event() if tensors[0].is_cuda else None
        if self._done is not None:
            self._done.record()

    def wait(self) -> list[list[float]]:
        """The numbers, once they have come."""
        if self._done is not None:
            self._done.synchronize()
        return [one.tolist() for one in self._copies]


def _generator(sampling: Sampling, device: torch.device) -> torch.Generator | None:
    if sampling.temperature == 0:
        return None
    generator = torch.Generator(device=device)
    if sampling.seed is None:
        generator.seed()
    else:
        generator.manual_seed(sampling.seed)
    return generator


def _require_finite(logits: Tensor) -> None:
    if not bool(logits.isfinite().all()):
        raise UsageError(
            f"the model's numbers are not finite in {str(logits.dtype).removeprefix('torch.')}: its weights are "
            "damaged (download the checkpoint again) or need float32 (--dtype float32)"
        )


def generate_batch(model: Qwen25VL, input_ids: Tensor, **options: Any) -> Tensor:
    """New ids [B, n], all of stream's at once."""
    return torch.stack(list(stream_batch(model, input_ids, **options)), dim=1)
