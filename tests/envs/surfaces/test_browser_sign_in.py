"""HTTP authentication has a drawn prompt; what is entered goes to no other origin."""

from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from helpers.eventually import eventually

from actions import Back, Click, Open, PressKeys, TypeText
from envs.chromium import activity
from envs.live import LiveEnv
from envs.stability import find_change

FULL = "position:fixed;left:0;top:0;width:400px;height:300px"
CENTER = Click(x=200, y=150)
ENTER, ESCAPE = PressKeys(keys=("enter",)), PressKeys(keys=("escape",))
ACCEPTED = "Basic " + base64.b64encode(b"ann:secret").decode()


class MemberSite:
    """A site whose pages below /members take ann's password only."""

    def __init__(self):
        site = self
        self.requests = []  # method, path, Authorization
        self.pages = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                authorization = self.headers.get("Authorization")
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                site.requests.append((self.command, self.path, authorization))
                is_closed = self.path.startswith("/members") and authorization != ACCEPTED
                self.send_response(401 if is_closed else 302 if self.path.startswith("/to/") else 200)
                if is_closed:
                    self.send_header("WWW-Authenticate", 'Basic realm="members"')
                if self.path.startswith("/to/"):
                    self.send_header("Location", self.path.removeprefix("/to/"))
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                text = "<title>closed</title>closed" if is_closed else f"<title>members{body}</title>"
                self.wfile.write(site.pages.get(self.path, text).encode())

            def do_POST(self):
                self.do_GET()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def sent(self):
        """Return all credentials that arrived."""
        return {authorization for *_, authorization in self.requests if authorization}


@pytest.fixture
def new_members():
    """Return a function that starts a site."""
    sites = []

    def start():
        sites.append(MemberSite())
        return sites[-1]

    yield start
    for site in sites:
        site.server.shutdown()
        site.server.server_close()


@pytest.fixture
def members(new_members):
    return new_members()


def title(browser):
    return browser.evaluate("document.title")


def ask(browser, site, html):
    """Show a page, click on it, and return the notice of the prompt."""
    browser.goto(site.add(html))
    before = browser.capture()
    note = browser.perform(CENTER)
    eventually(lambda: browser.asking)
    note += browser.pop_notices()
    assert find_change(before, browser.capture()).share > 0.3
    return note


def link(address, attributes=""):
    return f"<a href='{address}' {attributes} style='{FULL}'>members</a>"


def test_typed_credentials_open_page(browser, site, members):
    note = ask(browser, site, link(f"{members.address}/members"))
    assert "user name and password" in note
    note = browser.perform(TypeText(text="ann\tsecret\n"))
    assert "secret" not in note
    assert "ann" not in note.split("Sign in")[-1]
    browser.capture()
    assert title(browser) == "members"
    assert browser.url == f"{members.address}/members"
    browser.perform(Open(target=f"{members.address}/members/2"))
    browser.capture()
    assert title(browser) == "members"  # not asked again


def test_fields_and_button_take_clicks(browser, site, members):
    ask(browser, site, link(f"{members.address}/members/clicks"))

    def element(name):
        async def box():
            return await browser._session.dialog_page.page.locator(f"#{name}").bounding_box()

        bounds = browser._thread.call(box(), 5, "measuring")
        return Click(x=int(bounds["x"] + bounds["width"] / 2), y=int(bounds["y"] + bounds["height"] / 2))

    browser.perform(element("secret"))
    browser.perform(TypeText(text="secret"))
    browser.capture()
    browser.perform(element("field"))
    browser.perform(TypeText(text="ann"))
    browser.capture()
    assert "Sign in was chosen" in browser.perform(element("ok"))
    assert title(browser) == "members"


def test_wrong_password_asks_again(browser, site, members):
    ask(browser, site, link(f"{members.address}/members"))
    note = browser.perform(TypeText(text="ann\twrong\n"))
    eventually(lambda: browser.asking)
    assert "not accepted" in note + browser.pop_notices()
    browser.capture()
    browser.perform(TypeText(text="ann\tsecret\n"))
    assert title(browser) == "members"


def test_cancel_shows_page_of_server(browser, site, members):
    ask(browser, site, link(f"{members.address}/members"))
    assert "Cancel was chosen" in browser.perform(ESCAPE)
    browser.capture()
    assert title(browser) == "closed"
    assert members.sent() == set()
    browser.perform(Back())
    assert browser.evaluate("document.querySelector('a') !== null")


def test_open_asks_for_credentials(browser, site, members):
    browser.goto(site.add("<p>start"))
    browser.capture()
    note = browser.perform(Open(target=f"{members.address}/members"))
    assert "was not opened" not in note
    eventually(lambda: browser.asking)
    browser.capture()
    browser.perform(TypeText(text="ann\tsecret\n"))
    assert title(browser) == "members"


def test_goto_leaves_prompt_for_model(browser, members):
    browser.goto(f"{members.address}/members")
    eventually(lambda: browser.asking)
    browser.capture()
    browser.perform(TypeText(text="ann\tsecret\n"))
    assert title(browser) == "members"


def test_new_tab_asks_for_credentials(browser, site, members):
    ask(browser, site, link(f"{members.address}/members", "target=_blank"))
    browser.perform(TypeText(text="ann\tsecret\n"))
    browser.capture()
    assert title(browser) == "members"


def test_posted_form_is_sent_with_credentials(browser, site, members):
    form = (
        f"<form method=post action='{members.address}/members'><button name=n value=5 style='{FULL}'>b</button></form>"
    )
    ask(browser, site, form)
    browser.perform(TypeText(text="ann\tsecret\n"))
    assert members.requests[-1][:2] == ("POST", "/members") or members.requests[-2][:2] == ("POST", "/members")
    assert title(browser) == "membersn=5"


def test_credentials_reach_no_other_origin(browser, site, members, new_members):
    other_members = new_members()
    ask(browser, site, link(f"{members.address}/members"))
    members.pages["/members"] = f"<script>location = '{other_members.address}/members'</script>"
    browser.perform(TypeText(text="ann\tsecret\n"))
    eventually(lambda: browser.asking)
    assert other_members.address in browser.pop_notices()
    assert other_members.requests
    assert other_members.sent() == set()
    browser.capture()
    browser.perform(ESCAPE)


@pytest.mark.parametrize("part", ["document.body.append(f)", "fetch(f.src).then(() => 1, () => 1)"])
def test_part_that_asks_is_told(browser, new_members, part, monkeypatch):
    monkeypatch.setattr(activity, "CAP_S", 1.0)
    members = new_members()
    members.pages["/"] = (
        f"<script>f = document.createElement('iframe'); f.src = '/members'</script>"
        f'<button style="{FULL}" onclick="{part}">b</button>'
    )
    browser.goto(members.address)
    env = LiveEnv(browser)
    env.reset()
    note = env.step(CENTER)[4]["note"]
    assert "asks for a user name" in note
    assert f"{members.address}/members" in note
