"""The command `agent bench agreement`: whether other data types of the weights act as float32 does."""

from __future__ import annotations

import json as json_
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from actions import Action, Screen
    from agent.policies.base import Policy

    Actions = tuple[Action, ...]

REFERENCE = "float32"
POINTS = {"x", "y", "path"}  # fields of actions
NEAR_PX = 5.0  # between the points of two actions that touch the same element of a practice page, mostly


@dataclass
class Agreement:
    """How far the actions of a data type agree with the reference's on the same screens.

    Attributes:
        dtype: The data type.
        screens: Number of screens.
        replies: Replies with the same text.
        actions: The same actions, to the pixel.
        near: The same actions with points at most NEAR_PX apart.
    """

    dtype: str
    screens: int = 0
    replies: int = 0
    actions: int = 0
    near: int = 0


def agreement(
    model: Annotated[str, typer.Option(help="embedded, a checkpoint's folder, or a Hub id.")] = "embedded",
    dtypes: Annotated[str, typer.Option("--dtype", help="Comma-separated data types.")] = "bfloat16,int8,int4",
    screens: Annotated[int, typer.Option(min=1, help="Number of first screens of practice pages.")] = 500,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Compare greedy actions on practice screens with those of the same checkpoint in float32."""
    from actions import UsageError
    from perf.cli import DTYPES

    names = [name.strip() for name in dtypes.split(",")]
    if unknown := [name for name in names if name not in DTYPES]:
        raise UsageError(f"--dtype is {', '.join(DTYPES)}, not {unknown[0]!r}")
    results = compare_dtypes(model, names, list(practice_screens(screens)))
    if json:
        print(json_.dumps({"model": model, "reference": REFERENCE, "found": [asdict(result) for result in results]}))
        return
    for result in results:
        shares = (result.replies / result.screens, result.actions / result.screens, result.near / result.screens)
        print(
            f"{result.dtype:9} {result.screens} screens: same reply {shares[0]:.1%}, same action {shares[1]:.1%}, "
            f"same action within {NEAR_PX:.0f} px {shares[2]:.1%}"
        )


def practice_screens(count: int) -> Iterator[tuple[str, Screen]]:
    """Yield the goals and first screens of practice pages, the tasks of the embedded model's card in turn."""
    from envs.miniwob.env import miniwob_env
    from envs.miniwob.pages import EVAL_SEED_START
    from evals.live.base import load_live_benchmark

    tasks = load_live_benchmark("miniwob").default_tasks()
    each = math.ceil(count / len(tasks))
    for number, task in enumerate(tasks):
        env = miniwob_env(task)
        try:
            for seed in range(EVAL_SEED_START, EVAL_SEED_START + min(each, count - number * each)):
                _, info = env.reset(seed=seed)
                yield info["goal"], info["screen"]
        finally:
            env.close()


def compare_dtypes(model: str, dtypes: Sequence[str], screens: Sequence[tuple[str, Screen]]) -> list[Agreement]:
    """Return the agreement of each data type with float32 on goals and screens."""
    expected = decide(model, REFERENCE, screens)
    results = []
    for dtype in dtypes:
        result = Agreement(dtype, len(screens))
        for (text, actions), (reference_text, reference) in zip(decide(model, dtype, screens), expected, strict=True):
            result.replies += text == reference_text
            result.actions += actions == reference
            result.near += is_near(actions, reference)
        results.append(result)
    return results


def decide(model: str, dtype: str, screens: Sequence[tuple[str, Screen]]) -> list[tuple[str, Actions]]:
    """Return the reply and its actions for each goal and screen, () where the reply cannot be read."""
    from agent.policies.factory import load_local_policy

    policy = load_local_policy(model, dtype=dtype)
    try:
        return [decide_once(policy, goal, screen) for goal, screen in screens]
    finally:
        policy.close()


def decide_once(policy: Policy, goal: str, screen: Screen) -> tuple[str, Actions]:
    """Return the reply and its actions for one screen."""
    from actions import ACTION_TYPES, InvalidActionError

    reply = policy.decide(goal, (), screen, frozenset(ACTION_TYPES))
    try:
        return reply.text, tuple(policy.to_actions(policy.parse(reply), screen))
    except InvalidActionError:
        return reply.text, ()


def is_near(actions: Actions, reference: Actions) -> bool:
    """Return whether two replies' actions are the same but for points at most NEAR_PX apart."""
    if len(actions) != len(reference):
        return False
    for action, expected in zip(actions, reference, strict=True):
        fields = action.model_dump(exclude=POINTS), expected.model_dump(exclude=POINTS)
        points = action.points(), expected.points()
        if fields[0] != fields[1] or len(points[0]) != len(points[1]):
            return False
        if any(math.dist(point, other) > NEAR_PX for point, other in zip(*points, strict=True)):
            return False
    return True
