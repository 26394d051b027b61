"""Benchmarks of the engine beside transformers, with the same weights, inputs and threads, in one process.

Every figure is a median, and both implementations are called in alternation. `ratio` is the baseline's time divided by
the engine's. `roofline_ms` is the time that this device would need for the engine's work at the rates it reached a
moment before: matrix products for what is computed at once, memory bandwidth for what is read token by token. Norms,
positions, Python and attention within windows are not in the roofline. `roofline_fraction` is the roofline divided by
the engine's time: 1 where nothing remains to be gained.
"""

from __future__ import annotations

import copy
import platform
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np

from actions import Screen, UsageError
from agent.history_window import evicted_count
from model.checkpoints.weights import load_model, resolve_checkpoint, save_model
from model.engine.cuda_graphs import VisionGraphs
from model.engine.decode import Generation, generate_stream
from model.engine.session import ImageSegment, PrefixCachedSession, Segment, TextSegment
from model.engine.vision_cache import VisionCache
from model.processing.image import ImageLimits, patchify_frame
from perf import reference, timing
from perf.bench_result import BenchResult
from perf.inputs import RANDOM_CONFIGS, merge_texts, random_model, random_screenshot, random_token_ids
from perf.timing import interleaved, median_ms, now_ms

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import Qwen2_5_VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

Method = TypeVar("Method", bound=Callable[..., Any])
BASELINES = ("transformers", "none")
DEVICES = ("cpu", "cuda")
SYSTEM_TOKENS = 400  # of the system prompt and the function schemas
TURN_TOKENS = 30  # of a turn's text


def without_gradients(method: Method) -> Method:
    """Wrap a method in torch.inference_mode; torch is imported when the method is called."""

    @wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        import torch

        with torch.inference_mode():
            return method(*arguments, **named)

    return cast(Method, call)


class EngineBench:
    """One model in the engine, and in the baseline over the same weights.

    Args:
        model: embedded, a checkpoint's folder, a Hub id, or random:50m, random:3b or random:7b.
        device: cpu or cuda.
        dtype: float32, bfloat16 or float16; int8 or int4, where the baseline stays in bfloat16.
        baseline: transformers or none.
        graphs: Whether to decode and encode with CUDA graphs.

    Raises:
        UsageError: An argument is invalid, the device is missing, or the model does not fit.
    """

    def __init__(
        self,
        model: str,
        device: str = "cpu",
        dtype: str = "float32",
        baseline: str = "transformers",
        graphs: bool = False,
    ) -> None:
        import torch

        from model.nn.quantization import quantize_model

        if baseline not in BASELINES:
            raise UsageError(f"--baseline is {' or '.join(BASELINES)}, not '{baseline}'")
        if device not in DEVICES:
            raise UsageError(f"--device is {' or '.join(DEVICES)}, not '{device}'")
        if device == "cuda" and not torch.cuda.is_available():
            raise UsageError("torch finds no CUDA device; use --device cpu, or install torch with CUDA")
        self.name, self.device, self.baseline = model, device, baseline
        self.bits: Literal[8, 4] | None = 8 if dtype == "int8" else 4 if dtype == "int4" else None
        self.dtype: torch.dtype = torch.bfloat16 if self.bits else getattr(torch, dtype)
        self.weights_dtype, self.graphs = dtype, graphs
        self.limits = ImageLimits()
        if model in RANDOM_CONFIGS:
            self.model = random_model(RANDOM_CONFIGS[model], device, self.dtype, model)
        elif model.startswith("random:"):
            raise UsageError(f"there is no model '{model}'; have {', '.join(RANDOM_CONFIGS)}")
        else:
            from model.checkpoints.settings import read_limits

            self.model = load_model(model, device, self.dtype)
            self.limits = read_limits(resolve_checkpoint(model))
        self.config = self.model.config
        if self._has_baseline and self.config.model_type != "qwen2_5_vl":
            raise UsageError(
                f"--baseline transformers cannot be used with {self.config.name}: the baseline is set up for "
                "Qwen2.5-VL only. Add --baseline none"
            )
        self.unquantized = self.model  # the baseline's weights
        if self.bits:
            self.model = quantize_model(copy.deepcopy(self.model), self.bits)
        self.encoder = VisionGraphs(self.model.visual, graphs)

    @cached_property
    def reference(self) -> Qwen2_5_VLForConditionalGeneration:
        """Transformers' model over the same tensors."""
        return reference.reference_model(self.unquantized, self.device)

    @cached_property
    def processor(self) -> Qwen2VLImageProcessorPil:
        """Transformers' image processor."""
        return reference.reference_processor(self.limits)

    @cached_property
    def rates(self) -> tuple[float, float]:
        """(bytes per second of a copy, FLOP per second of a matrix product) of the device now."""
        import torch

        size = 2048 if self.device == "cpu" else 8192
        a = torch.randn(size, size, device=self.device).to(self.dtype)
        product_s = median_ms(lambda: a @ a, self.device) / 1e3
        return timing.copy_bandwidth(self.device), 2 * size**3 / product_s

    @cached_property
    def host_bandwidth(self) -> float:
        """Bytes per second of a copy in host memory, where files and screenshots are."""
        return self.rates[0] if self.device == "cpu" else timing.copy_bandwidth("cpu")

    @property
    def _has_baseline(self) -> bool:
        return self.baseline == "transformers"

    def _facts(self, **more: Any) -> dict[str, Any]:
        import torch

        device = torch.cuda.get_device_name() if self.device.startswith("cuda") else platform.processor() or "cpu"
        bandwidth, flops = self.rates
        return {
            "model": self.name,
            "parameters": sum(parameter.numel() for parameter in self.unquantized.parameters()),
            "weights_mb": round(_weight_bytes(self.model) / 1e6, 1),
            "device": device,
            "threads": torch.get_num_threads(),
            "dtype": self.weights_dtype,
            "baseline": self.baseline,
            "against": self.baseline,
            "gb_per_s": round(bandwidth / 1e9, 1),
            "gflop_per_s": round(flops / 1e9, 1),
            **more,
        }

    def _image_segment(self, screen: Screen) -> ImageSegment:
        width, height = self.limits.resized(screen.width, screen.height)
        patch, factor = self.limits.patch, self.limits.factor
        return ImageSegment(screen.digest, (1, height // patch, width // patch), width * height // factor**2)

    def _image_tokens(self, size: tuple[int, int]) -> int:
        return self._image_segment(Screen(np.zeros((size[1], size[0], 3), np.uint8))).length

    def _roofline_ms(self, patches: int, tokens: int, decoded: int, past: int = 0) -> float:
        """Return the roofline of encoding, prefilling and decoding.

        Args:
            patches: Number of image patches to encode.
            tokens: Number of tokens to prefill.
            decoded: Number of tokens to decode one by one.
            past: Number of tokens in the KV cache.
        """
        bandwidth, flops = self.rates
        vision, text = self.config.vision, self.config.text
        full_attention = (
            len(vision.fullatt_block_indexes) * 4 * patches * patches * vision.hidden_size if patches else 0
        )
        encoder = sum(parameter.numel() for parameter in self.unquantized.visual.parameters()) * 2 * patches
        decoder = sum(parameter.numel() for parameter in self.unquantized.model.layers.parameters()) * 2 * tokens
        width = text.attention_layers * text.num_attention_heads * text.head_dim
        attention = 4 * width * tokens * (past + tokens / 2)
        kv_bytes = 2 * text.attention_layers * text.num_key_value_heads * text.head_dim * self.dtype.itemsize
        head = self.model.model.embed_tokens if self.model.lm_head is None else self.model.lm_head
        read_bytes = _weight_bytes(self.model.model.layers) + _weight_bytes(head) + kv_bytes * (past + tokens)
        return 1e3 * ((encoder + full_attention + decoder + attention) / flops + decoded * read_bytes / bandwidth)

    def step(
        self, size: tuple[int, int], steps: int, reply_tokens: int, repeat: int = 1, images: int | None = None
    ) -> BenchResult:
        """Time the steps of an episode, each with one more screenshot and a reply of unconstrained tokens.

        The baseline gets the whole conversation each time, as its generate() requires, and keeps its cache within the
        reply.

        Args:
            size: Width and height of the screenshots in pixels.
            steps: Number of steps.
            reply_tokens: Number of tokens per reply.
            repeat: Number of timed episodes; one more warms up.
            images: Number of earlier steps whose image and reply stay in the context; older ones are evicted in
                blocks, as agent.history_window does. None: all.
        """
        facts = self._facts(
            size=f"{size[0]}x{size[1]}",
            steps=steps,
            reply_tokens=reply_tokens,
            said=reply_tokens,
            images=images,
            pictures=images,
        )
        result = BenchResult("step", facts, same=True)
        engine_runs: list[list[float]] = []
        baseline_runs: list[list[float]] = []
        for seed in range(repeat + 1):
            count = steps if seed else 2
            engine_ms, baseline_ms = self._episode(result, size, count, reply_tokens, seed, images)
            if seed:
                engine_runs.append(engine_ms)
                baseline_runs.append(baseline_ms)
        result.engine_ms = [statistics.median(times) for times in zip(*engine_runs, strict=True)]
        result.baseline_ms = [statistics.median(times) for times in zip(*baseline_runs, strict=True)]
        image_tokens = self._image_tokens(size)
        first_tokens = image_tokens + SYSTEM_TOKENS + TURN_TOKENS
        result.roofline_ms = [self._roofline_ms(image_tokens * 4, first_tokens, reply_tokens)]
        for number in range(1, steps):
            kept = number if images is None else number - evicted_count(number, images)
            past = SYSTEM_TOKENS + kept * (image_tokens + TURN_TOKENS + reply_tokens)
            tokens = image_tokens + TURN_TOKENS
            result.roofline_ms.append(self._roofline_ms(image_tokens * 4, tokens, reply_tokens, past))
        return result

    def _episode(
        self,
        result: BenchResult,
        size: tuple[int, int],
        steps: int,
        reply_tokens: int,
        seed: int,
        images: int | None,
    ) -> tuple[list[float], list[float]]:
        """Return the durations of each step in the engine and in the baseline."""
        kept = steps if images is None else min(steps, images + 1)
        length = SYSTEM_TOKENS + kept * (self._image_tokens(size) + TURN_TOKENS + 2 * reply_tokens)
        # positions need no training to be timed: an episode may be longer than the model's context
        budget = max(length, self.config.text.max_position_embeddings)
        session, vision_cache = PrefixCachedSession(self.model, budget, graphs=self.graphs), VisionCache()
        rng = np.random.default_rng(seed)
        system = TextSegment(random_token_ids(rng, SYSTEM_TOKENS))
        turns: list[list[Segment]] = []
        screens: list[Screen] = []
        engine_ms: list[float] = []
        baseline_ms: list[float] = []
        for number in range(steps):
            screens.append(random_screenshot(rng, size))
            turns.append([self._image_segment(screens[-1]), TextSegment(random_token_ids(rng, TURN_TOKENS))])
            first = 0 if images is None else evicted_count(number, images)
            visible_screens = screens[first:]
            context: list[Segment] = [system, *(segment for turn in turns[first:] for segment in turn)]
            screens_by_key = {self._image_segment(screen).key: screen for screen in visible_screens}

            def encode(image: ImageSegment, screens_by_key: dict[str, Screen] = screens_by_key) -> Tensor:
                def compute() -> Tensor:
                    patches, grid = patchify_frame(screens_by_key[image.key].pixels, self.limits, self.device)
                    return self.encoder(patches, grid)

                return vision_cache.get(image.key, compute)

            reply = Generation()
            start_ms = now_ms(self.device)
            for _ in generate_stream(session, merge_texts(context), encode, reply, max_new_tokens=reply_tokens):
                pass
            engine_ms.append(now_ms(self.device) - start_ms)
            if self._has_baseline:
                start_ms = now_ms(self.device)
                reference_ids = self._reference_reply(context, visible_screens, reply_tokens)
                baseline_ms.append(now_ms(self.device) - start_ms)
                result.same = bool(result.same) and reference_ids == reply.ids
            # not the reply itself: a random model's tokens might be image placeholders
            turns[-1].append(TextSegment(random_token_ids(rng, reply_tokens)))
        return engine_ms, baseline_ms

    @without_gradients
    def _reference_reply(self, context: Sequence[Segment], screens: Sequence[Screen], count: int) -> list[int]:
        pad = self.config.image_token_id
        ids = [
            token_id
            for segment in context
            for token_id in (segment.ids if isinstance(segment, TextSegment) else (pad,) * segment.length)
        ]
        return reference.generate_reply(
            self.reference,
            self.processor,
            ids,
            screens,
            image_token_id=pad,
            count=count,
            device=self.device,
            dtype=self.dtype,
        )

    @without_gradients
    def vision(self, size: tuple[int, int], repeat: int = 5) -> BenchResult:
        """Time the vision encoder on one screenshot's patches."""
        import torch

        screen = random_screenshot(np.random.default_rng(0), size)
        patches, grid = patchify_frame(screen.pixels, self.limits, self.device)
        result = BenchResult("vision", self._facts(size=f"{size[0]}x{size[1]}", patches=len(patches)))
        calls: list[Callable[[], Tensor]] = [lambda: self.encoder(patches, grid)]
        if self._has_baseline:
            from model.processing.image import patchify

            double_patches, _ = patchify(screen.pixels, self.limits, self.device)
            grids = torch.tensor([grid], device=self.device)

            def encode_with_reference() -> Tensor:
                return self.reference.model.visual(double_patches.to(self.dtype), grid_thw=grids).pooler_output

            calls.append(encode_with_reference)
            result.same = self._is_close(calls[0](), encode_with_reference())
        result.engine_ms, result.baseline_ms = interleaved(calls, repeat, self.device)
        result.roofline_ms = [self._roofline_ms(len(patches), 0, 0)]
        return result

    def preprocess(self, size: tuple[int, int], repeat: int = 9) -> BenchResult:
        """Time a screenshot's conversion to patches on the CPU; `same` means equal to 1e-5."""
        from PIL import Image

        screen = random_screenshot(np.random.default_rng(0), size)
        result = BenchResult("preprocess", self._facts(size=f"{size[0]}x{size[1]}"))
        calls: list[Callable[[], Tensor]] = [lambda: patchify_frame(screen.pixels, self.limits)[0]]
        if self._has_baseline:
            image = Image.fromarray(screen.pixels)

            def process_with_reference() -> Tensor:
                return self.processor(images=image, return_tensors="pt")["pixel_values"]

            calls.append(process_with_reference)
            two_frames = process_with_reference().view(-1, 3, 2, 196)
            one_frame = calls[0]().view(-1, 3, 1, 196)
            result.same = bool((two_frames - one_frame).abs().max() < 1e-5)
        result.engine_ms, result.baseline_ms = interleaved(calls, repeat, "cpu")
        patches = calls[0]()
        moved_bytes = screen.pixels.nbytes + patches.numel() * patches.element_size()
        result.roofline_ms = [1e3 * moved_bytes / self.host_bandwidth]
        return result

    @without_gradients
    def prefill(self, tokens: int, repeat: int = 5) -> BenchResult:
        """Time the prefill of a text prompt without a cache, up to the last token's logits."""
        import torch

        ids = random_token_ids(np.random.default_rng(0), tokens)
        result = BenchResult("prefill", self._facts(tokens=tokens))
        rows = torch.tensor([ids], device=self.device)

        def prefill() -> Tensor:
            hidden = PrefixCachedSession(self.model).prefill([TextSegment(ids)], _no_image)
            return self.model.logits(hidden)

        calls: list[Callable[[], Tensor]] = [prefill]
        if self._has_baseline:

            def prefill_with_reference() -> Tensor:
                return self.reference(input_ids=rows, use_cache=True, logits_to_keep=1).logits[:, -1]

            calls.append(prefill_with_reference)
            result.same = self._is_close(prefill(), prefill_with_reference())
        result.engine_ms, result.baseline_ms = interleaved(calls, repeat, self.device)
        result.roofline_ms = [self._roofline_ms(0, tokens, 0)]
        return result

    @without_gradients
    def decode(self, tokens: int, reply_tokens: int, repeat: int = 3) -> BenchResult:
        """Time each token of a reply to a text prompt, from its first token to its last.

        Args:
            tokens: Length of the prompt.
            reply_tokens: Number of timed tokens.
            repeat: Number of timed replies; one more warms up.
        """
        ids = random_token_ids(np.random.default_rng(0), tokens)
        result = BenchResult("decode", self._facts(tokens=tokens, reply_tokens=reply_tokens, said=reply_tokens))
        calls = [lambda: self._time_decode(ids, reply_tokens)]
        if self._has_baseline:
            calls.append(lambda: reference.time_decode(self.reference, ids, reply_tokens, self.device))
        times: list[list[float]] = [[] for _ in calls]
        replies: list[list[int]] = []
        for turn in range(repeat + 1):
            replies = []
            for call, samples in zip(calls, times, strict=True):
                reply_ids, per_token_ms = call()
                replies.append(reply_ids)
                if turn:
                    samples.append(per_token_ms)
        medians = [[statistics.median(samples)] for samples in times]
        result.engine_ms, result.baseline_ms = medians[0], medians[1] if len(medians) > 1 else []
        result.roofline_ms = [self._roofline_ms(0, 0, 1, past=tokens)]
        result.same = replies[0] == replies[1] if self._has_baseline else None
        return result

    def _time_decode(self, ids: tuple[int, ...], count: int) -> tuple[list[int], float]:
        """Return (token ids, milliseconds per token from the first to the last) of a reply."""
        reply = Generation()
        session = PrefixCachedSession(self.model, graphs=self.graphs)
        stream = generate_stream(session, [TextSegment(ids)], _no_image, reply, max_new_tokens=count + 1)
        next(stream)
        first_ms = now_ms(self.device)
        for _ in stream:
            pass
        return reply.ids, (now_ms(self.device) - first_ms) / count

    def load(self, repeat: int = 3) -> BenchResult:
        """Time loading a checkpoint's files into a model."""
        from transformers import Qwen2_5_VLForConditionalGeneration

        result = BenchResult("load", self._facts())
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) if self.name in RANDOM_CONFIGS else resolve_checkpoint(self.name)
            if self.name in RANDOM_CONFIGS:
                reference.reference_config(self.config).save_pretrained(folder)
                save_model(self.unquantized, folder, self.dtype)
            calls: list[Callable[[], object]] = [lambda: load_model(folder, self.device, self.dtype, bits=self.bits)]
            if self._has_baseline:

                def load_reference() -> object:
                    model: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=self.dtype)
                    return model.to(self.device)

                calls.append(load_reference)
            result.engine_ms, result.baseline_ms = interleaved(calls, repeat, self.device)
        # read from the page cache, and written
        result.roofline_ms = [1e3 * 2 * _weight_bytes(self.model) / self.host_bandwidth]
        return result

    def _is_close(self, a: Tensor, b: Tensor) -> bool:
        import torch

        tolerance = 1e-3 if self.dtype == torch.float32 else 0.2
        return bool(torch.allclose(a.float(), b.float(), rtol=1e-2, atol=tolerance))


def _weight_bytes(module: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


def _no_image(image: ImageSegment) -> Tensor:
    raise AssertionError(f"a text prompt asked for {image}")
