"""Requests that the browser would ask about in a window of its own are refused with a notice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers.eventually import eventually

from actions import Click, Move
from envs.chromium.native_requests import REFUSALS

PAGE_OF_DOCS = Path(__file__).parents[3] / "docs" / "reference" / "native-windows.md"
PAGE = """<button style="position:fixed;left:0;top:0;width:400px;height:300px" onclick="ask()">ask</button><script>
window.answer = '';
async function ask() { try { await (%s); answer = 'resolved'; } catch (error) { answer = error.name; } }
</script>"""
CENTER = {"x": 200, "y": 150}
REQUESTS = [
    ("Notification.requestPermission()", "notifications", "resolved"),
    ("Notification.requestPermission(() => {})", "notifications", "resolved"),
    ("new Promise((done, fail) => navigator.geolocation.watchPosition(done, fail))", "location", None),
    ("navigator.mediaDevices.getUserMedia({audio: true})", "camera", "NotAllowedError"),
    ("navigator.mediaDevices.getDisplayMedia()", "screen", "NotAllowedError"),
    ("navigator.clipboard.readText()", "clipboard", "NotAllowedError"),
    ("showOpenFilePicker()", "files", "AbortError"),
    ("showSaveFilePicker()", "files", "AbortError"),
    ("showDirectoryPicker()", "files", "AbortError"),
    ("new EyeDropper().open()", "color", "AbortError"),
    ("navigator.credentials.get({publicKey: {challenge: new Uint8Array(32)}})", "passkey", "NotAllowedError"),
    ("navigator.usb.requestDevice({filters: []})", "device", "NotFoundError"),
    ("navigator.hid.requestDevice({filters: []})", "device", "NotFoundError"),
    ("navigator.serial.requestPort()", "device", "NotFoundError"),
    ("navigator.requestMIDIAccess({sysex: true})", "device", "NotAllowedError"),
    ("document.body.requestPointerLock()", "pointer", "NotAllowedError"),
    ("documentPictureInPicture.requestWindow()", "window", "NotAllowedError"),
    ("print()", "print", "resolved"),
]


@pytest.mark.parametrize(("script", "kind", "answer"), REQUESTS)
def test_request_is_refused_with_notice(browser: Any, site: Any, script: str, kind: str, answer: str | None) -> None:
    browser.goto(site.add(PAGE % script))
    browser.capture()
    notices = [browser.perform(Click(**CENTER))]
    eventually(lambda: browser.evaluate("answer") == answer)
    notices.append(browser.pop_notices())
    assert REFUSALS[kind] in notices


def test_password_credential_request_is_untouched(browser: Any, site: Any) -> None:
    browser.goto(site.add(PAGE % "navigator.credentials.get({password: true})"))
    browser.capture()
    assert browser.perform(Click(**CENTER)) == ""
    eventually(lambda: browser.evaluate("answer") == "resolved")


@pytest.mark.parametrize("address", ["mailto:a@example.org", "tel:+15550100", "sms:1", "custom-program://x"])
@pytest.mark.parametrize("way", ["<a href='{}' style='font-size: 200px'>link</a>", "<button {}>go</button>"])
def test_address_of_other_program_is_reported(browser: Any, site: Any, way: str, address: str) -> None:
    if way.startswith("<button"):
        script = f"onclick=\"location.href = '{address}'\""
        way = way.format(script + ' style="position:fixed;left:0;top:0;width:400px;height:300px"')
    browser.goto(site.add(way.format(address)))
    browser.capture()
    notices = [browser.perform(Click(x=100, y=150))]
    eventually(lambda: notices.append(browser.pop_notices()) or REFUSALS["program"] in notices)


@pytest.mark.parametrize("address", ["#part", "javascript:void(0)", "about:blank", "blob:x"])
def test_address_of_browser_is_not_reported(browser: Any, site: Any, address: str) -> None:
    browser.goto(site.add(f"<a href='{address}' style='font-size: 200px'>link</a>"))
    browser.capture()
    assert REFUSALS["program"] not in browser.perform(Click(x=100, y=150))


def test_documented_refusals_are_complete() -> None:
    rows = [row.strip("| \n").split(" | ") for row in PAGE_OF_DOCS.read_text().splitlines() if row.startswith("| `")]
    assert {kind.strip("`"): notice for kind, _, notice in (row for row in rows if len(row) == 3)} == REFUSALS


def test_binding_is_not_left_to_page(browser: Any, site: Any) -> None:
    browser.goto(
        site.add("<script>window.names = Object.keys(window).filter(name => /pixelhand/i.test(name))</script>")
    )
    assert browser.evaluate("names") == []


def test_tooltip_is_reported(browser: Any, site: Any) -> None:
    style = "position:fixed;left:0;top:0;width:400px;height:300px"
    browser.goto(site.add(f"<button title='Delete all' style='{style}'><svg width=300 height=300></svg></button>"))
    browser.capture()
    assert browser.perform(Move(**CENTER)) == "the tooltip reads 'Delete all'"
    browser.goto(site.add(f"<button style='{style}'>plain</button>"))
    browser.capture()
    assert browser.perform(Move(**CENTER)) == ""
