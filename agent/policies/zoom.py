"""ZoomPolicy: refine an uncertain point by a second prediction on an enlarged crop around it.

The crop is half as wide and half as high as the screen, resized to the screen's size, and the second point is mapped
back. Replies without a point, with several points or without a known uncertainty (see model.engine.point_uncertainty)
are left as they are. Where the second prediction is uncertain too, or points at nothing, the reply carries that
uncertainty, and the user is asked before the action is performed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from actions import Click, InvalidActionError, LongPress, Move, Reply, Screen, Step, UsageError, make_action
from agent.history_window import HistoryWindow
from agent.policies.base import OnText
from agent.policies.local import LocalPolicy
from model.dialects.base import Dialect

if TYPE_CHECKING:
    from model.chat_model import ChatModel
    from model.engine.point_uncertainty import PointUncertainty

UNCERTAIN_PX = 14.0  # half an image patch in model pixels: above it, neighboring targets are not distinguished
POINT_ACTIONS = ("click", "move", "long_press")


@dataclass(frozen=True)
class Crop:
    """A region of a screen: `width` x `height` pixels at (`left`, `top`)."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def centered_at(cls, screen: Screen, x: int, y: int) -> Crop:
        """Return the crop of half the screen's size whose center is as near to the point as the edges allow."""
        width, height = max(1, screen.width // 2), max(1, screen.height // 2)
        left = min(max(0, x - width // 2), screen.width - width)
        top = min(max(0, y - height // 2), screen.height - height)
        return cls(left, top, width, height)

    def resized(self, screen: Screen) -> Screen:
        """Return the crop at the size of the whole screen."""
        from model.processing.image import resize

        cut = screen.pixels[self.top : self.top + self.height, self.left : self.left + self.width]
        return Screen(np.ascontiguousarray(resize(cut, screen.width, screen.height)), timestamp=screen.timestamp)

    def to_screen(self, screen: Screen, x: int, y: int) -> tuple[int, int]:
        """Return the screen pixel that contains the center of a pixel of the resized crop."""
        return (
            self.left + (2 * x + 1) * self.width // (2 * screen.width),
            self.top + (2 * y + 1) * self.height // (2 * screen.height),
        )


def supports_zoom(dialect: Dialect) -> bool:
    """Return whether the point in a dialect's replies can be located and replaced."""
    screen = Screen(np.zeros((728, 1288, 3), np.uint8))
    try:
        text = dialect.format_action(make_action("click", x=400, y=300), screen)
    except UsageError:
        return False
    return len(dialect.point_spans(text)) == 1


class ZoomPolicy(LocalPolicy):
    """A LocalPolicy with a second prediction on a crop.

    The reply is the first one with the point of the second; its localizations are those of both, the second's in
    pixels of the resized crop, whose place is given beside it as `part`.

    Args:
        zoom: "on" for every point, "auto" for points with an uncertainty above UNCERTAIN_PX.
    """

    def __init__(
        self,
        chat: ChatModel,
        dialect: Dialect,
        history: HistoryWindow,
        *,
        zoom: str = "auto",
        temperature: float = 0.0,
        seed: int | None = None,
        on_text: OnText | None = None,
        auto_shrink_history: bool = False,
    ) -> None:
        super().__init__(
            chat,
            dialect,
            history,
            temperature=temperature,
            seed=seed,
            on_text=on_text,
            auto_shrink_history=auto_shrink_history,
        )
        self.zoom = zoom

    @property
    def metadata(self) -> Mapping[str, object]:
        """The identity of the policy for traces."""
        return {**super().metadata, "zoom": self.zoom}

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """Return the model's reply to a screen, its point refined by a second prediction where needed."""
        first = super().decide(goal, steps, screen, verbs)
        spread = self._spread()
        if spread is None or len(self.dialect.point_spans(first.text)) != 1:
            return first
        if self.zoom == "auto" and spread.px <= UNCERTAIN_PX:
            return first
        action = self._pointing_action(first, screen)
        if action is None:
            return first
        crop = Crop.centered_at(screen, action.x, action.y)
        crop_screen = crop.resized(screen)
        second = super().decide(goal, steps, crop_screen, verbs)
        refined = self._pointing_action(second, crop_screen)
        part = {"left": crop.left, "top": crop.top, "width": crop.width, "height": crop.height}
        merged = replace(
            first,
            reply_tokens=first.reply_tokens + second.reply_tokens,
            timings_s={**first.timings_s, "zoom": sum(second.timings_s.values())},
            image_digests=(*first.image_digests, *second.image_digests[-1:]),
            localizations=(
                *first.localizations,
                *({**localization, "part": part, "text": second.text} for localization in second.localizations),
            ),
        )
        if refined is None or refined.verb != action.verb:
            if spread.px > UNCERTAIN_PX:
                return replace(merged, uncertainty="a second prediction on an enlarged crop did not find the target")
            return merged
        x, y = crop.to_screen(screen, refined.x, refined.y)
        spread = self._spread()
        uncertainty = ""
        if spread is None or spread.px > UNCERTAIN_PX:
            amount = "an unknown number of" if spread is None else f"{spread.px * crop.width / screen.width:.0f}"
            uncertainty = f"a second prediction on an enlarged crop is uncertain by {amount} pixels too"
        return replace(merged, text=self.dialect.with_point(first.text, x, y, screen), uncertainty=uncertainty)

    def _spread(self) -> PointUncertainty | None:
        """Return the uncertainty of the last reply's point; None when it has none."""
        return None if self.chat.stats is None else self.chat.stats.uncertainty

    def _pointing_action(self, reply: Reply, screen: Screen) -> Click | Move | LongPress | None:
        """Return the one action of a reply if it points, else None."""
        try:
            action = self.to_action(self.parse(reply), screen)
        except InvalidActionError:
            return None
        return action if isinstance(action, Click | Move | LongPress) else None
