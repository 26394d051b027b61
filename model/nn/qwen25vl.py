"""The Qwen2.5-VL network: vision encoder, text decoder and language-model head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actions import InvalidActionError
from model.nn.config import Config
from model.nn.kv_cache import KVCache
from model.nn.rope import Rule, position_ids
from model.nn.text_decoder import TextDecoder
from model.nn.text_decoder import attention_mask as make_mask
from model.nn.vision_encoder import VisionEncoder

Grids = Tensor | Sequence[Sequence[int]]


class Qwen25VL(nn.Module):
    """Qwen2.5-VL; parameters have the names and shapes of the released checkpoints.

    Args:
        config: Sizes and placeholder ids; see `model.nn.config`.
        mrope: Rule for the positions of text after a video (see `model.nn.rope`); for images the rules agree.
    """

    encoder_type: ClassVar[type[VisionEncoder]] = VisionEncoder  # what sibling architectures replace

    def __init__(self, config: Config, mrope: Rule = "original") -> None:
        super().__init__()
        self.config = config
        self.mrope: Rule = mrope
        self.visual = self.encoder_type(config.vision)
        self.model = TextDecoder(config.text)
        self.lm_head: nn.Linear | None = None
        if not config.text.tie_word_embeddings:
            self.lm_head = nn.Linear(config.text.hidden_size, config.text.vocab_size, bias=False)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.model.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the norms, and with it of the activations."""
        return self.model.norm.weight.dtype

    def logits(self, hidden: Tensor) -> Tensor:
        """Return logits [..., V] of hidden states [..., C]; tied checkpoints multiply by the embedding matrix."""
        head = self.model.embed_tokens if self.lm_head is None else self.lm_head
        if isinstance(head, nn.Embedding):
            return F.linear(hidden, head.weight)
        return getattr(head, "product", head)(hidden)  # Int8Embedding has a `product` instead of a weight

    def embed(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        image_grid_thw: Grids | None = None,
        pixel_values_videos: Tensor | None = None,
        video_grid_thw: Grids | None = None,
    ) -> Tensor:
        """Return embeddings [B, S, C] of ids [B, S], with images and videos in the places of their placeholders.

        They are wider where the vision encoder's are; see `TextDecoder.forward`.

        Args:
            input_ids: Token ids [B, S].
            pixel_values: Patches [N, 1176] of all images in order.
            image_grid_thw: One (t, h, w) in patches per image.
            pixel_values_videos: Patches [N, 1176] of all videos in order.
            video_grid_thw: One (t, h, w) in patches per video.

        Raises:
            InvalidActionError: Patches, grids and placeholders do not match.
        """
        embeddings = self.model.embed_tokens(input_ids)
        for kind, token, patches, grids in (
            ("image", self.config.image_token_id, pixel_values, image_grid_thw),
            ("video", self.config.video_token_id, pixel_values_videos, video_grid_thw),
        ):
            if patches is None:
                continue
            if grids is None:
                raise InvalidActionError(
                    f"{kind} patches need a grid: pass {kind}_grid_thw with one (t, h, w) per {kind}"
                )
            rows = [tuple(row) for row in (grids.tolist() if isinstance(grids, Tensor) else grids)]
            is_placeholder = input_ids == token
            merge_area = self.config.vision.spatial_merge_size**2
            expected, count = sum(t * h * w for t, h, w in rows), len(patches)
            if expected != count or int(is_placeholder.sum()) * merge_area != count:
                raise InvalidActionError(
                    f"{kind}: {count} patches, grids for {expected} patches and {int(is_placeholder.sum())} "
                    f"placeholders do not match; each placeholder stands for {merge_area} patches"
                )
            visual = self.visual(patches.to(self.device), rows).to(embeddings.dtype)
            embeddings = F.pad(embeddings, (0, visual.shape[-1] - embeddings.shape[-1]))
            embeddings = embeddings.masked_scatter(is_placeholder.unsqueeze(-1), visual)
        return embeddings

    def prefill(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_grid_thw: Grids | None = None,
        pixel_values_videos: Tensor | None = None,
        video_grid_thw: Grids | None = None,
        second_per_grid_ts: Tensor | Sequence[float] | None = None,
        cache: KVCache | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run the decoder over a whole prompt.

        Takes the arguments of `forward`, and a cache to fill.

        Returns:
            Hidden states [B, S, C], and the offset [B, 1] from sequence index to position for the tokens that follow.
        """
        positions, deltas = position_ids(
            input_ids,
            self.config,
            attention_mask=attention_mask,
            image_grid_thw=image_grid_thw,
            video_grid_thw=video_grid_thw,
            second_per_grid_ts=second_per_grid_ts,
            rule=self.mrope,
        )
        embeddings = self.embed(
            input_ids,
            pixel_values=pixel_values,
            image_grid_thw=image_grid_thw,
            pixel_values_videos=pixel_values_videos,
            video_grid_thw=video_grid_thw,
        )
        mask = make_mask(attention_mask, input_ids.shape[1], 0, self.device)
        return self.model(embeddings, positions, mask, cache), deltas

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_grid_thw: Grids | None = None,
        pixel_values_videos: Tensor | None = None,
        video_grid_thw: Grids | None = None,
        second_per_grid_ts: Tensor | Sequence[float] | None = None,
    ) -> Tensor:
        """Return the logits of a prompt.

        Args:
            input_ids: Token ids [B, S] with one placeholder per merged patch (2x2 patches) of each image and video.
            attention_mask: [B, S], 0 for padding (left padding only); None when no row is padded.
            pixel_values: Normalized patches [N, 1176] of all images in order; see `model.processing.image.patchify`.
            image_grid_thw: One (t, h, w) in patches per image, t = 1; [images, 3].
            pixel_values_videos: Normalized patches [N, 1176] of all videos in order.
            video_grid_thw: One (t, h, w) in patches per video; [videos, 3].
            second_per_grid_ts: Seconds between two temporal patches of each video; 1.0 where missing.

        Returns:
            Logits [B, S, V] in the dtype of the weights.

        Raises:
            InvalidActionError: Patches, grids and placeholders do not match.
        """
        hidden, _ = self.prefill(
            input_ids.to(self.device),
            attention_mask=attention_mask,
            pixel_values=pixel_values,
            image_grid_thw=image_grid_thw,
            pixel_values_videos=pixel_values_videos,
            video_grid_thw=video_grid_thw,
            second_per_grid_ts=second_per_grid_ts,
        )
        return self.logits(hidden)
