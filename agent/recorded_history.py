"""The steps of a trace as history for another policy, in the words of its dialect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from actions import InvalidActionError, Step, UsageError
from agent.policies.base import HasDialect, Policy
from model.dialects.base import Dialect


def translate_steps(steps: Sequence[Step], policy: Policy) -> list[Step]:
    """Return recorded steps with the replies that a policy's own model would have written for their actions.

    A reply that the policy's dialect reads as the recorded actions is kept; so is one that stands for no action.

    Raises:
        UsageError: The dialect cannot express the actions of a step.
    """
    if not isinstance(policy, HasDialect):
        return list(steps)
    return [_translate(step, policy.dialect) for step in steps]


def _translate(step: Step, dialect: Dialect) -> Step:
    actions = step.actions or ((step.action,) if step.action is not None else ())
    if not actions:
        return step
    try:
        call = dialect.parse(step.reply.text)
        if dialect.to_actions(call, step.screen)[: len(actions)] == actions:
            return replace(step, call=call)
    except InvalidActionError:
        pass
    if len(actions) > 1:
        raise UsageError(
            f"step {step.index} has {len(actions)} actions in one reply of another dialect, which cannot be translated"
        )
    try:
        text = dialect.format_action(actions[0], step.screen)
        return replace(step, reply=replace(step.reply, text=text), call=dialect.parse(text))
    except (UsageError, InvalidActionError) as error:
        raise UsageError(f"step {step.index} cannot be shown to this model: {error}") from None
