"""The viewer's page in a real Chromium: approve, refuse, edit, steer, pause, step, take over, hand back, stop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.agent_fakes import CLICK, MISS, FakeEnv
from helpers.eventually import eventually
from helpers.viewer_page import ViewedRun, open_page, violations

from agent import session
from agent.config import Settings
from agent.corrections import read_corrections
from agent.trace import Trace, read_trace
from agent.viewer.state import ViewerState

pytestmark = pytest.mark.usefixtures("chromium")
TYPE_B = '{"verb": "type", "text": "b"}'
WAIT = '{"verb": "wait", "seconds": 0}'
DONE = '{"verb": "done", "message": "<img src=x onerror=alert(1)>"}'
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"

Start = Callable[..., ViewedRun]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a scripted run on a fake screen with the viewer."""
    runs: list[ViewedRun] = []

    def begin(*replies: str, approve: str = "never", env: FakeEnv | None = None, goal: str = "press it") -> ViewedRun:
        fake = env or FakeEnv(task=False)
        monkeypatch.setattr(session, "make_env", lambda settings, guard, blocked_ports=None: fake)
        script = tmp_path / "script.jsonl"
        script.write_text("".join(json.dumps(json.loads(reply)) + "\n" for reply in replies))
        settings = Settings(url="https://example.org", approve=approve, runs=str(tmp_path / "runs"))

        def run(user: Any) -> Any:
            user.control.pause()  # until the test has opened the page
            return session.run_session(
                goal,
                settings,
                user.display,
                ask=user.ask,
                person=user.person,
                script=script,
                control=user.control,
            )

        viewed = ViewedRun(settings, run)
        viewed.env = fake  # type: ignore[attr-defined]
        runs.append(viewed)
        return viewed

    yield begin
    for viewed in runs:
        viewed.user.control.resume() if viewed.user.control.mode != "taken over" else viewed.user.control.hand_back()


def trace_of(episode: Any) -> Trace:
    return read_trace(Path(episode.run))


def names(trace: Trace) -> list[str]:
    return [event["event"] for event in trace.events]


def performed(run: ViewedRun, verb: str) -> list[Any]:
    return [action for action in run.env.surface.performed if action.verb == verb]  # type: ignore[attr-defined]


def wait_for_question(page: Any) -> None:
    page.wait_for_selector("#question:not([hidden])")
    page.wait_for_timeout(600)  # until its buttons are armed


def test_person_approves_and_run_ends(start: Start) -> None:
    run = start(CLICK, DONE, approve="each")
    with open_page(run.display.viewer_url) as page:
        page.click("#continue")
        wait_for_question(page)
        assert "click (120, 110)" in page.inner_text("#question-text")
        assert page.locator("#marks circle.line").count() == 1
        assert page.evaluate("document.getElementById('screen').naturalWidth") == 280
        assert "#" not in page.url
        page.click("button[data-answer=yes]")
        page.wait_for_selector("#phase[data-phase=success]")
        assert "<img src=x" in page.inner_text("#timings")
        assert violations(page) == 0
    episode = run.wait()
    assert episode.status == "success"
    assert run.env.surface.clicked  # type: ignore[attr-defined]
    answers = [event["answer"] for event in trace_of(episode).events if event["event"] == "approval"]
    assert answers == ["approved"]


def test_refusal_gives_reason_to_model(start: Start) -> None:
    run = start(CLICK, DONE, approve="each")
    with open_page(run.display.viewer_url) as page:
        page.click("#continue")
        wait_for_question(page)
        page.fill("#reason", "yes")  # a reason is never an approval
        page.click("#refuse-form button")
        page.wait_for_selector("#phase[data-phase=success]")
    episode = run.wait()
    assert not run.env.surface.clicked  # type: ignore[attr-defined]
    assert "refused this: yes" in episode.steps[0].error


def test_edit_replaces_action(start: Start) -> None:
    run = start(TYPE_B, DONE, approve="each")
    with open_page(run.display.viewer_url) as page:
        page.click("#continue")
        wait_for_question(page)
        assert page.input_value("#edit") == "b"
        page.fill("#edit", "better")
        page.click("#edit-form button")
        page.locator("#question-text", has_text="better").wait_for()
        wait_for_question(page)
        page.click("button[data-answer=yes]")
        page.wait_for_selector("#phase[data-phase=success]")
    run.wait()
    assert [action.text for action in performed(run, "type")] == ["better"]


def drag_ring(page: Any, start: tuple[int, int], end: tuple[int, int], *, lets_go: bool = True) -> None:
    """Drag the ring of the proposed action from one pixel of the run's screen to another."""
    box = page.locator("#screen").bounding_box()
    x0, y0, x1, y1 = (
        box[corner] + box[side] * (value + 0.5) / size
        for point in (start, end)
        for value, corner, side, size in zip(point, ("x", "y"), ("width", "height"), (280, 364), strict=True)
    )
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, (y0 + y1) / 2)
    page.mouse.move(x1, y1)
    if lets_go:
        page.mouse.up()


def test_dragged_ring_corrects_action(start: Start) -> None:
    run = start(MISS, DONE, approve="each")
    with open_page(run.display.viewer_url) as page:
        page.click("#continue")
        wait_for_question(page)
        drag_ring(page, (5, 5), (120, 110))
        page.locator("#question-text", has_text="click (120, 110)").wait_for()  # the guard asks about it
        assert not run.env.surface.clicked  # type: ignore[attr-defined]
        wait_for_question(page)
        page.click("button[data-answer=yes]")
        page.wait_for_selector("#phase[data-phase=success]")
        assert "click (120, 110), not click (5, 5)" in page.inner_text("#entries")
        assert violations(page) == 0
    episode = run.wait()
    assert run.env.surface.clicked  # type: ignore[attr-defined]
    assert "had this done instead: click (120, 110)" in episode.steps[0].notice
    (correction,), _ = read_corrections(trace_of(episode))
    assert (correction.proposed.points(), correction.action.points()) == (((5, 5),), ((120, 110),))


def test_escape_leaves_ring_where_it_was(start: Start) -> None:
    run = start(MISS, DONE, approve="each")
    with open_page(run.display.viewer_url) as page:
        page.click("#continue")
        wait_for_question(page)
        drag_ring(page, (5, 5), (120, 110), lets_go=False)
        assert "120, 110" in page.inner_text("#caption")
        page.keyboard.press("Escape")
        page.mouse.up()
        assert page.locator("#marks circle.handle").get_attribute("cx") == "5.5"
        page.click("button[data-answer=yes]")
        page.wait_for_selector("#phase[data-phase=success]")
    assert [event["answer"] for event in trace_of(run.wait()).events if event["event"] == "approval"] == ["approved"]


def test_step_and_note_reach_model(start: Start) -> None:
    run = start(TYPE_B, TYPE_B, DONE)
    with open_page(run.display.viewer_url) as page:
        page.click("#step")
        page.wait_for_selector("#entries li.step")
        page.wait_for_selector("#phase[data-phase=paused]")
        page.fill("#steer", f"use the blue {HOSTILE}")
        page.click("#steer-form button")
        page.locator("#entries li.person", has_text="use the blue").wait_for()
        assert len(performed(run, "type")) == 1
        page.click("#continue")
        page.wait_for_selector("#phase[data-phase=success]")
        assert page.title() == "Pixelhand viewer"
        assert violations(page) == 0
    episode = run.wait()
    assert "The person says: use the blue" in episode.steps[0].notice
    trace = trace_of(episode)
    assert "use the blue" in trace.steps()[0].notice
    assert names(trace).count("continued") == 2


def test_note_before_first_step_joins_goal(start: Start) -> None:
    run = start(DONE)
    run.user.control.steer("the green one")
    run.user.control.resume()
    episode = run.wait()
    assert episode.steps[0].reply.prompt == "press it\nThe person says: the green one"
    assert trace_of(episode).goal == episode.steps[0].reply.prompt


def test_person_acts_and_hands_back(start: Start) -> None:
    run = start(TYPE_B, DONE)
    with open_page(run.display.viewer_url) as page:
        page.click("#step")
        page.wait_for_selector("#entries li.step")
        page.click("#take-over")
        page.wait_for_selector("#frame.taken")
        box = page.locator("#screen").bounding_box()
        page.mouse.click(box["x"] + box["width"] * 120.5 / 280, box["y"] + box["height"] * 110.5 / 364)
        eventually(lambda: run.env.surface.clicked)  # type: ignore[attr-defined]
        page.keyboard.type("hi")
        page.fill("#typed", "pass phrase")
        page.click("#keyboard button[type=submit]")
        eventually(lambda: len(performed(run, "type")) == 3)
        page.click("#hand-back")
        page.wait_for_selector("#phase[data-phase=success]")
        assert violations(page) == 0
    episode = run.wait()
    assert "The person took over, did 3 actions" in episode.steps[0].notice
    trace = trace_of(episode)
    acts = [event["action"] for event in trace.events if event["event"] == "person.act"]
    assert acts[0] == {**acts[0], "verb": "click", "x": 120, "y": 110}
    assert [act["text"] for act in acts[1:]] == ["•••", "•••"]  # where it goes is not known here
    assert "person.end" in names(trace)
    assert "pass phrase" not in (trace.folder / "steps.jsonl").read_text()


def test_take_over_in_place_of_approval(start: Start) -> None:
    run = start(CLICK, DONE, approve="each")
    with open_page(run.display.viewer_url) as page:
        page.click("#continue")
        wait_for_question(page)
        page.click("button[data-answer='take over']")
        page.wait_for_selector("#frame.taken")
        page.click("#hand-back")
        page.wait_for_selector("#phase[data-phase=success]")
    episode = run.wait()
    assert "the person took over" in episode.steps[0].error
    assert "did nothing and handed back" in episode.steps[0].notice


def test_person_finishes_task_of_page(start: Start) -> None:
    run = start(TYPE_B, DONE, env=FakeEnv())
    with open_page(run.display.viewer_url) as page:
        page.click("#take-over")
        page.wait_for_selector("#frame.taken")
        run.user.control.act(session_click())
        page.wait_for_selector("#phase[data-phase=success]")
    episode = run.wait()
    assert (episode.status, episode.cause, episode.steps) == ("success", "verdict", ())


def session_click() -> Any:
    from actions import parse_action

    return parse_action({"verb": "click", "x": 120, "y": 110})


def test_hostile_texts_run_nothing(start: Start) -> None:
    reply = json.dumps({"verb": "type", "text": HOSTILE, "thought": HOSTILE})
    run = start(reply, WAIT, DONE, goal=HOSTILE, approve="each")
    with open_page(run.display.viewer_url) as page:
        page.click("#continue")
        wait_for_question(page)
        assert HOSTILE[:20] in page.inner_text("#question-text")
        assert HOSTILE[:20] in page.inner_text("#goal")
        page.click("button[data-answer=yes]")
        page.wait_for_selector("#phase[data-phase=success]")
        assert page.title() == "Pixelhand viewer"
        assert page.locator("img").count() == 1
        assert page.locator("script").count() == 1
        assert violations(page) == 0
    run.wait()


def test_policy_of_page_blocks_scripts(start: Start) -> None:
    run = start(DONE)
    with open_page(run.display.viewer_url) as page:
        page.evaluate(
            "() => { const image = document.createElement('img'); image.src = 'https://example.org/x.png';"
            "document.body.append(image); }"
        )
        eventually(lambda: violations(page) > 0)
        assert page.title() == "Pixelhand viewer"
    run.user.control.resume()
    run.wait()


def test_finished_run_is_shown(start: Start) -> None:
    from agent.viewer.server import ViewerServer
    from agent.viewer.trace_follower import TraceFollower

    run = start(TYPE_B, CLICK, DONE)
    run.user.control.resume()
    episode = run.wait()
    state = ViewerState(note="only shown")
    TraceFollower(Path(episode.run), state)
    with ViewerServer(state) as server, open_page(server.url, width=390, height=800) as page:
        page.wait_for_selector("#phase[data-phase=success]")
        assert page.locator("#entries li.step").count() == 3
        assert page.locator("#controls").is_hidden()
        page.click("#entries li:nth-child(2) button")
        page.wait_for_selector("#marks circle")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert violations(page) == 0
