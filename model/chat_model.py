"""A checkpoint to chat with: messages with screenshots in, a reply out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from actions import Reply, Screen, UsageError
from model.checkpoints.files import resolve_checkpoint
from model.checkpoints.settings import DTYPES, fingerprint, read_limits, read_settings
from model.checkpoints.weights import load_model
from model.engine.point_uncertainty import POINT_PATTERN
from model.json_file import JsonObject
from model.nn.config import NO_TOKEN
from model.processing.image import patchify_frame
from model.processing.tokenizer import Message, Tokenizer
from model.wire.tool_prompt import Syntax

if TYPE_CHECKING:
    import torch

    from model.engine.call_grammar import CallGrammar
    from model.engine.grammar import GrammarCompiler, GrammarGuide
    from model.engine.point_uncertainty import PointUncertainty
    from model.engine.session import ImageSegment, Segment
    from model.nn.config import Config
    from model.nn.qwen25vl import Qwen25VL
    from model.processing.video import SampledVideo

MAX_PREFETCHED = 6  # screenshots preprocessed ahead, at most


@dataclass(frozen=True)
class Prompt:
    """A conversation as the model receives it."""

    text: str  # one placeholder per screenshot and video
    input_ids: list[int]  # one placeholder per merged patch of a screenshot or video
    screens: tuple[Screen, ...]
    videos: tuple[SampledVideo, ...] = ()


@dataclass(frozen=True)
class GenerationStats:
    """What the last reply cost, and how it ended."""

    reused: int  # prompt tokens kept in the cache from the previous context
    computed: int  # prompt tokens computed
    encoded: int  # screenshots and videos encoded, that is, not in the vision cache
    sampled: int  # reply tokens sampled from the model
    forced: int  # reply tokens fixed by the grammar
    passes: int  # forward passes of the decoder
    ended: bool  # False when the reply reached max_new_tokens
    uncertainty: PointUncertainty | None  # of the predicted point; None where the reply has no point


@dataclass(frozen=True)
class _Context:
    """A prompt as the session takes it."""

    segments: Sequence[Segment]
    encode: Callable[[ImageSegment], torch.Tensor]
    encoded: int  # images and videos that are not in the vision cache


class ChatModel:
    """A model and its tokenizer, with the context and the image embeddings that the next reply may reuse.

    Use `load_chat` to make one. One reply is generated at a time; only `prepare` may be called from another thread.

    Attributes:
        model: The network.
        path: Folder of the checkpoint.
        name: Name of the checkpoint as it was requested.
        tokenizer: Tokenizer and chat template.
        limits: Pixel budget of the checkpoint's images.
        settings: Contents of the checkpoint's pixelhand.json.
        fingerprint: Hash of the weight files.
        stats: Cost of the last reply, None before the first.
    """

    def __init__(self, model: Qwen25VL, folder: Path, name: str, budget_tokens: int = 0) -> None:
        from model.engine.cuda_graphs import VisionGraphs
        from model.engine.session import PrefixCachedSession
        from model.engine.vision_cache import BUDGET_BYTES, VisionCache

        self.model, self.path, self.name = model, folder, name
        self.tokenizer = Tokenizer(folder)
        self.limits = read_limits(folder)
        self.settings = read_settings(folder)
        if budget_tokens:
            self.settings = replace(self.settings, budget_tokens=budget_tokens)
        self._check_tokenizer()
        self._check_patches()
        self.fingerprint = fingerprint(folder)
        self.session = PrefixCachedSession(model, self.settings.budget_tokens, graphs=self.settings.graphs)
        self.encoder = VisionGraphs(model.visual, self.settings.graphs)
        # the same number of images, whether DeepStack features are beside their embeddings or not
        self.vision_cache = VisionCache(BUDGET_BYTES * (1 + len(model.config.vision.deepstack_indexes)))
        self._prefetched: dict[str, torch.Tensor] = {}
        self.stats: GenerationStats | None = None
        self._grammars: GrammarCompiler | None = None

    def _check_tokenizer(self) -> None:
        """Raise UsageError when the tokenizer's ids do not fit the weights."""
        config, tokenizer = self.model.config, self.tokenizer
        image_token = config.image_name
        if tokenizer.id(image_token) != config.image_token_id or tokenizer.size > config.text.vocab_size:
            raise UsageError(
                f"{tokenizer.file} has {image_token} as {tokenizer.id(image_token)} of {tokenizer.size} ids, "
                f"config.json as {config.image_token_id} of {config.text.vocab_size}; they are not of one checkpoint"
            )

    def _check_patches(self) -> None:
        """Raise UsageError when the image processor's patches are not those of the weights."""
        vision = self.model.config.vision
        if self.limits.factor != vision.patch_size * vision.spatial_merge_size:
            raise UsageError(
                f"{self.path}: the image processor merges patches to {self.limits.factor} pixels, config.json to "
                f"{vision.patch_size * vision.spatial_merge_size}; they are not of one checkpoint"
            )

    def warm_up(self) -> None:
        """Generate a token about a blank screen, so that one-time work does not delay the first real reply."""
        pixels = np.zeros((364, 280, 3), np.uint8)
        content = [{"type": "image", "image": Screen(pixels)}, {"type": "text", "text": "."}]
        self.reply([{"role": "user", "content": content}], max_new_tokens=2)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[JsonObject] = (),
        *,
        syntax: Syntax = "json",
        thinking: bool | None = None,
    ) -> Prompt:
        """Return the prompt of a conversation.

        Args:
            messages: [{"role": ..., "content": text or a list of parts}]; a part is {"type": "text", "text": str},
                {"type": "image", "image": Screen} or {"type": "video", "video": SampledVideo}.
            tools: OpenAI tool definitions.
            syntax: Of calls, where the chat template does not render the tools.
            thinking: Value of the chat template's enable_thinking; None leaves it undefined.

        Raises:
            UsageError: The chat template fails, or does not render every screenshot and video.
        """
        text = self.tokenizer.render(messages, tools, syntax=syntax, thinking=thinking)
        parts = [part for message in messages if not isinstance(message["content"], str) for part in message["content"]]
        screens = tuple(part["image"] for part in parts if part["type"] == "image")
        videos = tuple(part["video"] for part in parts if part["type"] == "video")
        ids = self.tokenizer.encode(text)
        config = self.model.config
        counts: dict[int, Iterator[int]] = {
            config.image_token_id: iter([self._image_tokens(screen) for screen in screens])
        }
        for token, media, kind in (
            (config.image_token_id, screens, "images"),
            (config.video_token_id, videos, "videos"),
        ):
            if (media or token == config.image_token_id) and ids.count(token) != len(media):
                raise UsageError(
                    f"the chat template of {self.name} rendered {ids.count(token)} of {len(media)} {kind}; "
                    "it is not a vision template"
                )
        if videos:
            counts[config.video_token_id] = iter([self._video_segment(video).length for video in videos])
        input_ids: list[int] = []
        for token in ids:
            input_ids += [token] * next(counts[token]) if token in counts else [token]
        return Prompt(text, input_ids, screens, videos)

    @property
    def supports_videos(self) -> bool:
        """Whether a video can be a part of a message; the frames of Qwen3-VL would have to be parts of their own."""
        config = self.model.config
        has_placeholder = config.video_token_id != NO_TOKEN and not config.frame_timestamps
        return has_placeholder and "video" in self.tokenizer.template_source

    def _image_tokens(self, screen: Screen) -> int:
        """Return the number of merged patches of a screenshot."""
        width, height = self.limits.resized(screen.width, screen.height)
        return width * height // self.limits.factor**2

    def reset(self) -> None:
        """Drop the context and all image embeddings; the next reply is computed from scratch."""
        self.session.reset()
        self.vision_cache.clear()
        self._prefetched.clear()

    def make_guide(self, form: CallGrammar) -> GrammarGuide:
        """Return the guide that constrains one reply to a grammar; see `model.engine.grammar`."""
        if self._grammars is None:
            from model.engine.grammar import GrammarCompiler

            self._grammars = GrammarCompiler(self.tokenizer.file, self.tokenizer.stop_ids, self.tokenizer.as_json())
        return self._grammars.guide(form)

    def reply(
        self,
        messages: Sequence[Message],
        tools: Sequence[JsonObject] = (),
        *,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        on_text: Callable[[str], None] | None = None,
        form: CallGrammar | None = None,
        point_pattern: str = POINT_PATTERN,
        syntax: Syntax = "json",
        thinking: bool | None = None,
    ) -> Reply:
        """Generate the reply to a conversation, and store its cost in `stats`.

        Args:
            messages: The conversation; see `render`.
            tools: OpenAI tool definitions.
            max_new_tokens: Longest reply; None for the checkpoint's setting.
            temperature: 0 for greedy decoding.
            seed: Seed of the sampling; None for a random one.
            on_text: Called with the text so far after every token.
            form: Constrain the reply to a call of this grammar; see `model.engine.call_grammar`.
            point_pattern: Regular expression of a point in the reply, with its two numbers as groups.
            syntax: See `render`.
            thinking: See `render`.

        Returns:
            The reply with its prompt, token counts, timings in seconds, and the predicted point with its uncertainty.

        Raises:
            ContextLengthError: The prompt exceeds budget_tokens; the cached context is kept.
            OutOfMemoryError: The device has no memory for the context; the cached context is dropped.
            UsageError: The conversation cannot be rendered, or the logits are not finite.
        """
        start = time.perf_counter()
        prompt = self.render(messages, tools, syntax=syntax, thinking=thinking)
        with self._within_memory(prompt):
            return self._reply(start, prompt, max_new_tokens, temperature, seed, on_text, form, point_pattern)

    def choose(self, messages: Sequence[Message], answers: Sequence[Sequence[str]]) -> tuple[float, ...]:
        """Return the probability of each answer to a conversation, from one forward pass and without a reply.

        Args:
            messages: The conversation; see `render`.
            answers: For each answer the words that stand for it, such as ("Yes", "yes"). A word counts by its first
                token.

        Returns:
            Probabilities that sum to 1: those of the next token among all words of all answers.

        Raises:
            UsageError: Two answers begin with the same token.
        """
        tokens = [{self.tokenizer.encode(word)[0] for word in words} for words in answers]
        if len(set.union(*tokens)) != sum(map(len, tokens)):
            raise UsageError(f"{self.name} cannot choose between {answers}: two answers begin with the same token")
        prompt = self.render(messages, thinking=False)  # the next token is the answer's
        with self._within_memory(prompt):
            context = self._context(prompt)
            logits = self.model.logits(self.session.prefill(context.segments, context.encode))[0].float()
        probabilities = logits[[token for ids in tokens for token in sorted(ids)]].softmax(-1)
        if not bool(probabilities.isfinite().all()):
            raise UsageError(f"the logits of {self.name} are not finite; try --dtype float32")
        return tuple(float(part.sum()) for part in probabilities.split([len(ids) for ids in tokens]))

    @contextmanager
    def _within_memory(self, prompt: Prompt) -> Iterator[None]:
        """Translate errors of memory within the block; one of the device drops the cached context."""
        from model.engine.memory_errors import (
            ContextLengthError,
            OutOfMemoryError,
            release_cached_memory,
            translate_out_of_memory,
        )

        try:
            with translate_out_of_memory(len(prompt.input_ids), self.model.device):
                yield
        except ContextLengthError:
            raise
        except OutOfMemoryError:
            self.reset()
            release_cached_memory(self.model.device)
            raise

    def _context(self, prompt: Prompt) -> _Context:
        """Return a prompt as the session takes it, with the patches of the images that are to be encoded."""
        from model.engine.session import split_segments
        from model.engine.video_encoder import encode_video

        config = self.model.config
        images = [self._image_segment(screen) for screen in prompt.screens]
        segments_of_videos = [self._video_segment(video) for video in prompt.videos]
        segments = split_segments(
            prompt.input_ids,
            config.image_token_id,
            _in_order(prompt.input_ids, config, images, segments_of_videos),
            config.video_token_id if prompt.videos else NO_TOKEN,
        )
        screens = {image.key: screen for image, screen in zip(images, prompt.screens, strict=True)}
        videos = {segment.key: video for segment, video in zip(segments_of_videos, prompt.videos, strict=True)}
        missing = {image.key for image in self.session.missing_images(segments) if image.key not in self.vision_cache}
        patches = {key: self._patches(key, screens[key]) for key in missing if key in screens}

        def encode_now(image: ImageSegment) -> torch.Tensor:
            if image.is_video:
                return encode_video(self.model.visual, videos[image.key], self.limits)
            image_patches = patches.pop(image.key, None)  # None: it was in the cache, and has been evicted since
            if image_patches is None:
                image_patches, _ = patchify_frame(screens[image.key].pixels, self.limits, self.model.device)
            return self.encoder(image_patches, image.grid)

        def encode(image: ImageSegment) -> torch.Tensor:
            return self.vision_cache.get(image.key, lambda: encode_now(image))

        return _Context(segments, encode, len(missing))

    def _reply(
        self,
        start: float,
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

        context = self._context(prompt)
        guide = None if form is None else self.make_guide(form)
        preprocessed = time.perf_counter()
        first_token = preprocessed
        generation = Generation()
        for _ in generate_stream(
            self.session,
            context.segments,
            context.encode,
            generation,
            max_new_tokens=max_new_tokens or self.settings.max_new_tokens,
            stop_ids=self.tokenizer.stop_ids,
            sampling=Sampling(temperature=temperature, seed=seed),
            vocabulary=min(self.tokenizer.size, self.model.config.text.vocab_size),
            guide=guide,
            tracked_ids=self._digit_ids,
        ):
            if len(generation.ids) == 1:
                first_token = time.perf_counter()
            if on_text is not None:
                on_text(self.tokenizer.decode(generation.ids))
        end = time.perf_counter()
        uncertainty = point_uncertainty(generation.ids, generation.probabilities, self.tokenizer.decode, point_pattern)
        self.stats = GenerationStats(
            reused=self.session.reused,
            computed=self.session.computed,
            encoded=context.encoded,
            sampled=generation.sampled,
            forced=generation.forced_count,
            passes=generation.passes,
            ended=guide.done if guide is not None else generation.ids[-1] in self.tokenizer.stop_ids,
            uncertainty=uncertainty,
        )
        localizations = () if uncertainty is None else (asdict(uncertainty),)
        timings = {
            "preprocess": preprocessed - start,
            "prefill": first_token - preprocessed,
            "decode": end - first_token,
        }
        text = self.tokenizer.decode(generation.ids)
        return Reply(
            text,
            prompt.text,
            len(prompt.input_ids),
            len(generation.ids),
            timings,
            localizations=localizations,
            is_truncated=not self.stats.ended,
        )

    def prepare(self, screen: Screen) -> None:
        """Preprocess a screenshot before it is used in a prompt; may be called from any thread."""
        key = self._image_segment(screen).key
        if key not in self.vision_cache:
            self._prefetched[key] = patchify_frame(screen.pixels, self.limits, self.model.device)[0]
            while len(self._prefetched) > MAX_PREFETCHED:
                self._prefetched.pop(next(iter(self._prefetched)), None)

    def _patches(self, key: str, screen: Screen) -> torch.Tensor:
        patches = self._prefetched.pop(key, None)
        return patchify_frame(screen.pixels, self.limits, self.model.device)[0] if patches is None else patches

    def _image_segment(self, screen: Screen) -> ImageSegment:
        """Return a screenshot as a segment, whose key covers all that its embeddings depend on."""
        from model.engine.session import ImageSegment

        width, height = self.limits.resized(screen.width, screen.height)
        key = f"{screen.digest}:{width}x{height}:{self.model.dtype}:{self.model.device}"
        grid = 1, height // self.limits.patch, width // self.limits.patch
        return ImageSegment(key, grid, width * height // self.limits.factor**2)

    def _video_segment(self, video: SampledVideo) -> ImageSegment:
        """Return a video as a segment, whose key covers all that its embeddings depend on."""
        from model.engine.session import ImageSegment

        vision = self.model.config.vision
        grid = video.grid(self.limits.patch)
        rate = vision.tokens_per_second
        key = f"video {video.digest}:{self.model.dtype}:{self.model.device}"
        length = grid[0] * grid[1] * grid[2] // vision.spatial_merge_size**2
        return ImageSegment(key, grid, length, video.seconds_per_step * rate if rate else 1.0)

    @cached_property
    def _digit_ids(self) -> tuple[int, ...]:
        """Ids of the digits 0 to 9; empty where a digit is not a single token."""
        encoded = [self.tokenizer.encode(str(digit)) for digit in range(10)]
        return tuple(ids[0] for ids in encoded) if all(len(ids) == 1 for ids in encoded) else ()


def _in_order(
    input_ids: Sequence[int], config: Config, images: Sequence[ImageSegment], videos: Sequence[ImageSegment]
) -> list[ImageSegment]:
    """Return images and videos in the order of their placeholders."""
    if not videos:
        return list(images)
    queues = {config.image_token_id: list(images), config.video_token_id: list(videos)}
    result: list[ImageSegment] = []
    index = 0
    while index < len(input_ids):
        queue = queues.get(input_ids[index])
        if queue:
            result.append(queue.pop(0))
            index += result[-1].length
        else:
            index += 1
    return result


def load_chat(
    name_or_path_or_hub_id: str | Path = "embedded", device: str = "auto", dtype: str = "auto", budget_tokens: int = 0
) -> ChatModel:
    """Load a checkpoint with its tokenizer, ready for `ChatModel.reply`.

    Args:
        name_or_path_or_hub_id: "embedded", a checkpoint folder, a Hub id that `agent models pull` has fetched, or a
            GGUF file.
        device: "cpu", "cuda", "cuda:N", or "auto" for CUDA where there is a device, else the CPU.
        dtype: "float32", "bfloat16" or "float16"; "int8" or "int4" for quantized weights, about a quarter and a sixth
            of float32's memory. "auto": bfloat16 on CUDA, float32 elsewhere, and the 4 bits of AWQ checkpoints and of
            GGUF files.
            "fast": bfloat16 also on a CPU that multiplies faster in it, whose rounding can change a digit of a close
            call.
        budget_tokens: Longest context; 0 for the setting in the checkpoint's pixelhand.json, or else all positions
            of the model.

    Raises:
        UsageError: The checkpoint cannot be loaded (see `load_model`), or dtype is unknown.
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
