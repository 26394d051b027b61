"""Policies that answer questions in tests of evals; a RunSpec names them as "helpers.eval_answers:NAME"."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from actions import Reply, Screen
from evals.workers.spec import RunSpec
from helpers.eval_runs import HashPolicy
from model.dialects.qwen25 import Dialect
from model.processing.image import ImageLimits


class HashAnswerPolicy(HashPolicy):
    """Answers with a number that depends on the question and the images."""

    def answer(self, question: str, screens: Sequence[Screen], schema: Mapping[str, object] | None) -> Reply:
        assert schema is None
        digests = "".join(screen.digest for screen in screens)
        return Reply(str(2 + hashlib.sha256((question + digests).encode()).digest()[0] % 9))


class FixedAnswerPolicy(HashAnswerPolicy):
    """Answers every question with the name of its model, in Qwen2.5-VL's coordinates."""

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(spec)
        self.dialect = Dialect(ImageLimits(), prompt=None, tool="", history="")
        self.questions: list[str] = []
        self.screens: list[int] = []

    def answer(self, question: str, screens: Sequence[Screen], schema: Mapping[str, object] | None) -> Reply:
        self.questions.append(question)
        self.screens.append(len(screens))
        return Reply(str(self.metadata["model"]))


def answering(spec: RunSpec) -> HashAnswerPolicy:
    return HashAnswerPolicy(spec)
