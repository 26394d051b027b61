"""Oracles: their goals are the pages' own words, and who follows their answers wins, from wherever it went wrong."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from envs.miniwob.env import miniwob_env
from training import oracles
from training.miniwob_renderer import MiniWobRenderer
from training.oracles import ORACLES

LONGEST = 40
LUCK = "book-flight"  # no picture shows all of its flights


def slow_but(*quick: str) -> list[Any]:
    return [*quick, *(pytest.param(task, marks=pytest.mark.slow) for task in ORACLES if task not in quick)]


@pytest.mark.parametrize("task", slow_but("click-shape", "login-user", "use-autocomplete"))
def test_following_the_oracle_on_the_surface_wins(task: str, browser: Any) -> None:
    """The surface's own page is asked, at the surface's pace; but for dates, which take a hand from the renderer."""
    if task == "enter-date":
        pytest.skip("the surface's page does not show an oracle the parts of a date; the renderer's does")
    quick = task in ("click-shape", "login-user", "use-autocomplete")
    seeds = range(800_000, 800_000 + (2 if quick else 20))
    studio, env = MiniWobRenderer(task, browser), miniwob_env(task)
    won = 0
    try:
        for seed in seeds:
            _, info = env.reset(seed=seed)
            env.surface.evaluate(oracles.script() + "; null")
            reward, done = 0.0, False
            for step in range(LONGEST):
                asked = env.surface.evaluate(oracles.questions_js(task, studio.page.scale, step))
                assert asked[0]["goal"] == info["goal"]
                _, reward, done, _, _ = env.step(studio.action(asked[0]["answer"]))
                if done:
                    break
            won += reward == 1.0 and done
    finally:
        studio.close()
        env.close()
    assert won >= len(seeds) * (0.4 if task == LUCK else 1.0)


def _misstep(questions: list[dict[str, Any]], stray: dict[str, Any] | None, chance: random.Random) -> dict[str, Any]:
    """Something that another goal, or none, would have asked for; nothing that a picture could not tell later."""
    own = questions[0]
    secret = re.search(r'password "(.*?)"', own["goal"])
    others = [
        one["answer"] for one in questions[1:] if not (secret and len(one["answer"].get("text", "")) == len(secret[1]))
    ]
    wrong = [*others, *([stray] if stray else [])]
    return chance.choice(wrong) if wrong else own["answer"]


@pytest.mark.parametrize("task", slow_but("click-checkboxes", "enter-date", "enter-text"))
def test_after_wrong_turns_the_oracle_still_wins(task: str, browser: Any) -> None:
    if ORACLES[task] == 1 or task == LUCK:
        pytest.skip("one click ends this page" if ORACLES[task] == 1 else "winning takes luck")
    studio = MiniWobRenderer(task, browser)
    won = tried = 0
    for seed in range(800_100, 800_104 if task in ("click-checkboxes", "enter-date", "enter-text") else 800_120):
        chance = random.Random(seed)
        goal = studio.start(seed)
        for step in range(LONGEST):
            asked = studio.questions(chance.getrandbits(31))
            assert asked[0]["goal"] == goal
            answer = asked[0]["answer"]
            if step < 5 and chance.random() < 0.6:
                answer = _misstep(asked, studio.stray(chance.getrandbits(31)), chance)
            studio.do(answer)
            if studio.verdict()["done"]:
                break
        if studio.verdict()["done"] and answer is not asked[0]["answer"]:
            continue  # the wrong turn was the end of it
        tried += 1
        won += studio.verdict()["reward"] == 1.0
    studio.close()
    assert tried and won == tried


@pytest.mark.parametrize("task", slow_but("click-button", "click-color", "click-option", "enter-password"))
def test_every_page_is_asked_its_own_goal_in_its_own_words(task: str, browser: Any) -> None:
    studio = MiniWobRenderer(task, browser)
    goals, kinds = set(), set()
    for seed in range(8):
        goal = studio.start(seed)
        asked = studio.questions(seed)
        assert asked[0]["goal"] == goal
        assert len({one["goal"] for one in asked}) == len(asked)
        assert studio.questions(seed) == asked  # chance is the caller's
        goals.add(goal)
        kinds |= {_form(one["goal"]) for one in asked} - {_form(goal)}
    own = {_form(goal) for goal in goals}
    studio.close()
    if task not in ("click-shape", "use-autocomplete", "book-flight"):  # these have goals of several forms
        assert kinds <= own | {form.replace('""', '"x"') for form in own}


def _form(goal: str) -> str:
    """A goal without what differs from seed to seed."""
    goal = re.sub(r'"[^"]*"', '""', goal)
    goal = re.sub(r"^Select .* and click", "Select ... and click", goal)
    goal = re.sub(r"Tab #\d|\d\d/\d\d/\d{4}|\d(st|nd|rd)|(?<=button )\w+(?=\.)", "...", goal)
    return re.sub(r"(?<=Click on the )\w+(?= colored)", "...", goal)


def test_what_a_password_field_hides_is_not_judged(browser: Any) -> None:
    """Dots of the right number are taken for the right word, whatever was typed."""
    studio = MiniWobRenderer("enter-password", browser)
    goal = studio.start(3)
    secret = goal.split('"')[1]
    other = "".join("b" if one != "b" else "c" for one in secret)
    for text in (secret, other):
        studio.start(3)
        studio.do(studio.questions(0)[0]["answer"])
        studio.do({"action": "type", "text": text})
        asked = studio.questions(0)
        boxes = {one["goal"].split('"')[1]: one["box"] for one in asked}
        assert boxes[secret] is not None  # on to the second field
        assert all((box is not None) == (len(word) == len(secret)) for word, box in boxes.items())
    studio.close()
