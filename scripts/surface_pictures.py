"""Make the pictures of the viewer, of recordings and of reports in the guides: on a browser, a desktop and a phone.

A scripted policy orders a lamp on one page, and a person records the same order; no model is needed. Both find what
they click by the colors of the page.

python scripts/surface_pictures.py                       # writes docs/images/{viewer,record,report}-SURFACE.webp
python scripts/surface_pictures.py browser --out /tmp    # one surface, into another folder
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from actions import Reply, Screen, Step
from agent.config import Settings
from agent.demonstration import record_demonstration
from agent.interaction import Interaction, open_interaction
from agent.loop import Episode
from agent.policies.base import DialectPolicyMixin
from agent.policies.scripted import JsonDialect
from agent.report.run_page import write_run_report
from agent.session import run_session
from agent.ui.display import Event, TextDisplay
from envs.chromium.executable import find_chrome
from perf.surface_baselines import serve_page

ROOT = Path(__file__).resolve().parent.parent
SURFACES = ("browser", "desktop", "phone")
MAX_BYTES = 150_000
WIDTH, HEIGHT, PHONE_WIDTH = 1240, 760, 390
TIMEOUT_MS = 60_000
ARM_MS = 700  # until the answers of a question can be clicked
GOAL = 'order the blue lamp for "Ada"'
FIELD, BLUE, GREEN, ORDER = (238, 242, 247), (35, 80, 155), (36, 80, 155), (29, 122, 62)
PAGE = """<!doctype html><meta charset=utf-8><meta name=viewport content="width=device-width"><title>Lamp shop</title>
<style>* { box-sizing: border-box; font: 22px Arial, 'Liberation Sans', sans-serif; margin: 0 }
body { background: #fff; color: #1b1f24 } main { max-width: 620px; margin: 28px auto; padding: 0 14px }
h1 { font-size: 30px; font-weight: bold; margin-bottom: 18px }
input { width: 100%; height: 52px; margin: 6px 0 18px; padding: 0 12px; border: 1px solid #889; border-radius: 6px;
background: rgb(238,242,247); caret-color: transparent }
p { display: flex; justify-content: space-between; align-items: center; padding: 10px 14px; border: 1px solid #cdd3db;
margin-bottom: 8px; border-radius: 6px }
button { height: 48px; width: 110px; flex: none; border: 0; border-radius: 6px; color: #fff;
background: rgb(35,80,155) }
#green { background: rgb(36,80,155) } #order { background: rgb(29,122,62); width: 100%; margin-top: 10px }</style>
<main><h1>Lamp shop</h1><label for=guest>Name of the guest</label><input id=guest>
<p>Green lamp<button id=green>Add</button></p><p>Blue lamp<button id=blue>Add</button></p>
<button id=order>Order</button></main>
<script>for (const name of ['green', 'blue']) document.getElementById(name).onclick = event => {
  event.target.textContent = 'Added'; };
order.onclick = () => { document.querySelector('main').innerHTML = '<h1>Thank you, ' + guest.value.replace(/\\W/g, '') +
  '</h1>Your order was received.'; };</script>"""
PLAN = (
    ("The name goes into the field.", {"verb": "click"}, FIELD),
    ("The field has the keyboard focus.", {"verb": "type", "text": "Ada"}, None),
    ("The lamp is put into the basket.", {"verb": "click"}, GREEN),  # the wrong row, which the person corrects
    ("The order can be sent.", {"verb": "click"}, ORDER),
    ("The page says that the order was received.", {"verb": "done"}, None),
)


class ColorPolicy(DialectPolicyMixin):
    """Perform PLAN; each point is the middle of a color of the page."""

    def __init__(self) -> None:
        self.dialect = JsonDialect()

    @property
    def metadata(self) -> dict[str, object]:
        """The identity of the policy for traces."""
        return {"model": "script", "fingerprint": "colors", "prompt_hash": "plain"}

    def decide(self, goal: str, steps: Sequence[Step], screen: Screen, verbs: frozenset[str]) -> Reply:
        """Return the next action."""
        thought, fields, color = PLAN[len(steps)]
        x_y = dict(zip("xy", color_center(screen, color), strict=True)) if color else {}
        text = json.dumps({"thought": thought, **fields, **x_y})
        return Reply(text, prompt=goal, image_digests=(screen.digest,))

    def close(self) -> None:
        """Do nothing."""


class LastScreenDisplay(TextDisplay):
    """A display without output that keeps the last screenshot and the address of the viewer."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.screen: Screen | None = None
        self.url = ""

    def __call__(self, event: Event) -> None:
        if isinstance(event.get("screen"), Screen):
            self.screen = event["screen"]

    def message(self, text: str) -> None:
        """Keep the address in a sentence."""
        if text.startswith("view "):
            self.url = text.split()[1]


class BackgroundRun:
    """A run with the viewer in a thread.

    Args:
        start: Runs it, with what it needs to reach its user.
    """

    def __init__(self, start: Callable[[LastScreenDisplay], Episode]) -> None:
        self.display, self._start = LastScreenDisplay(), start
        self._result: Episode | BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        while not self.display.url and self._thread.is_alive():
            time.sleep(0.05)

    def _run(self) -> None:
        try:
            self._result = self._start(self.display)
        except BaseException as error:
            self._result = error

    def wait(self) -> Path:
        """Return the folder of the finished run."""
        self._thread.join(120)
        if isinstance(self._result, BaseException):
            raise self._result
        if self._result is None or self._result.status != "success":
            raise SystemExit(f"the run did not succeed: {self._result}")
        return Path(self._result.run)


def color_center(screen: Screen, color: tuple[int, int, int]) -> tuple[int, int]:
    """Return the median of all pixels of a color."""
    rows, columns = np.nonzero((screen.pixels == color).all(axis=2))
    if not len(rows):
        raise SystemExit(f"the screen does not show the color {color}")
    return int(np.median(columns)), int(np.median(rows))


def on_page(page: Page, screen: Screen, color: tuple[int, int, int]) -> tuple[float, float]:
    """Return where the middle of a color of the run's screen is on the viewer's page."""
    box = page.locator("#screen").bounding_box()
    if box is None:
        raise SystemExit("the viewer shows no screen")
    x, y = color_center(screen, color)
    return box["x"] + box["width"] * (x + 0.5) / screen.width, box["y"] + box["height"] * (y + 0.5) / screen.height


def open_page(browser: Browser, url: str, *, width: int = WIDTH, dark: bool = False) -> Page:
    """Return the viewer's page in a window of its own."""
    context = browser.new_context(viewport={"width": width, "height": HEIGHT}, color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(url)
    return page


def capture(*pages: Page) -> Image.Image:
    """Return screenshots of pages, side by side."""
    images = [Image.open(io.BytesIO(page.screenshot())).convert("RGB") for page in pages]
    sheet = Image.new("RGB", (sum(image.width for image in images) + 12 * (len(images) - 1), HEIGHT), "white")
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width + 12
    return sheet


def wait_for_question(page: Page, text: str) -> None:
    """Wait until the viewer asks about an action and its answers can be clicked."""
    page.locator("#question:not([hidden]) #question-text", has_text=text).wait_for()
    page.wait_for_timeout(ARM_MS)


def make_run(browser: Browser, settings: Settings, name: str, save: Callable[[Image.Image, str], None]) -> Path:
    """Run the policy with approvals in the viewer, correct the third action, and save the pictures of the viewer."""

    def start(display: LastScreenDisplay) -> Episode:
        with open_interaction(display, settings, view=True) as user:
            return _run(user, settings)

    run = BackgroundRun(start)
    page = open_page(browser, run.display.url)
    for text in ("click", "type"):
        wait_for_question(page, text)
        page.click("button[data-answer=yes]")
    page.locator("#entries li.step").nth(1).wait_for()
    wait_for_question(page, "click")
    screen = run.display.screen
    if screen is None:
        raise SystemExit("the run has no screen")
    start_point, end_point = on_page(page, screen, GREEN), on_page(page, screen, BLUE)
    if name == "phone":
        narrow = open_page(browser, run.display.url, width=PHONE_WIDTH, dark=True)
        wait_for_question(narrow, "click")
        save(capture(page, narrow), "viewer-phone")
        narrow.close()
    else:
        save(capture(page), f"viewer-{name}")
    page.mouse.move(*start_point)
    page.mouse.down()
    page.mouse.move(*end_point, steps=5)
    if name == "browser":
        save(capture(page), "correction")
    page.mouse.up()
    for _ in range(2):
        page.wait_for_timeout(ARM_MS)
        wait_for_question(page, "click")
        page.click("button[data-answer=yes]")
    page.wait_for_selector("#phase[data-phase=success]")
    page.close()
    return run.wait()


def _run(user: Interaction, settings: Settings) -> Episode:
    return run_session(
        GOAL,
        settings,
        user.display,
        ask=user.ask,
        person=user.person,
        control=user.control,
        blocked_ports=user.blocked_ports,
        policy=ColorPolicy(),
    )


def make_recording(browser: Browser, settings: Settings, name: str, save: Callable[[Image.Image, str], None]) -> None:
    """Record the same order in the viewer, and save a picture of it before the last click."""
    run = BackgroundRun(lambda display: record_demonstration(GOAL, settings, display))
    page = open_page(browser, run.display.url)
    page.wait_for_selector("#frame.taken")
    entries = page.locator("#entries li.person")
    for count, color in enumerate((FIELD, BLUE), 1):
        screen = run.display.screen
        if screen is None:
            raise SystemExit("the recording has no screen")
        page.mouse.click(*on_page(page, screen, color))
        entries.filter(has_text="click (").nth(count - 1).wait_for()
        if color == FIELD:
            page.fill("#typed", "Ada")
            page.click("#keyboard button[type=submit]")
            entries.filter(has_text="type").first.wait_for()
    page.wait_for_timeout(1500)  # until the live screen shows the last change
    page.mouse.move(WIDTH - 2, HEIGHT - 2)
    save(capture(page), f"record-{name}")
    page.click("#hand-back")
    page.wait_for_selector("#phase[data-phase=success]")
    page.close()
    run.wait()


def make_report(browser: Browser, run: Path, name: str, save: Callable[[Image.Image, str], None]) -> None:
    """Save a picture of a run's report at the corrected step."""
    report = write_run_report([run], run / "report.html")
    page = open_page(browser, report.as_uri())
    for _ in range(2):
        page.keyboard.press("j")
    page.evaluate(
        "async () => { for (const image of document.querySelectorAll('article.current img')) await image.decode() }"
    )
    save(capture(page), f"report-{name}")
    page.close()


@contextmanager
def open_surface(name: str, url: str) -> Iterator[str]:
    """Yield the name of a surface for the settings; a simulated phone runs within the block."""
    if name != "phone":
        yield "desktop:virtual" if name == "desktop" else name
        return
    from envs.network.rules import NetworkRules
    from envs.simulators.android.phone import SimulatedPhone
    from perf.surface_baselines import AdbServerProcess

    with AdbServerProcess() as server, SimulatedPhone(network=NetworkRules(named=("127.0.0.1:*",))) as phone:
        server.run("connect", phone.address)
        with patch.dict(os.environ, {"ANDROID_ADB_SERVER_PORT": str(server.port)}):
            yield f"android:{phone.address}"


def main() -> int:
    """Write the pictures; return the exit code."""
    parser = argparse.ArgumentParser(description="Make the pictures of viewer, recordings and reports.")
    parser.add_argument("surfaces", nargs="*", default=SURFACES, help="browser, desktop or phone (default: all)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="folder to write into")
    arguments = parser.parse_args()
    sizes: list[int] = []

    def save(picture: Image.Image, name: str) -> None:
        path = arguments.out / f"{name}.webp"
        picture.save(path, quality=80, method=6)
        sizes.append(path.stat().st_size)
        print(f"{path}: {sizes[-1]:,} bytes")

    with tempfile.TemporaryDirectory() as folder, serve_page(PAGE) as url, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(find_chrome()), args=["--no-sandbox"])
        for name in arguments.surfaces:
            for makes_run in (True, False):
                with (
                    patch("platform.platform", return_value=sys.platform.capitalize()),
                    open_surface(name, url) as surface,
                ):
                    approve = "each" if makes_run else ""
                    settings = Settings(surface=surface, url=url, policy="sandbox", approve=approve, runs=folder)
                    if makes_run:
                        run = make_run(browser, settings, name, save)
                        if name != "browser":  # whose picture is of a model's run: report_picture.py
                            make_report(browser, run, name, save)
                    else:
                        make_recording(browser, settings, name, save)
        browser.close()
    return 0 if max(sizes) <= MAX_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
