"""SecondLook: ask the model whether the screens show that the goal is reached, without what it did or said.

The answer can refute a reported success. It cannot verify one: a page may show what is not so, see `Verifier`.
"""

from __future__ import annotations

from collections.abc import Sequence

from actions import Error, Screen
from agent.policies.base import SupportsJudgment
from agent.verification.proof import SECOND_LOOK, ExpectationFinding, Proof

REFUTED_BELOW = 0.1  # probability of yes
QUESTION = """These screenshots were taken while somebody worked on a task: {order}.

Task: {goal}
{answer}
Does the last screenshot show that the whole task is done? An error message, a part that is left to do, or a field with
another value than the task asks for means no. Answer with one word, Yes or No."""
ORDERS = (
    "one at the end",
    "the first at the start, the last at the end",
    "the first at the start, the second before the last step, the last at the end",
)


class SecondLook:
    """A question to the model about the goal and at most three screens of a run.

    Args:
        model: Answers it. It receives neither the actions nor the thoughts of the run.
    """

    def __init__(self, model: SupportsJudgment) -> None:
        self._model = model

    def check(self, goal: str, screens: Sequence[Screen], answer: str = "") -> Proof:
        """Return "refuted" if the model's probability of yes is below `REFUTED_BELOW`, else "claimed".

        Args:
            goal: The task in plain language.
            screens: The screens of the run, oldest first; the first, the last and the one before it are used.
            answer: What the run answered to the user; "" if nothing.
        """
        chosen = _distinct([screens[0], *screens[-2:]])
        answer_line = f"Answer given: {answer}\n" if answer else ""
        question = QUESTION.format(order=ORDERS[len(chosen) - 1], goal=goal, answer=answer_line)
        try:
            probability = self._model.judge(question, chosen)
        except Error as error:
            return Proof("claimed", (ExpectationFinding(SECOND_LOOK, "unproven", str(error)),))
        is_refuted = probability < REFUTED_BELOW
        detail = f"the probability that the last screen shows the goal as reached is {probability:.2f}"
        finding = ExpectationFinding(SECOND_LOOK, "unmet" if is_refuted else "unproven", detail)
        return Proof("refuted" if is_refuted else "claimed", (finding,))


def _distinct(screens: Sequence[Screen]) -> list[Screen]:
    """Return the screens without those that look like the one before."""
    return [screen for index, screen in enumerate(screens) if not index or screen.digest != screens[index - 1].digest]
