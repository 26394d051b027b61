"""Looking twice: where a model is unsure of the point that it names, it is asked again about the part around it.

Knows the policy of a model on this machine and pixels of screens; knows no machine. The part is half as wide and half
as high as the screen, shown at the screen's own size; what is pointed at in it is mapped back. A reply that points more
than once, that names no point or whose spread is not known (see model.engine.confidence) is left as it is. Where the
second look is unsure too, or finds nothing, the reply carries that doubt, and a person who is there is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from actions import InvalidActionError, Reply, Screen, Step
from agent.policies.base import LocalPolicy

UNCERTAIN_PX = 14.0  # a spread of half a cell, in the model's pixels: two neighbouring things are no longer told apart
POINT_ACTIONS = ("click", "move", "long_press")


@dataclass(frozen=True)
class Crop:
    """Of a screen, width x height pixels at (left, top)."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def centered_at(cls, screen: Screen, x: int, y: int) -> Crop:
        """Half as wide and as high as the screen, with the point as near to its middle as the edges allow."""
        width, height = max(1, screen.width // 2), max(1, screen.height // 2)
        left = min(max(0, x - width // 2), screen.width - width)
        top = min(max(0, y - height // 2), screen.height - height)
        return cls(left, top, width, height)

    def resized(self, screen: Screen) -> Screen:
        """The part at the size of the whole."""
        from model.processing.image import resize

        cut = screen.pixels[self.top : self.top + self.height, self.left : self.left + self.width]
        return Screen(np.ascontiguousarray(resize(cut, screen.width, screen.height)), timestamp=screen.timestamp)

    def to_screen(self, screen: Screen, x: int, y: int) -> tuple[int, int]:
        """The pixel of the screen that holds the centre of a pixel of the enlarged part."""
        return (
            self.left + (2 * x + 1) * self.width // (2 * screen.width),
            self.top + (2 * y + 1) * self.height // (2 * screen.height),
        )


class ZoomPolicy(LocalPolicy):
    """A LocalPolicy that looks twice: zoom "on" at every point, "auto" where its spread is above WIDE_PX.

    The reply is the first one with the second one's point in it; its looks are those of both, the second's in pixels of
    the enlarged part, whose place is beside it.
    """

    def __init__(self, *given: Any, zoom: str = "auto", **named: Any) -> None:
        super().__init__(*given, **named)
        self.zoom = zoom

    @property
    def metadata(self) -> Mapping[str, Any]:
        return {**super().metadata, "zoom": self.zoom}

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        first = super().decide(goal, steps, screen, verbs)
        spread = self.chat.work.spread
        if spread is None or len(self.dialect.point_spans(first.text)) != 1:
            return first
        if self.zoom == "auto" and spread.px <= UNCERTAIN_PX:
            return first
        meant = self._pointed(first, screen)
        if meant is None:
            return first
        part = Crop.centered_at(screen, meant.x, meant.y)
        near = part.resized(screen)
        second = super().decide(goal, steps, near, verbs)
        again = self._pointed(second, near)
        place = {"left": part.left, "top": part.top, "width": part.width, "height": part.height}
        both = replace(
            first,
            reply_tokens=first.reply_tokens + second.reply_tokens,
            timings_s={**first.timings_s, "zoom": sum(second.timings_s.values())},
            image_digests=(*first.image_digests, *second.image_digests[-1:]),
            localizations=(
                *first.localizations,
                *({**one, "part": place, "text": second.text} for one in second.localizations),
            ),
        )
        if again is None or again.verb != meant.verb:
            return (
                replace(both, uncertainty="a second look did not find it again") if spread.px > UNCERTAIN_PX else both
            )
        x, y = part.to_screen(screen, again.x, again.y)
        still = self.chat.work.spread
        doubt = ""
        if still is None or still.px > UNCERTAIN_PX:
            wide = "an unknown number of" if still is None else f"{still.px * part.width / screen.width:.0f}"
            doubt = f"a second look was unsure by {wide} pixels too"
        return replace(both, text=self.dialect.with_point(first.text, x, y, screen), uncertainty=doubt)

    def _pointed(self, reply: Reply, screen: Screen) -> Any:
        """The one action that a reply means, if it is to point; else None."""
        try:
            action = self.to_action(self.parse(reply), screen)
        except InvalidActionError:
            return None
        return action if action.verb in POINT_ACTIONS else None
