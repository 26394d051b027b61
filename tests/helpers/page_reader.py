"""A drawn page of labeled values, and a policy that reads it as a model would: answers, points, and reads crops."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from actions import Click, InvalidActionError, Reply, Screen
from agent.policies.scripted import ScriptPolicy

LEFT, TOP, ROW = 200, 40, 40


def draw_page(values: Sequence[str], width: int = 600, height: int = 400) -> Screen:
    """Return a screenshot with a value in each row, a gray rule below each."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for row, text in enumerate(values):
        draw.text((20, TOP + ROW * row), "label:", fill="black", font=ImageFont.load_default(16))
        draw.text((LEFT, TOP + ROW * row), text, fill="black", font=ImageFont.load_default(16))
        draw.line((0, TOP + ROW * row + 28, width, TOP + ROW * row + 28), fill=(128, 128, 128))
    return Screen(np.asarray(image))


class PageReader(ScriptPolicy):
    """A policy for `draw_page`.

    Args:
        actions: Replies of the run.
        answers: Replies about the whole page, one for each attempt.
        rows: The row of each value that can be pointed at, by its text.
        readings: What a crop shows, by row; what the page shows where it is missing.
    """

    def __init__(
        self,
        actions: Sequence[str],
        answers: Sequence[object],
        rows: Mapping[str, int],
        readings: Mapping[int, object] | None = None,
    ) -> None:
        super().__init__(actions)
        self.answers = [answer if isinstance(answer, str) else json.dumps(answer) for answer in answers]
        self.rows, self.readings = rows, readings or {}
        self.questions: list[str] = []
        self.crops: list[Screen] = []
        self._row = -1

    def answer(self, question: str, screens: Sequence[Screen], schema: Mapping[str, object]) -> Reply:
        self.questions.append(question)
        if "part of a screenshot" not in question:
            return Reply(self.answers.pop(0))
        self.crops.append(screens[0])
        return Reply(json.dumps({"value": self.readings[self._row]}))

    def locate(self, text: str, screen: Screen) -> Click:
        for value, row in self.rows.items():
            if value in text:
                self._row = row
                return Click(x=LEFT + 8, y=TOP + ROW * row + 8)
        raise InvalidActionError("the reply contains no point")
