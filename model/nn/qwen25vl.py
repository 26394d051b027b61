"""Vision and text assembled: the model itself. Knows ids, pictures as patches, and logits; knows no words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
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
    """Qwen2.5-VL. Calling it gives logits [B, S, V]; its tensors have the standard names and shapes of transformers.

    mrope chooses how text after a video is placed (see model.rope); for pictures the rules agree.
    """

    def __init__(self, config: Config, mrope: Rule = "original") -> None:
        super().__init__()
        self.config = config
        self.mrope: Rule = mrope
        self.visual = VisionEncoder(config.vision)
        self.model = TextDecoder(config.text)
        self.lm_head: nn.Linear | None = None
        if not config.text.tie_word_embeddings:
            self.lm_head = nn.Linear(config.text.hidden_size, config.text.vocab_size, bias=False)

    @property
    def device(self) -> torch.device:
        return self.model.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.norm.weight.dtype

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., C] -> [..., V]; tied checkpoints use the embeddings' own rows."""
        head = self.model.embed_tokens if self.lm_head is None else self.lm_head
        if isinstance(head, nn.Embedding):
            return nn.functional.linear(hidden, head.weight)
        return getattr(head, "product", head)(hidden)  # product: of embeddings in 8 bits (model.engine.narrow)

    def embed(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        image_grid_thw: Grids | None = None,
        pixel_values_videos: Tensor | None = None,
        video_grid_thw: Grids | None = None,
    ) -> Tensor:
        """Embeddings [B, S, C] of ids [B, S], with pictures [N, 1176] in the places of their placeholders."""
        embeddings = self.model.embed_tokens(input_ids)
        for kind, token, patches, grids in (
            ("image", self.config.image_token_id, pixel_values, image_grid_thw),
            ("video", self.config.video_token_id, pixel_values_videos, video_grid_thw),
        ):
            if patches is None:
                continue
            if grids is None:
                raise InvalidActionError(
                    f"{kind} patches came without their grid; give {kind}_grid_thw, one (t, h, w) each"
                )
            rows = [tuple(row) for row in (grids.tolist() if isinstance(grids, Tensor) else grids)]
            places = input_ids == token
            cells = self.config.vision.spatial_merge_size**2
            expected, got = sum(t * h * w for t, h, w in rows), len(patches)
            if expected != got or int(places.sum()) * cells != got:
                raise InvalidActionError(
                    f"{kind}: {got} patches, grids for {expected} and {int(places.sum())} placeholders do not match; "
                    f"each placeholder stands for {cells} patches"
                )
            pictures = self.visual(patches.to(self.device), rows).to(embeddings.dtype)
            embeddings = embeddings.masked_scatter(places.unsqueeze(-1), pictures)
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
        """A whole prompt -> hidden states [B, S, C] and the offset [B, 1] of positions that follow it."""
        positions, deltas = position_ids(
            input_ids,
            self.config,
            attention_mask,
            image_grid_thw,
            video_grid_thw,
            second_per_grid_ts,
            self.mrope,
        )
        embeddings = self.embed(input_ids, pixel_values, image_grid_thw, pixel_values_videos, video_grid_thw)
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
        """Logits [B, S, V]. input_ids and attention_mask [B, S]; pixel values [patches, 1176]; grids [pictures, 3]."""
        hidden, _ = self.prefill(
            input_ids.to(self.device),
            attention_mask,
            pixel_values,
            image_grid_thw,
            pixel_values_videos,
            video_grid_thw,
            second_per_grid_ts,
        )
        return self.logits(hidden)
