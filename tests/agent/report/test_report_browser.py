"""The HTML report in a real browser: hostile texts, keys, filters, and the size of a long run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.made_runs import CLICK, MadeStep, make_run, make_screen

from actions import Screen
from agent.report.run_page import write_run_report

pytestmark = pytest.mark.usefixtures("chromium")

PAYLOADS = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "</style><script>alert(3)</script>",
    "</title><script>alert(4)</script>",
    "</textarea></noscript></template><script>alert(5)</script>",
    "--><script>alert(6)</script><!--",
    "<img src=https://evil.example/x.png onerror=alert(7)>",
    '"><img src=x onerror=alert(8)>',
    "' onmouseover='alert(9)",
    '" autofocus onfocus="alert(10)',
    "<svg onload=alert(11)><animate onbegin=alert(12) attributeName=x dur=1s>",
    "<svg><style>@import 'https://evil.example/a.css';</style></svg>",
    "<iframe src=javascript:alert(13)></iframe><iframe srcdoc='<script>alert(14)</script>'></iframe>",
    "<object data=https://evil.example/o></object><embed src=https://evil.example/e>",
    "<base href=https://evil.example/><link rel=stylesheet href=//evil.example/a.css>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<form action=https://evil.example/><input name=x><button autofocus>send</button></form>",
    "<a href=javascript:alert(15)>x</a>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(16)>",
    "<details open ontoggle=alert(17)><video><source onerror=alert(18)></video>",
    "<body onload=alert(19)><marquee onstart=alert(20)>",
    "{{ 7 * 7 }}{% for x in y %}${alert(21)}",
    "javascript:alert(22)",
    "data:text/html,<script>alert(23)</script>",
    "<plaintext><xmp><!--",
    "\u202e\u2066gnp.exe\u2028\ud800\x1b]0;x\x07",
)
INERT = "script:not([type]), script[type='text/plain'], form[method=dialog]"


@dataclass
class PageLog:
    """What a page did that a report must not do.

    Args:
        requests: Addresses other than the page's own file and data URLs.
        dialogs: Texts of dialogs.
        errors: Console errors, violations of the page's policy among them.
    """

    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser(chromium: None) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    from envs.chromium.executable import find_chrome

    with sync_playwright() as driver:
        program = driver.chromium.launch(executable_path=str(find_chrome()), args=["--no-sandbox"])
        yield program
        program.close()


def open_page(browser: Any, path: Path, **options: Any) -> tuple[Any, PageLog]:
    """Return the opened page and its log; close it with page.close()."""
    page, log, address = browser.new_page(**options), PageLog(), path.as_uri()

    def dismiss(dialog: Any) -> None:
        log.dialogs.append(dialog.message)
        dialog.dismiss()

    def note_request(request: Any) -> None:
        if not request.url.startswith(("data:", address)):
            log.requests.append(request.url)

    page.on("dialog", dismiss)
    page.on("request", note_request)
    page.on("console", lambda message: log.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: log.errors.append(str(error)))
    page.goto(address, timeout=60_000)
    return page, log


def current_label(page: Any) -> str:
    return str(page.locator(".item.current .number").text_content())


def hostile_run(root: Path, payload: str) -> Path:
    """Write a run that has the payload in each of its texts."""
    facts = {
        "url": payload,
        "app": payload,
        "window": payload,
        "elements": [{"role": payload, "label": payload, "field": payload, "target": payload}],
        "focus": {"role": payload, "label": payload},
        "changes": [payload],
    }
    decision = {
        "effect": payload,
        "rule": payload,
        "layer": payload,
        "source": payload,
        "reason": payload,
        "facts": facts,
    }
    texts: dict[str, Any] = {"thought": payload, "reply": payload, "notice": payload, "decision": decision}
    typed = "".join(c for c in payload if c.isprintable())
    steps = [
        MadeStep({"verb": "type", "text": typed}, error=payload, **texts),
        MadeStep(
            {"verb": "done", "status": "failure", "message": typed},
            approval={"answer": payload, "reason": payload, "edited": {"verb": payload, "text": payload}},
            **texts,
        ),
        MadeStep(None, error=payload, reply=payload),
    ]
    manifest = {
        "url": payload,
        "surface": payload,
        "platform": payload,
        "policy": {"model": payload, "fingerprint": payload, "dialect": payload},
        "safety_policy": {"layers": [{"source": payload}]},
        "resumes": {"run": payload, "steps": payload},
        "versions": {"pixelhand": payload},
    }
    proof = {"outcome": payload, "findings": [{"state": payload, "expectation": payload, "detail": payload}]}
    folder = root / '"><img src=x onerror=alert(0)> {{ 7 }}'
    folder.mkdir(parents=True, exist_ok=True)
    return make_run(
        root, steps, goal=payload, status=payload, message=payload, manifest=manifest, proof=proof, folder=folder
    )


def visit_everything(page: Any) -> None:
    """Show each step, filter, search, enlarge a screenshot, switch the theme and open the help."""
    for key in ("Home", "j", "j", "j", "f", "r", "a", "n", "t", "?", "Escape"):
        page.keyboard.press(key)
    page.keyboard.press("/")
    page.keyboard.type("alert")
    page.keyboard.press("Escape")
    page.mouse.move(300, 300)


@pytest.mark.parametrize(
    "payload", ["".join(PAYLOADS), *(pytest.param(payload, marks=pytest.mark.slow) for payload in PAYLOADS)]
)
def test_hostile_texts_do_nothing_in_browser(browser: Any, tmp_path: Path, payload: str) -> None:
    folder = hostile_run(tmp_path / "run", payload)
    page, log = open_page(browser, write_run_report([folder], tmp_path / "page.html"))
    visit_everything(page)
    assert log == PageLog()
    assert page.locator("script").count() == page.locator(INERT).count() - 1
    assert page.locator("body iframe, body object, body embed, body link, base, body meta").count() == 0
    assert page.locator("form, input").count() == 2  # the help's and the search's
    assert page.locator("[onerror], [onload], [onfocus], [onmouseover], [style]").count() == 0
    page.close()


def test_policy_blocks_markup_that_is_not_escaped(browser: Any, tmp_path: Path) -> None:
    """Check that the log of the test above sees an injection, and that the policy alone stops it."""
    path = write_run_report([make_run(tmp_path, [MadeStep(CLICK)])], tmp_path / "page.html")
    injected = "<script>alert(1)</script><img src=https://evil.example/x.png onerror=alert(2)></body>"
    path.write_text(path.read_text(encoding="utf-8").replace("</body>", injected), encoding="utf-8")
    page, log = open_page(browser, path)
    assert len(log.errors) >= 2
    assert all("Content Security Policy" in error for error in log.errors)
    assert log.dialogs == []
    page.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the report of a run with a failed step, a refused one, and a search word in the last."""
    folder = tmp_path_factory.mktemp("shop")
    denied = {"effect": "deny", "rule": "urls", "layer": "user"}
    steps = [
        MadeStep(CLICK),
        MadeStep(CLICK, error="outside the page"),
        MadeStep(CLICK),
        MadeStep(CLICK, error="not allowed", decision=denied),
        MadeStep(CLICK, thought="the Umbrella is last"),
    ]
    return write_run_report([make_run(folder, steps, status="failure")], folder / "page.html")


def test_keys_move_between_steps(browser: Any, shop: Path) -> None:
    page, log = open_page(browser, shop)
    labels = [current_label(page)]
    for key in ("j", "ArrowRight", "k", "ArrowLeft", "End", "j", "Home", "k", "n", "n", "n"):
        page.keyboard.press(key)
        labels.append(current_label(page))
    assert labels == ["2", "3", "4", "3", "2", "end", "end", "1", "1", "2", "4", "2"]
    assert page.url.endswith("#1-2")
    assert log == PageLog()
    page.close()


def test_filters_and_search_hide_steps(browser: Any, shop: Path) -> None:
    page, _ = open_page(browser, shop)
    numbers = page.locator("li:not([hidden]) .number")
    for key, expected in (("f", ["2"]), ("r", ["4"]), ("a", ["1", "2", "3", "4", "5", "end"])):
        page.keyboard.press(key)
        assert numbers.all_text_contents() == expected
    page.keyboard.press("/")
    page.keyboard.type("umbrella")
    assert numbers.all_text_contents() == ["5"]
    assert current_label(page) == "5"
    page.keyboard.type("xyz")
    assert page.locator("li.none").is_visible()
    page.close()


def test_only_the_shown_screenshots_are_decoded(browser: Any, shop: Path) -> None:
    page, _ = open_page(browser, shop)
    page.keyboard.press("j")
    sources = page.locator("img[src]")
    assert sources.count() == page.locator("article.current img").count() == 2
    sizes = page.evaluate(
        "async () => { const images = [...document.querySelectorAll('article.current img')];"
        "for (const image of images) await image.decode(); return images.map(image => image.naturalWidth) }"
    )
    assert sizes == [280, 280]
    page.close()


def test_tall_screenshot_keeps_its_proportions(browser: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path, [MadeStep(CLICK)], screen=lambda number: make_screen(number, 540, 1080))
    page, _ = open_page(browser, write_run_report([run], tmp_path / "page.html"))
    page.keyboard.press("j")
    page.keyboard.press("k")
    image = page.locator("article.current img").first
    image.evaluate("image => image.decode()")
    box, marks = image.bounding_box(), page.locator("article.current svg").first.bounding_box()
    assert box["height"] / box["width"] == pytest.approx(2, abs=0.02)
    assert marks["width"] == pytest.approx(box["width"], abs=1)
    page.close()


def test_page_fits_a_phone_in_both_themes(browser: Any, shop: Path) -> None:
    colors = {}
    for scheme in ("light", "dark"):
        page, _ = open_page(browser, shop, viewport={"width": 360, "height": 780}, color_scheme=scheme)
        widths = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1]
        color = "() => getComputedStyle(document.body).backgroundColor"
        colors[scheme] = page.evaluate(color)
        page.locator(".run.current [data-do=theme]").click()
        colors[f"{scheme}, switched"] = page.evaluate(color)
        page.close()
    assert colors["light"] == colors["dark, switched"] != colors["dark"] == colors["light, switched"]


def test_steps_of_a_phone_open_and_close(browser: Any, shop: Path) -> None:
    page, _ = open_page(browser, shop, viewport={"width": 360, "height": 780})
    assert not page.locator(".item").first.is_visible()
    page.locator("summary").first.click()
    page.locator(".item").nth(2).click()
    assert current_label(page) == "3"
    assert not page.locator(".item").first.is_visible()
    page.close()


@pytest.mark.slow
def test_long_run_stays_below_thirty_megabytes(browser: Any, tmp_path: Path) -> None:
    """Check 300 steps at 1920 x 1080 whose screenshots hardly compress: text-like noise over half of each."""
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2, (64, 540, 960), np.uint8) * 255

    def screen(number: int) -> Screen:
        pixels = np.full((1080, 1920, 3), 240 - number % 20, np.uint8)
        pixels[:540, :960] = words[number % 64, :, :, None]
        pixels[540:, 960:] = words[number * 7 % 64, :, :, None]
        return Screen(pixels)

    folder = make_run(tmp_path, [MadeStep({**CLICK, "x": 900, "y": 500})] * 300, screen=screen)
    path = write_run_report([folder], tmp_path / "page.html")
    assert path.stat().st_size < 30_000_000
    page, log = open_page(browser, path)
    page.keyboard.press("End")
    page.evaluate("() => document.querySelector('article.current img').decode()")
    assert log == PageLog()
    page.close()
