"""Secrets over `agent run` in a real Chromium: what is typed, where it is refused, and that it stands nowhere."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

import numpy as np
import pyotp
import pytest
from helpers.agent_fakes import HERE
from helpers.secret_runs import leaks

from actions import Screen
from agent.trace import Trace, list_runs, read_trace

pytestmark = pytest.mark.usefixtures("chromium")
ROOT = HERE.parent.parent
PASSWORD = 'p&ss "wörd"/+7?'
USER = "ann.example"
SEED = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
MEMBER = "Basic " + base64.b64encode(b"ann:url:pass").decode()
STYLE = "position:fixed;left:20px;width:300px;height:40px;font-size:20px"
LOGIN = (
    "<!doctype html><meta charset=utf-8><form action=/in method={method}>"
    f"<input name=user autocomplete=username placeholder=User style='{STYLE};top:20px'>"
    f"<input name=pw type=password style='{STYLE};top:80px'>"
    f"<input name=code autocomplete=one-time-code style='{STYLE};top:140px'>"
    f"<input name=q type=search style='{STYLE};top:200px'>"
    f"<button style='{STYLE};top:260px'>Continue</button></form>"
)
AT_USER, AT_PASSWORD, AT_CODE, AT_SEARCH, AT_BUTTON = ((100, y) for y in (40, 100, 160, 220, 280))


def click(point: tuple[int, int]) -> dict[str, Any]:
    return {"verb": "click", "x": point[0], "y": point[1]}


def type_text(text: str) -> dict[str, Any]:
    return {"verb": "type", "text": text}


class LoginSite:
    """A site that remembers the forms that it received, and shows them back to the page."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.opened: list[str] = []
        self.pages = {"/": LOGIN.format(method="post"), "/get": LOGIN.format(method="get"), "/members": "welcome"}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                self.answer(path, query)

            def do_POST(self) -> None:
                self.answer(self.path, self.rfile.read(int(self.headers["Content-Length"])).decode())

            def answer(self, path: str, form: str) -> None:
                if path == "/in":
                    fields = {name: values[0] for name, values in parse_qs(form).items()}
                    site.forms.append(fields)
                if path == "/members" and self.headers.get("Authorization") != MEMBER:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="members"')
                    self.end_headers()
                    return
                site.opened.append(path)
                text = site.pages.get(
                    path, f"<script>alert('signed in ' + decodeURIComponent('{quote(form)}'))</script>"
                )
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture(scope="module")
def site() -> Iterator[LoginSite]:
    login = LoginSite()
    yield login
    login.server.shutdown()


@pytest.fixture
def agent(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the `agent` command without a keyring."""
    environment = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}

    def call(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agent", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, input=text, capture_output=True, text=True)

    return call


@pytest.fixture
def perform(agent: Any, tmp_path: Path) -> Callable[..., tuple[Trace, str]]:
    """Return a function that runs actions on a page; it returns the trace and all output."""

    def run(url: str, *actions: dict[str, Any], policy: str = "cautious") -> tuple[Trace, str]:
        script = tmp_path / "script.jsonl"
        script.write_text("".join(json.dumps(action) + "\n" for action in (*actions, {"verb": "done"})))
        runs = ("--runs", str(tmp_path / "runs"))
        result = agent("run", "sign in", "--url", url, "--script", str(script), "--policy", policy, "--json", *runs)
        folder = tmp_path / "runs" / list_runs(tmp_path / "runs")[-1]
        return read_trace(folder), result.stdout + result.stderr

    return run


def store_all(agent: Any, host: str = "127.0.0.1") -> None:
    for name, value, *options in (
        ("SHOP", PASSWORD),
        ("USER", USER, "--kind", "text"),
        ("CODE", SEED, "--totp"),
    ):
        assert agent("secrets", "set", name, "--for", host, *options, text=value + "\n").returncode == 0


@pytest.mark.parametrize("path", ["/", pytest.param("/get", marks=pytest.mark.slow)])
def test_secrets_are_typed_and_stand_nowhere(agent: Any, perform: Any, site: LoginSite, path: str) -> None:
    store_all(agent)
    site.forms.clear()
    trace, output = perform(
        site.url(path),
        *(click(AT_USER), type_text("{{USER}}"), click(AT_PASSWORD), type_text("{{SHOP}}")),
        *(click(AT_CODE), type_text("{{CODE}}"), click(AT_BUTTON)),
        {"verb": "wait", "seconds": 3},  # a busy machine shows the dialog of the next page late
        {"verb": "press", "keys": ["enter"]},
    )
    (form,) = site.forms
    code = form["code"]
    assert (form["user"], form["pw"]) == (USER, PASSWORD)
    assert pyotp.TOTP(SEED).verify(code, valid_window=2)
    assert leaks(trace.folder, output, USER, PASSWORD, code, SEED) == []
    assert [event["error"] for event in trace.finished] == [""] * 10
    assert "{{SHOP}}" in (trace.folder / "steps.jsonl").read_text()


def test_visible_fields_are_masked_in_screenshots(agent: Any, perform: Any, site: LoginSite) -> None:
    screens = []
    for user in ("iiiiiiiiiii", "WMWMWMWMWMW"):
        agent("secrets", "set", "USER", "--for", "127.0.0.1", "--kind", "text", text=user)
        trace, _ = perform(site.url(), click(AT_USER), type_text("{{USER}}"))
        screen: Screen = trace.screen(trace.finished[-2]["screen"])
        screens.append(screen.pixels[20:70, 20:330])
    empty = trace.screen(trace.first("start")["screen"]).pixels[20:70, 20:330]
    assert np.array_equal(screens[0], screens[1])
    assert not np.array_equal(screens[0], empty)


def test_secret_is_refused_on_pages_of_others(agent: Any, perform: Any, site: LoginSite) -> None:
    store_all(agent, "shop.example")
    site.forms.clear()
    trace, output = perform(
        site.url(),
        *(click(AT_PASSWORD), type_text("{{SHOP}}"), click(AT_SEARCH), type_text("{{USER}}")),
    )
    errors = [event["error"] for event in trace.finished]
    assert "shop.example" in errors[1]
    assert "shop.example" in errors[3]
    assert leaks(trace.folder, output, PASSWORD, USER) == []


def test_sandboxed_frame_gets_no_secret(agent: Any, perform: Any, site: LoginSite) -> None:
    store_all(agent)
    style = "position:fixed;left:0;top:0;width:400px;height:400px;border:0"
    site.pages["/framed"] = f"<iframe sandbox=allow-forms src=/ style='{style}'></iframe>"
    trace, output = perform(site.url("/framed"), click(AT_PASSWORD), type_text("{{SHOP}}"))
    assert "without a host" in trace.finished[1]["error"]
    assert leaks(trace.folder, output, PASSWORD) == []


def test_each_box_of_a_code_is_masked(agent: Any, perform: Any, site: LoginSite) -> None:
    boxes = "".join(
        f"<input maxlength=1 style='position:fixed;left:{20 + 60 * i}px;top:20px;width:40px'>" for i in range(4)
    )
    site.pages["/boxes"] = f"<!doctype html><form>{boxes}</form>" + (
        "<script>for (const box of document.forms[0]) box.oninput = () => box.nextElementSibling?.focus()</script>"
    )
    screens = []
    for code in ("1111", "8428"):
        agent("secrets", "set", "CODE", "--for", "127.0.0.1", "--kind", "otp", text=code)
        trace, _ = perform(site.url("/boxes"), click((30, 30)), type_text("{{CODE}}"))
        screens.append(trace.screen(trace.finished[-2]["screen"]).pixels[:60, :200])
    empty = trace.screen(trace.first("start")["screen"]).pixels[:60, :200]
    assert np.array_equal(screens[0], screens[1])
    assert not np.array_equal(screens[0], empty)


def test_password_field_turned_visible_stays_masked(agent: Any, perform: Any, site: LoginSite) -> None:
    site.pages["/show"] = LOGIN.format(method="post") + (
        "<script>const field = document.querySelector('[name=pw]');"
        "field.oninput = () => { field.type = 'text'; field.style.webkitTextSecurity = 'none'; }</script>"
    )
    screens = []
    for password in ("iiiiiiiiiii", "WMWMWMWMWMW"):
        agent("secrets", "set", "SHOP", "--for", "127.0.0.1", text=password)
        trace, _ = perform(site.url("/show"), click(AT_PASSWORD), type_text("{{SHOP}}"))
        screens.append(trace.screen(trace.finished[-2]["screen"]).pixels[80:130, 20:330])
    assert np.array_equal(screens[0], screens[1])


def test_credentials_of_start_address_stand_nowhere(perform: Any, site: LoginSite) -> None:
    site.opened.clear()
    address = site.url("/members").replace("//", "//ann:url%3Apass@")
    trace, output = perform(address, {"verb": "open", "target": address})
    assert site.opened[0] == "/members"
    assert leaks(trace.folder, output, "url:pass", "url%3Apass", "ann:") == []
    assert trace.manifest["url"] == site.url("/members")


TYPED_PAGES = {
    "plain": "<input type=password autofocus>",
    "new-password": "<input type=text autocomplete='section-a new-password' autofocus>",
    "code": "<input inputmode=numeric autocomplete=one-time-code autofocus>",
    "card": "<input autocomplete='billing cc-number' autofocus>",
    "security-code": "<input autocomplete=cc-csc autofocus>",
    "drawn-as-dots": "<input style='-webkit-text-security: disc' autofocus>",
    "dots-in-area": "<textarea style='-webkit-text-security: circle' autofocus></textarea>",
    "editable": "<div contenteditable style='-webkit-text-security: disc' autofocus>x</div>"
    "<script>document.querySelector('div').focus()</script>",
    "frame": "<iframe srcdoc='<input type=password autofocus>' autofocus></iframe>"
    "<script>onload = () => frames[0].document.querySelector('input').focus()</script>",
    "open-root": "<div></div><script>document.querySelector('div').attachShadow({mode: 'open'}).innerHTML ="
    " '<input type=password>'; document.querySelector('div').shadowRoot.querySelector('input').focus()</script>",
    "closed-root": "<div></div><script>const root = document.querySelector('div').attachShadow({mode: 'closed'});"
    " root.innerHTML = '<input type=password>'; root.querySelector('input').focus()</script>",
}


def test_typed_passwords_stand_nowhere(perform: Any, site: LoginSite) -> None:
    """Without stored secrets: a text for each kind of field, and in each kind of document."""
    site.pages |= {f"/typed/{name}": f"<!doctype html>{body}" for name, body in TYPED_PAGES.items()}
    texts = [f'hunter2 "{name}" pässword' for name in TYPED_PAGES]
    actions = [
        action
        for name, text in zip(TYPED_PAGES, texts, strict=True)
        for action in ({"verb": "open", "target": site.url(f"/typed/{name}")}, type_text(text))
    ]
    trace, output = perform(site.url(), *actions, policy="sandbox")
    assert [event["error"] for event in trace.finished] == [""] * (2 * len(texts) + 1)
    assert leaks(trace.folder, output, *texts) == []
