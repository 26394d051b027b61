"""A checkpoint that can be talked to: messages with pictures in, a reply out. Knows no machine and no verbs."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actions import Reply, Screen, UsageError
from model.checkpoints.weights import load_model, resolve_checkpoint, shard_files
from model.engine.point_uncertainty import POINT_PATTERN
from model.processing.image import PATCH, ImageLimits, patchify_frame
from model.processing.tokenizer import Tokenizer, _json

if TYPE_CHECKING:
    import torch

    from model.engine.call_grammar import CallGrammar
    from model.engine.grammar import GrammarCompiler
    from model.engine.point_uncertainty import PointUncertainty
    from model.engine.session import ImageSegment
    from model.nn.qwen25vl import Qwen25VL


@dataclass(frozen=True)
class ChatSettings:
    """How a checkpoint wants to be used; pixelhand.json beside its config.json can say, else these.

    dialect: "" for the one that its files show (see model.choose); tool and history: "" for the dialect's own;
    history_steps and pictures: how much of the past is shown. grammar: calls are held to their form, where one is
    known. budget_tokens: the longest context (0: as long as the model's positions reach), and with it the memory.
    graphs: decoding and encoding by recorded steps (see model.engine.graphs), never tried on a device yet.
    """

    dialect: str = ""
    tool: str = ""
    history: str = ""
    history_steps: int = 30
    pictures: int = 3
    max_new_tokens: int = 512
    grammar: bool = True
    budget_tokens: int = 0
    graphs: bool = False


@dataclass(frozen=True)
class Prompt:
    """A conversation as the model gets it. text has one placeholder for each picture, input_ids one for each cell."""

    text: str
    input_ids: list[int]
    screens: tuple[Screen, ...]


@dataclass(frozen=True)
class GenerationStats:
    """What the last reply cost, in tokens, how it ended, and how sure its point was.

    reused: of the prompt, kept from the reply before; encoded: pictures that were not in the cache; forced: of the
    reply, not asked for; passes: of the decoder; ended: by itself, not for want of tokens; spread: see
    model.engine.confidence, None where no point was said.
    """

    reused: int
    computed: int
    encoded: int
    sampled: int
    forced: int
    passes: int
    ended: bool
    spread: PointUncertainty | None


class ChatModel:
    """Owns a model and its tokenizer, and between replies the context and the pictures that the next one may share."""

    def __init__(self, model: Qwen25VL, folder: Path, name: str, budget_tokens: int = 0) -> None:
        from model.engine.cuda_graphs import Encoder
        from model.engine.session import PrefixCachedSession
        from model.engine.vision_cache import VisionCache

        self.model, self.path, self.name = model, folder, name
        self.tokenizer = Tokenizer(folder)
        self.limits = read_limits(folder)
        self.settings = read_settings(folder)
        if budget_tokens:
            self.settings = replace(self.settings, budget_tokens=budget_tokens)
        self._require_one_checkpoint()
        self.fingerprint = fingerprint(folder)
        self.session = PrefixCachedSession(model, self.settings.budget_tokens, graphs=self.settings.graphs)
        self.encoder = Encoder(model.visual, self.settings.graphs)
        self.vision_cache = VisionCache()
        self._ready: dict[str, torch.Tensor] = {}
        self.work: GenerationStats | None = None
        self._grammars: GrammarCompiler | None = None

    def _require_one_checkpoint(self) -> None:
        """UsageError when the tokenizer's ids are not those of the weights."""
        config, tokens = self.model.config, self.tokenizer
        pad = config.image_name
        if tokens.id(pad) != config.image_token_id or tokens.size > config.text.vocab_size:
            raise UsageError(
                f"{tokens.file} has {pad} as {tokens.id(pad)} of {tokens.size} ids, "
                f"config.json as {config.image_token_id} of {config.text.vocab_size}; they are not of one checkpoint"
            )

    def warm_up(self) -> None:
        """Say one token about a blank screen, so that the first real step does not pay for what is done only once."""
        pixels = np.zeros((364, 280, 3), np.uint8)
        content = [{"type": "image", "image": Screen(pixels)}, {"type": "text", "text": "."}]
        self.reply([{"role": "user", "content": content}], max_new_tokens=2)

    def render(self, messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] = ()) -> Prompt:
        """Prompt of messages [{"role", "content": [{"type": "image", "image": Screen} | {"type": "text", "text"}]}]."""
        text = self.tokenizer.render(messages, tools)
        screens = tuple(
            part["image"]
            for message in messages
            if not isinstance(message["content"], str)
            for part in message["content"]
            if part["type"] == "image"
        )
        ids = self.tokenizer.encode(text)
        pad = self.model.config.image_token_id
        if ids.count(pad) != len(screens):
            raise UsageError(
                f"the chat template of {self.name} showed {ids.count(pad)} of {len(screens)} pictures; "
                "it is not a vision template"
            )
        cells = iter([self._cells(screen) for screen in screens])
        spread = (one for token in ids for one in ([pad] * next(cells) if token == pad else (token,)))
        return Prompt(text, list(spread), screens)

    def _cells(self, screen: Screen) -> int:
        width, height = self.limits.resized(screen.width, screen.height)
        return width * height // self.limits.factor**2

    def reset(self) -> None:
        """Let go of the context and the pictures; the next reply is computed from the beginning."""
        self.session.reset()
        self.vision_cache.clear()
        self._ready.clear()

    def make_guide(self, form: CallGrammar) -> Any:
        """What holds one reply to a form; see model.engine.grammar."""
        if self._grammars is None:
            from model.engine.grammar import GrammarCompiler

            self._grammars = GrammarCompiler(self.tokenizer.file, self.tokenizer.stop_ids, self.tokenizer.as_json())
        return self._grammars.guide(form)

    def reply(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] = (),
        *,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        on_text: Callable[[str], None] | None = None,
        form: CallGrammar | None = None,
        point_pattern: str = POINT_PATTERN,
    ) -> Reply:
        """What the model says, greedily unless a temperature is given. on_text gets the text so far, token by token.

        form: the reply will hold a call of that form (see model.engine.forms). What it cost stands in self.work.
        """
        from model.engine.memory_errors import (
            ContextLengthError,
            OutOfMemoryError,
            release_cached_memory,
            translate_out_of_memory,
        )

        began = time.perf_counter()
        prompt = self.render(messages, tools)
        try:
            with translate_out_of_memory(len(prompt.input_ids), self.model.device):
                return self._reply(began, prompt, max_new_tokens, temperature, seed, on_text, form, point_pattern)
        except ContextLengthError:
            raise
        except OutOfMemoryError:
            self.reset()
            release_cached_memory(self.model.device)
            raise

    def _reply(
        self,
        began: float,
        prompt: Prompt,
        max_new_tokens: int | None,
        temperature: float,
        seed: int | None,
        on_text: Callable[[str], None] | None,
        form: CallGrammar | None,
        point_pattern: str,
    ) -> Reply:
        from model.engine.decode import Generation, Sampling, generate_stream
        from model.engine.point_uncertainty import point_uncertainty
        from model.engine.session import segments

        pictures = [self._picture(screen) for screen in prompt.screens]
        new = segments(prompt.input_ids, self.model.config.image_token_id, pictures)
        screens = {picture.key: screen for picture, screen in zip(pictures, prompt.screens, strict=True)}
        missing = {one.key for one in self.session.missing_images(new) if one.key not in self.vision_cache}
        patches = {key: self._patches(key, screens[key]) for key in missing}
        guide = None if form is None else self.make_guide(form)
        ready = time.perf_counter()

        def make(picture: ImageSegment) -> torch.Tensor:
            ready = patches.pop(picture.key, None)  # None: it was in the cache, and fell out of it since
            if ready is None:
                ready, _ = patchify_frame(screens[picture.key].pixels, self.limits, self.model.device)
            return self.encoder(ready, picture.grid)

        def encode(picture: ImageSegment) -> torch.Tensor:
            return self.vision_cache.get(picture.key, lambda: make(picture))

        first = ready
        said = Generation()
        for _ in generate_stream(
            self.session,
            new,
            encode,
            said,
            max_new_tokens=max_new_tokens or self.settings.max_new_tokens,
            stop_ids=self.tokenizer.stop_ids,
            sampling=Sampling(temperature=temperature, seed=seed),
            vocabulary=min(self.tokenizer.size, self.model.config.text.vocab_size),
            guide=guide,
            watched=self._digits,
        ):
            if len(said.ids) == 1:
                first = time.perf_counter()
            if on_text is not None:
                on_text(self.tokenizer.decode(said.ids))
        done = time.perf_counter()
        kept = self.session
        self.work = GenerationStats(
            kept.reused,
            kept.computed,
            len(missing),
            said.sampled,
            said.forced_count,
            said.passes,
            guide.done if guide is not None else said.ids[-1] in self.tokenizer.stop_ids,
            point_uncertainty(said.ids, said.probabilities, self.tokenizer.decode, point_pattern),
        )
        point = self.work.spread
        looks = () if point is None else (asdict(point),)
        timings = {"preprocess": ready - began, "prefill": first - ready, "decode": done - first}
        text = self.tokenizer.decode(said.ids)
        return Reply(text, prompt.text, len(prompt.input_ids), len(said.ids), timings, localizations=looks)

    def prepare(self, screen: Screen) -> None:
        """Resize a screen and cut it into patches ahead of its turn, from any thread; the last READY are kept."""
        key = self._picture(screen).key
        if key not in self.vision_cache:
            self._ready[key] = patchify_frame(screen.pixels, self.limits, self.model.device)[0]
            while len(self._ready) > MAX_PREFETCHED:
                self._ready.pop(next(iter(self._ready)), None)

    def _patches(self, key: str, screen: Screen) -> torch.Tensor:
        ready = self._ready.pop(key, None)
        return patchify_frame(screen.pixels, self.limits, self.model.device)[0] if ready is None else ready

    def _picture(self, screen: Screen) -> ImageSegment:
        """A screen as a segment; its key is all that its embeddings depend on."""
        from model.engine.session import ImageSegment

        width, height = self.limits.resized(screen.width, screen.height)
        key = f"{screen.digest}:{width}x{height}:{self.model.dtype}:{self.model.device}"
        return ImageSegment(key, (1, height // PATCH, width // PATCH), width * height // self.limits.factor**2)

    @cached_property
    def _digits(self) -> tuple[int, ...]:
        """Ids of the digits 0 to 9; none where they are not tokens of their own."""
        ids = [self.tokenizer.encode(str(digit)) for digit in range(10)]
        return tuple(one[0] for one in ids) if all(len(one) == 1 for one in ids) else ()


MAX_PREFETCHED = 6  # pictures that are prepared ahead, at most
DTYPES = ("auto", "fast", "float32", "bfloat16", "float16", "int8", "int4")


def load_chat(
    name_or_path_or_hub_id: str | Path = "embedded", device: str = "auto", dtype: str = "auto", budget_tokens: int = 0
) -> ChatModel:
    """A checkpoint ready to talk: "embedded", a folder or a hub id. device "auto": CUDA if there is one, else CPU.

    dtype "auto": bfloat16 on CUDA, float32 elsewhere, and an AWQ checkpoint's own 4 bits; "fast": bfloat16 also on a
    processor that is seen to be quick in it, whose rounding (three digits) can move a digit of a close call; "int8" and
    "int4": weights of so many bits, in memory that is a quarter and a sixth of float32's, coarser still.
    budget_tokens: the longest context; 0: what the checkpoint's pixelhand.json says, else all its positions.
    """
    import torch

    from model.engine import dtype_selection

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype not in DTYPES:
        raise UsageError(f"dtype must be one of {', '.join(DTYPES)}, not '{dtype}'")
    folder, name = resolve_checkpoint(name_or_path_or_hub_id), str(name_or_path_or_hub_id)
    if dtype in ("int8", "int4"):
        model = load_model(folder, device, bits=8 if dtype == "int8" else 4)
    elif dtype == "fast":
        model = load_model(folder, device, dtype_selection.pick_dtype(device))
    else:
        model = load_model(folder, device, None if dtype == "auto" else getattr(torch, dtype))
    return ChatModel(model, folder, name, budget_tokens)


def read_limits(folder: Path) -> ImageLimits:
    """The picture budget in preprocessor_config.json; the official one where it says nothing."""
    path = folder / "preprocessor_config.json"
    data = _json(path)
    size = data.get("size") or {}
    if not isinstance(size, dict):
        raise _config_error(path, "size", "an object", size)
    default = ImageLimits()
    least = data.get("min_pixels") or size.get("shortest_edge") or default.min_pixels
    most = data.get("max_pixels") or size.get("longest_edge") or default.max_pixels
    for key, value in (("min_pixels", least), ("max_pixels", most)):
        if type(value) is not int or value < 1:
            raise _config_error(path, key, "a whole number above 0", value)
    if least > most:
        raise _config_error(path, "max_pixels", f"at least min_pixels, {least}", most)
    return ImageLimits(least, most)


def read_settings(folder: Path) -> ChatSettings:
    """pixelhand.json; an unknown key, or a value of another kind, is an error."""
    path = folder / "pixelhand.json"
    data = _json(path)
    known = {field.name: field.default for field in fields(ChatSettings)}
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise UsageError(f"{path}: unknown key '{unknown[0]}'; known are {', '.join(sorted(known))}")
    for key, value in data.items():
        if type(value) is not type(known[key]):
            kinds = {str: "a text", bool: "true or false", int: "a whole number"}
            raise _config_error(path, key, kinds[type(known[key])], value)
        if isinstance(value, int) and value < (key == "max_new_tokens"):
            raise _config_error(path, key, f"{int(key == 'max_new_tokens')} or more", value)
    return ChatSettings(**data)


def _config_error(path: Path, key: str, what: str, value: Any) -> UsageError:
    return UsageError(f"{path}: {key} must be {what}, not {value!r:.60}; download the checkpoint again")


def fingerprint(folder: Path) -> str:
    """16 hex digits of the weights' files: whole up to 64 MB, of larger ones the size and 64 KB of each sixteenth.

    A large file whose bytes change elsewhere keeps its fingerprint: it tells checkpoints apart, not forgeries.
    """
    hasher = hashlib.blake2b(digest_size=8)
    for file in shard_files(folder):
        size = file.stat().st_size
        hasher.update(f"{file.name}:{size}:".encode())
        with file.open("rb") as handle:
            if size <= 64 << 20:
                hasher.update(handle.read())
                continue
            for part in range(16):
                handle.seek(size * part // 16)
                hasher.update(handle.read(65536))
    return hasher.hexdigest()
