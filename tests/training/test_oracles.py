"""Oracles: their goals have the wording of the pages, and following their answers wins, also after wrong steps."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest

from envs.miniwob.env import miniwob_env
from training import oracles
from training.miniwob_renderer import MiniWobRenderer
from training.oracles import ORACLES

MAX_STEPS = 40
PARTIALLY_VISIBLE = "book-flight"  # no screen shows all of its flights


def tasks_with_slow_marks(*quick: str) -> list[Any]:
    """Return all tasks; those that are not quick are marked as slow."""
    return [*quick, *(pytest.param(task, marks=pytest.mark.slow) for task in ORACLES if task not in quick)]


@pytest.mark.parametrize("task", tasks_with_slow_marks("click-shape", "login-user"))
def test_following_oracle_on_surface_wins(task: str, browser: Any) -> None:
    """The oracle runs in the page of the browser surface."""
    if task == "enter-date":
        pytest.skip("only the renderer passes the parts of a date field to the oracle")
    quick = task in ("click-shape", "login-user")
    seeds = range(800_000, 800_000 + (2 if quick else 20))
    renderer, env = MiniWobRenderer(task, browser), miniwob_env(task)
    won = 0
    try:
        for seed in seeds:
            _, info = env.reset(seed=seed)
            env.surface.evaluate(oracles.script() + "; null")
            reward, done = 0.0, False
            for step in range(MAX_STEPS):
                questions = env.surface.evaluate(oracles.questions_js(task, renderer.page.scale, step))
                assert questions[0]["goal"] == info["goal"]
                _, reward, done, _, _ = env.step(renderer.action(questions[0]["answer"]))
                if done:
                    break
            won += reward == 1.0 and done
    finally:
        renderer.close()
        env.close()
    assert won >= len(seeds) * (0.4 if task == PARTIALLY_VISIBLE else 1.0)


def _wrong_answer(
    questions: list[dict[str, Any]], random_click: dict[str, Any] | None, rng: random.Random
) -> dict[str, Any]:
    """Return the answer to another goal, or a random click, whose effect later screens show."""
    own = questions[0]
    password = re.search(r'password "(.*?)"', own["goal"])
    length = len(password[1]) if password else -1
    answers = [question["answer"] for question in questions[1:]]
    wrong = [answer for answer in answers if len(answer.get("text", "")) != length]
    wrong += [random_click] if random_click else []
    return rng.choice(wrong) if wrong else own["answer"]


@pytest.mark.parametrize("task", tasks_with_slow_marks("click-checkboxes", "enter-date", "enter-text"))
def test_oracle_recovers_from_wrong_steps(task: str, browser: Any) -> None:
    if ORACLES[task] == 1 or task == PARTIALLY_VISIBLE:
        pytest.skip("one click ends the episode" if ORACLES[task] == 1 else "no screen shows all flights")
    renderer = MiniWobRenderer(task, browser)
    won = tried = 0
    for seed in range(800_100, 800_104 if task in ("click-checkboxes", "enter-date", "enter-text") else 800_120):
        rng = random.Random(seed)
        goal = renderer.start(seed)
        for step in range(MAX_STEPS):
            questions = renderer.questions(rng.getrandbits(31))
            assert questions[0]["goal"] == goal
            answer = questions[0]["answer"]
            if step < 5 and rng.random() < 0.6:
                answer = _wrong_answer(questions, renderer.random_click(rng.getrandbits(31)), rng)
            renderer.perform(answer)
            if renderer.task_status()["done"]:
                break
        if renderer.task_status()["done"] and answer is not questions[0]["answer"]:
            continue  # the wrong step ended the episode
        tried += 1
        won += renderer.task_status()["reward"] == 1.0
    renderer.close()
    assert tried > 0
    assert won == tried


@pytest.mark.parametrize("task", tasks_with_slow_marks("click-button", "click-color", "click-option", "enter-password"))
def test_goals_have_wording_of_page(task: str, browser: Any) -> None:
    renderer = MiniWobRenderer(task, browser)
    goals, forms = set(), set()
    for seed in range(8):
        goal = renderer.start(seed)
        questions = renderer.questions(seed)
        assert questions[0]["goal"] == goal
        assert len({question["goal"] for question in questions}) == len(questions)
        assert renderer.questions(seed) == questions  # the seed determines them
        goals.add(goal)
        forms |= {_form(question["goal"]) for question in questions} - {_form(goal)}
    own = {_form(goal) for goal in goals}
    renderer.close()
    if task not in ("click-shape", "use-autocomplete", "book-flight"):  # these have goals of several forms
        assert forms <= own | {form.replace('""', '"x"') for form in own}


def _form(goal: str) -> str:
    """Return a goal without the parts that differ between seeds."""
    goal = re.sub(r'"[^"]*"', '""', goal)
    goal = re.sub(r"^Select .* and click", "Select ... and click", goal)
    goal = re.sub(r"Tab #\d|\d\d/\d\d/\d{4}|\d(st|nd|rd)|(?<=button )\w+(?=\.)", "...", goal)
    return re.sub(r"(?<=Click on the )\w+(?= colored)", "...", goal)


def test_hidden_password_text_is_not_checked(browser: Any) -> None:
    """The oracle accepts any text of the right length, since the field shows dots."""
    renderer = MiniWobRenderer("enter-password", browser)
    goal = renderer.start(3)
    password = goal.split('"')[1]
    other = "".join("b" if letter != "b" else "c" for letter in password)
    for text in (password, other):
        renderer.start(3)
        renderer.perform(renderer.questions(0)[0]["answer"])
        renderer.perform({"action": "type", "text": text})
        questions = renderer.questions(0)
        boxes = {question["goal"].split('"')[1]: question["box"] for question in questions}
        assert boxes[password] is not None  # on to the second field
        assert all((box is not None) == (len(word) == len(password)) for word, box in boxes.items())
    renderer.close()
