"""Our engine beside its peer: the same weights, inputs and threads, in one process, in turns. Knows clocks and floors.

Every figure is a median. `ratio` is the peer's time by ours. `floor_ms` is what this machine would need for the
engine's own work at the rates it was seen to reach a moment before: matrix products for what is computed at once,
memory for what is read token by token. Norms, positions, Python and attention within windows are not in the floor.
`of_floor` is the floor by our time: 1 where nothing is left to gain.
"""

from __future__ import annotations

import copy
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np

from actions import Screen, UsageError
from agent.history_window import evicted_count
from model.checkpoints.memory_check import check_fits
from model.checkpoints.weights import load_model, resolve_checkpoint, save_model
from model.engine.cuda_graphs import VisionGraphs
from model.engine.decode import Generation, generate_stream
from model.engine.session import ImageSegment, PrefixCachedSession, Segment, TextSegment
from model.engine.vision_cache import VisionCache
from model.nn.config import OFFICIAL, Config, TextConfig, VisionConfig
from model.nn.qwen25vl import Qwen25VL
from model.processing.image import ImageLimits, patchify_frame

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Method = TypeVar("Method", bound=Callable[..., Any])
PEERS = ("transformers", "none")
DEVICES = ("cpu", "cuda")
SYSTEM_TOKENS, TURN_TOKENS = 400, 30  # of instructions and functions, and of a turn's words
SMALL = Config(  # 50 M parameters
    VisionConfig(8, 384, 1024, 6, 512, fullatt_block_indexes=(3, 7)),
    TextConfig(8192, 512, 1536, 12, 8, 2, 64, (8, 12, 12), tie_word_embeddings=True),
    image_token_id=8000,
    video_token_id=8001,
    vision_start_token_id=8002,
)
RANDOM = {"random:50m": SMALL, "random:3b": OFFICIAL["3B"], "random:7b": OFFICIAL["7B"]}


def without_gradients(method: Method) -> Method:
    """torch.inference_mode around a method, torch imported when it is called."""

    @wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        import torch

        with torch.inference_mode():
            return method(*arguments, **named)

    return cast(Method, call)


@dataclass
class Result:
    """What was measured, in milliseconds; per step where there are steps."""

    what: str
    facts: dict[str, Any]
    ours_ms: list[float] = field(default_factory=list)
    peer_ms: list[float] = field(default_factory=list)
    floor_ms: list[float] = field(default_factory=list)
    same: bool | None = None  # whether both said the same ids, or came to the same numbers

    def as_dict(self) -> dict[str, Any]:
        def shown(values: list[float]) -> list[float] | float | None:
            rounded = [float(f"{one:.5g}") for one in values]  # digits, not decimals: a small ratio is not 0
            return (rounded or [None])[0] if len(rounded) < 2 else rounded  # type: ignore[list-item]

        ratios = [peer / ours for ours, peer in zip(self.ours_ms, self.peer_ms, strict=False)]
        near = [floor / ours for ours, floor in zip(self.ours_ms, self.floor_ms, strict=False)]
        return {
            "what": self.what,
            **self.facts,
            "ours_ms": shown(self.ours_ms),
            "peer_ms": shown(self.peer_ms),
            "ratio": shown(ratios),
            "floor_ms": shown(self.floor_ms),
            "of_floor": shown(near),
            "same": self.same,
        }

    def table(self) -> str:
        """A row for each step, and one of titles."""
        rows = [f"{self.what:>10} {'ours ms':>10} {'peer ms':>10} {'ratio':>7} {'floor ms':>10}"]
        for n, ours in enumerate(self.ours_ms):
            peer = self.peer_ms[n] if n < len(self.peer_ms) else None
            floor = self.floor_ms[n] if n < len(self.floor_ms) else None
            rows.append(
                f"{n + 1:>10} {ours:>10.2f} {'' if peer is None else f'{peer:.2f}':>10} "
                f"{'' if peer is None else f'{peer / ours:.2f}':>7} {'' if floor is None else f'{floor:.2f}':>10}"
            )
        return "\n".join(rows)


class Bench:
    """One model, ours and the peer's over the same weights. model: embedded, a folder, a hub id or random:50m|3b|7b."""

    def __init__(
        self,
        model: str,
        device: str = "cpu",
        dtype: str = "float32",
        against: str = "transformers",
        graphs: bool = False,
    ) -> None:
        import torch

        from model.nn.quantization import quantize_model

        if against not in PEERS:
            raise UsageError(f"can be measured against {' or '.join(PEERS)}, not '{against}'")
        if device not in DEVICES:
            raise UsageError(f"device must be {' or '.join(DEVICES)}, not '{device}'")
        if device == "cuda" and not torch.cuda.is_available():
            raise UsageError("torch sees no CUDA device here; take --device cpu, or install torch for CUDA")
        self.name, self.device, self.against = model, device, against
        self.bits: Literal[8, 4] | None = 8 if dtype == "int8" else 4 if dtype == "int4" else None
        self.dtype: torch.dtype = torch.bfloat16 if self.bits else getattr(torch, dtype)
        self.weights, self.graphs = dtype, graphs
        self.limits = ImageLimits()
        if model in RANDOM:
            self.model = random_model(RANDOM[model], device, self.dtype, model)
        elif model.startswith("random:"):
            raise UsageError(f"there is no model '{model}'; have {', '.join(RANDOM)}")
        else:
            from model.checkpoints.settings import read_limits

            self.model = load_model(model, device, self.dtype)
            self.limits = read_limits(resolve_checkpoint(model))
        self.config = self.model.config
        self.whole = self.model  # what the peer is made of
        if self.bits:
            self.model = quantize_model(copy.deepcopy(self.model), self.bits)
        self.encoder = VisionGraphs(self.model.visual, graphs)

    @cached_property
    def peer(self) -> Any:
        """transformers' model over the very same tensors."""
        import torch
        from transformers import Qwen2_5_VLForConditionalGeneration

        with torch.device("meta"):
            made = Qwen2_5_VLForConditionalGeneration(reference_config(self.config))
        state = {reference_name(name): value for name, value in self.whole.state_dict().items()}
        if self.config.text.tie_word_embeddings:
            state["lm_head.weight"] = state["model.language_model.embed_tokens.weight"]
        made.load_state_dict(state, assign=True)
        for module in made.modules():  # tables of angles, which no checkpoint holds
            if hasattr(module, "inv_freq"):
                for name, table in type(module)(module.config).named_buffers():
                    setattr(module, name, table.to(self.device))
        return made.eval()

    @cached_property
    def processor(self) -> Any:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        limits = {"shortest_edge": self.limits.min_pixels, "longest_edge": self.limits.max_pixels}
        return Qwen2VLImageProcessorPil(size=limits)

    @cached_property
    def rates(self) -> tuple[float, float]:
        """(bytes a second read by a copy, FLOP a second of a matrix product) of this device now."""
        import torch

        size = 2048 if self.device == "cpu" else 8192
        a = torch.randn(size, size, device=self.device).to(self.dtype)
        product = median_ms(lambda: a @ a, self.device) / 1e3
        return copied(self.device), 2 * size**3 / product

    @cached_property
    def memory(self) -> float:
        """Bytes a second of a copy in the machine's own memory, where files and screenshots lie."""
        return self.rates[0] if self.device == "cpu" else copied("cpu")

    def _facts(self, **more: Any) -> dict[str, Any]:
        import torch

        device = torch.cuda.get_device_name() if self.device.startswith("cuda") else platform.processor() or "cpu"
        bandwidth, flops = self.rates
        return {
            "model": self.name,
            "parameters": sum(one.numel() for one in self.whole.parameters()),
            "weights_mb": round(_bytes(self.model) / 1e6, 1),
            "device": device,
            "threads": torch.get_num_threads(),
            "dtype": self.weights,
            "against": self.against,
            "gb_per_s": round(bandwidth / 1e9, 1),
            "gflop_per_s": round(flops / 1e9, 1),
            **more,
        }

    def _picture(self, screen: Screen) -> ImageSegment:
        width, height = self.limits.resized(screen.width, screen.height)
        return ImageSegment(screen.digest, (1, height // 14, width // 14), width * height // 784)

    def _floor_ms(self, patches: int, tokens: int, said: int, past: int = 0) -> float:
        """Of encoding so many patches, computing so many tokens behind a past, and then saying so many one by one."""
        bandwidth, flops = self.rates
        vision, text = self.config.vision, self.config.text
        full = len(vision.fullatt_block_indexes) * 4 * patches * patches * vision.hidden_size if patches else 0
        seen = sum(one.numel() for one in self.whole.visual.parameters()) * 2 * patches
        layers = sum(one.numel() for one in self.whole.model.layers.parameters())
        width = text.num_hidden_layers * text.num_attention_heads * text.head_dim
        looked = 4 * width * tokens * (past + tokens / 2)
        kept = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * self.dtype.itemsize
        head = self.model.model.embed_tokens if self.model.lm_head is None else self.model.lm_head
        read = _bytes(self.model.model.layers) + _bytes(head) + kept * (past + tokens)
        return 1e3 * ((seen + full + 2 * layers * tokens + looked) / flops + said * read / bandwidth)

    def step(
        self, size: tuple[int, int], steps: int, said: int, repeat: int = 1, pictures: int | None = None
    ) -> Result:
        """An append-only episode: at each step one more screenshot, and a reply of so many ids, none of them forced.

        pictures: of how many earlier steps the context holds picture and reply at most; older ones go in blocks, as
        agent.memory cuts. None: of all. The peer gets the whole conversation each time, as its generate() asks for, and
        keeps its cache within the reply.
        """
        result = Result(
            "step", self._facts(size=f"{size[0]}x{size[1]}", steps=steps, said=said, pictures=pictures), same=True
        )
        runs_ours: list[list[float]] = []
        runs_peer: list[list[float]] = []
        for seed in range(repeat + 1):  # the first warms up, and is short
            ours, peer = self._episode(result, size, 2 if seed == 0 else steps, said, seed, pictures)
            if seed:
                runs_ours.append(ours)
                runs_peer.append(peer)
        result.ours_ms = [statistics.median(one) for one in zip(*runs_ours, strict=True)]
        result.peer_ms = [statistics.median(one) for one in zip(*runs_peer, strict=True)]
        cells = self._picture(Screen(np.zeros((size[1], size[0], 3), np.uint8))).length
        result.floor_ms = [self._floor_ms(cells * 4, cells + SYSTEM_TOKENS + TURN_TOKENS, said)]
        for number in range(1, steps):
            shown = number if pictures is None else number - evicted_count(number, pictures)
            past = SYSTEM_TOKENS + shown * (cells + TURN_TOKENS + said)
            result.floor_ms.append(self._floor_ms(cells * 4, cells + TURN_TOKENS, said, past))
        return result

    def _episode(
        self, result: Result, size: tuple[int, int], steps: int, said: int, seed: int, pictures: int | None
    ) -> tuple[list[float], list[float]]:
        cells = self._picture(Screen(np.zeros((size[1], size[0], 3), np.uint8))).length
        # time does not care whether positions were ever trained: an episode may be longer than the model's
        kept = steps if pictures is None else min(steps, pictures + 1)
        room = SYSTEM_TOKENS + kept * (cells + TURN_TOKENS + 2 * said)
        budget = max(room, self.config.text.max_position_embeddings)
        session, seen = PrefixCachedSession(self.model, budget, graphs=self.graphs), VisionCache()
        rng = np.random.default_rng(seed)
        system = TextSegment(words(rng, SYSTEM_TOKENS))
        turns: list[list[Segment]] = []
        screens: list[Screen] = []
        ours: list[float] = []
        peer: list[float] = []
        for number in range(steps):
            screens.append(screenshot(rng, size))
            turns.append([self._picture(screens[-1]), TextSegment(words(rng, TURN_TOKENS))])
            first = 0 if pictures is None else evicted_count(number, pictures)
            shown = screens[first:]
            context: list[Segment] = [system, *(part for turn in turns[first:] for part in turn)]
            pixels = {self._picture(one).key: one for one in shown}

            def encode(picture: ImageSegment, pixels: dict[str, Screen] = pixels) -> Tensor:
                def make() -> Tensor:
                    patches, grid = patchify_frame(pixels[picture.key].pixels, self.limits, self.device)
                    return self.encoder(patches, grid)

                return seen.get(picture.key, make)

            reply = Generation()
            began = self._now()
            for _ in generate_stream(session, joined(context), encode, reply, max_new_tokens=said):
                pass
            ours.append(self._now() - began)
            if self.against == "transformers":
                began = self._now()
                heard = self._their_reply(context, shown, said)
                peer.append(self._now() - began)
                result.same = bool(result.same) and heard == reply.ids
            turns[-1].append(TextSegment(words(rng, said)))  # a random model's own words might be placeholders
        return ours, peer

    @without_gradients
    def _their_reply(self, context: Sequence[Segment], shown: Sequence[Screen], said: int) -> list[int]:
        import torch
        from PIL import Image

        pad = self.config.image_token_id
        ids = [one for part in context for one in (part.ids if isinstance(part, TextSegment) else (pad,) * part.length)]
        made = self.processor(images=[Image.fromarray(one.pixels) for one in shown], return_tensors="pt")
        tokens = torch.tensor([ids], device=self.device)
        answer = self.peer.generate(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            mm_token_type_ids=(tokens == pad).int(),
            pixel_values=made["pixel_values"].to(self.device, self.dtype),
            image_grid_thw=made["image_grid_thw"].to(self.device),
            max_new_tokens=said,
            min_new_tokens=said,
            do_sample=False,
            repetition_penalty=1.0,
            eos_token_id=None,
            pad_token_id=0,
        )
        found: list[int] = answer[0, len(ids) :].tolist()
        return found

    def _now(self) -> float:
        """Milliseconds, once the device has done what it was given."""
        import torch

        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter() * 1e3

    @without_gradients
    def vision(self, size: tuple[int, int], repeat: int = 5) -> Result:
        """One screenshot's patches to embeddings."""
        import torch

        screen = screenshot(np.random.default_rng(0), size)
        patches, grid = patchify_frame(screen.pixels, self.limits, self.device)
        result = Result("vision", self._facts(size=f"{size[0]}x{size[1]}", patches=len(patches)))
        calls: list[Callable[[], Tensor]] = [lambda: self.encoder(patches, grid)]
        if self.against == "transformers":
            from model.processing.image import patchify

            double, _ = patchify(screen.pixels, self.limits, self.device)
            grids = torch.tensor([grid], device=self.device)

            def theirs() -> Tensor:
                return self.peer.model.visual(double.to(self.dtype), grid_thw=grids).pooler_output

            calls.append(theirs)
            result.same = bool(torch.allclose(calls[0]().float(), theirs().float(), rtol=1e-2, atol=self._tolerance))
        result.ours_ms, result.peer_ms = interleaved(calls, repeat, self.device)
        result.floor_ms = [self._floor_ms(len(patches), 0, 0)]
        return result

    def preprocess(self, size: tuple[int, int], repeat: int = 9) -> Result:
        """A screenshot's pixels to the values that the encoder takes, on the CPU. Equal means equal to 1e-5."""
        from PIL import Image

        screen = screenshot(np.random.default_rng(0), size)
        result = Result("preprocess", self._facts(size=f"{size[0]}x{size[1]}"))
        calls: list[Callable[[], Tensor]] = [lambda: patchify_frame(screen.pixels, self.limits)[0]]
        if self.against == "transformers":
            image = Image.fromarray(screen.pixels)

            def theirs() -> Tensor:
                return self.processor(images=image, return_tensors="pt")["pixel_values"]

            calls.append(theirs)
            both = theirs().view(-1, 3, 2, 196)
            once = calls[0]().view(-1, 3, 1, 196)
            result.same = bool((both - once).abs().max() < 1e-5)
        result.ours_ms, result.peer_ms = interleaved(calls, repeat, "cpu")
        made = calls[0]()
        result.floor_ms = [1e3 * (screen.pixels.nbytes + made.numel() * made.element_size()) / self.memory]
        return result

    @without_gradients
    def prefill(self, tokens: int, repeat: int = 5) -> Result:
        """A cold prompt of words: all its tokens computed, the last one's logits."""
        import torch

        ids = words(np.random.default_rng(0), tokens)
        result = Result("prefill", self._facts(tokens=tokens))
        rows = torch.tensor([ids], device=self.device)

        def cold() -> Tensor:
            hidden = PrefixCachedSession(self.model).prefill([TextSegment(ids)], _no_picture)
            return self.model.logits(hidden)

        calls: list[Callable[[], Tensor]] = [cold]
        if self.against == "transformers":

            def theirs() -> Tensor:
                return self.peer(input_ids=rows, use_cache=True, logits_to_keep=1).logits[:, -1]

            calls.append(theirs)
            result.same = bool(torch.allclose(cold().float(), theirs().float(), rtol=1e-2, atol=self._tolerance))
        result.ours_ms, result.peer_ms = interleaved(calls, repeat, self.device)
        result.floor_ms = [self._floor_ms(0, tokens, 0)]
        return result

    @without_gradients
    def decode(self, tokens: int, said: int, repeat: int = 3) -> Result:
        """Milliseconds a token of a reply behind a prompt of words, from its first token to its last."""
        import torch
        from transformers.generation.streamers import BaseStreamer

        ids = words(np.random.default_rng(0), tokens)
        result = Result("decode", self._facts(tokens=tokens, said=said))
        rows = torch.tensor([ids], device=self.device)

        class FirstTokenClock(BaseStreamer):
            """Record when generate() hands out the first new token; the prompt comes before it."""

            calls = 0
            first_ms = 0.0

            def put(clock, value: Tensor) -> None:
                clock.calls += 1
                if clock.calls == 2:
                    clock.first_ms = self._now()

            def end(clock) -> None:
                return

        def ours() -> tuple[list[int], float]:
            reply = Generation()
            session = PrefixCachedSession(self.model, graphs=self.graphs)
            stream = generate_stream(session, [TextSegment(ids)], _no_picture, reply, max_new_tokens=said + 1)
            next(stream)
            first_ms = self._now()
            for _ in stream:
                pass
            return reply.ids, (self._now() - first_ms) / said

        def theirs() -> tuple[list[int], float]:
            clock = FirstTokenClock()
            whole = self.peer.generate(
                input_ids=rows,
                attention_mask=torch.ones_like(rows),
                max_new_tokens=said + 1,
                min_new_tokens=said + 1,
                do_sample=False,
                repetition_penalty=1.0,
                eos_token_id=None,
                pad_token_id=0,
                streamer=clock,
            )
            each_ms = (self._now() - clock.first_ms) / said
            found: list[int] = whole[0, len(ids) :].tolist()
            return found, each_ms

        calls = [ours, theirs] if self.against == "transformers" else [ours]
        times: list[list[float]] = [[] for _ in calls]
        for turn in range(repeat + 1):  # the first warms up
            replies = []
            for call, taken in zip(calls, times, strict=True):
                reply_ids, each_ms = call()
                replies.append(reply_ids)
                if turn:
                    taken.append(each_ms)
        medians = [[statistics.median(taken)] for taken in times]
        result.ours_ms, result.peer_ms = medians[0], medians[1] if len(medians) > 1 else []
        result.floor_ms = [self._floor_ms(0, 0, 1, past=tokens)]
        result.same = replies[0] == replies[1] if self.against == "transformers" else None
        return result

    def load(self, repeat: int = 3) -> Result:
        """A checkpoint's files to a model that can be called."""
        from transformers import Qwen2_5_VLForConditionalGeneration

        result = Result("load", self._facts())
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made) if self.name in RANDOM else resolve_checkpoint(self.name)
            if self.name in RANDOM:
                reference_config(self.config).save_pretrained(folder)
                save_model(self.whole, folder, self.dtype)
            calls: list[Callable[[], object]] = [lambda: load_model(folder, self.device, self.dtype, bits=self.bits)]
            if self.against == "transformers":

                def theirs() -> object:
                    made: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=self.dtype)
                    return made.to(self.device)

                calls.append(theirs)
            result.ours_ms, result.peer_ms = interleaved(calls, repeat, self.device)
        result.floor_ms = [1e3 * 2 * _bytes(self.model) / self.memory]  # read from the system's cache, and written
        return result

    @property
    def _tolerance(self) -> float:
        import torch

        return 1e-3 if self.dtype == torch.float32 else 0.2


def _bytes(module: Any) -> int:
    """What a module's weights take."""
    return sum(one.numel() * one.element_size() for one in module.state_dict().values())


def copied(device: str) -> float:
    """Bytes a second that a device reads and writes in a copy."""
    import torch

    source = torch.ones((1 << 26) if device == "cpu" else (1 << 30), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2e3 * source.numel() / median_ms(lambda: target.copy_(source), device)


def random_model(config: Config, device: str, dtype: torch.dtype, name: str = "a random model") -> Qwen25VL:
    """Weights of a real shape, made where they will be used; likelihoods differ enough that greedy words are steady."""
    import torch

    with torch.device("meta"):
        model = Qwen25VL(config)
    check_fits(sum(one.numel() for one in model.parameters()) * dtype.itemsize, device, f"{name} in {dtype}")
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            empty = torch.empty(weight.shape, dtype=dtype, device=device)
            setattr(module, name, torch.nn.Parameter(empty, requires_grad=False))
    generator = torch.Generator(device=device).manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name or "ln_q" in name:
                weight.fill_(1.0)
            else:
                fan = 1.0 if weight.dim() == 1 else float(weight[0].numel())
                scale = 0.1 if weight.dim() == 1 or "embed_tokens" in name else fan**-0.5
                weight.normal_(0.0, scale, generator=generator)
    return model.eval()


def words(rng: np.random.Generator, count: int) -> tuple[int, ...]:
    """Ids that are nobody's special tokens in any of the vocabularies."""
    return tuple(int(one) for one in rng.integers(33, 127, count))


def screenshot(rng: np.random.Generator, size: tuple[int, int]) -> Screen:
    """A screen of flat boxes with noise in one, so that no two are alike."""
    width, height = size
    pixels = np.full((height, width, 3), 240, np.uint8)
    for _ in range(12):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        pixels[y : y + height // 5, x : x + width // 4] = rng.integers(0, 256, 3)
    patch = pixels[: height // 4, : width // 4]
    patch[:] = rng.integers(0, 256, patch.shape)
    return Screen(pixels)


def joined(context: Sequence[Segment]) -> list[Segment]:
    """The same with neighbouring texts as one, which is how a rendered prompt comes."""
    made: list[Segment] = []
    for part in context:
        if isinstance(part, TextSegment) and made and isinstance(made[-1], TextSegment):
            made[-1] = TextSegment(made[-1].ids + part.ids)
        else:
            made.append(part)
    return made


def median_ms(call: Callable[[], object], device: str, repeat: int = 5) -> float:
    """Milliseconds of a call, after one that warms up."""
    (found,), _ = interleaved([call], repeat, device)
    return found


def interleaved(calls: Sequence[Callable[[], object]], repeat: int, device: str) -> tuple[list[float], list[float]]:
    """Medians in milliseconds of the first call and of the second, if any, called by turns after a warming up."""
    import torch

    times: list[list[float]] = [[] for _ in calls]
    for turn in range(repeat + 1):
        for call, taken in zip(calls, times, strict=True):
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            began = time.perf_counter()
            call()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            if turn:
                taken.append((time.perf_counter() - began) * 1e3)
    medians = [[statistics.median(taken)] for taken in times]
    return medians[0], medians[1] if len(medians) > 1 else []


def reference_name(name: str) -> str:
    """transformers' name for one of our tensors."""
    if name.startswith("visual."):
        return f"model.{name}"
    return name if name.startswith("lm_head") else f"model.language_model.{name.removeprefix('model.')}"


def reference_config(config: Config) -> Any:
    """transformers' configuration of the same shape."""
    from transformers import Qwen2_5_VLConfig

    vision, text = config.vision, config.text
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": text.vocab_size,
            "hidden_size": text.hidden_size,
            "intermediate_size": text.intermediate_size,
            "num_hidden_layers": text.num_hidden_layers,
            "num_attention_heads": text.num_attention_heads,
            "num_key_value_heads": text.num_key_value_heads,
            "head_dim": text.head_dim,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": text.rope_theta,
                "mrope_section": list(text.mrope_section),
            },
            "rms_norm_eps": text.rms_norm_eps,
            "max_position_embeddings": text.max_position_embeddings,
            "tie_word_embeddings": text.tie_word_embeddings,
            "bos_token_id": None,
            "eos_token_id": None,
        },
        vision_config={
            "depth": vision.depth,
            "hidden_size": vision.hidden_size,
            "intermediate_size": vision.intermediate_size,
            "num_heads": vision.num_heads,
            "out_hidden_size": vision.out_hidden_size,
            "fullatt_block_indexes": list(vision.fullatt_block_indexes),
            "window_size": vision.window_size,
            "tokens_per_second": vision.tokens_per_second,
        },
        image_token_id=config.image_token_id,
        video_token_id=config.video_token_id,
        vision_start_token_id=config.vision_start_token_id,
        tie_word_embeddings=text.tie_word_embeddings,
    )


def _no_picture(picture: ImageSegment) -> Tensor:
    raise AssertionError(f"a prompt of words asked for {picture}")


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) of "1920x1080"."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UsageError(f"a size is WIDTHxHEIGHT in pixels, such as 1920x1080, not '{text}'")
    return int(width), int(height)
