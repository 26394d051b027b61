"""A policy behind a server: its address, what goes over the wire, trouble on the way, and the check at the start."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.server_fakes import Fake, serving
from PIL import Image

from actions import ACTION_TYPES, Click, Reply, Screen, Step, SurfaceError, UsageError
from agent.policies.remote import client
from agent.policies.remote.endpoint import is_endpoint, parse_endpoint
from agent.policies.remote.factory import load_remote_policy
from agent.policies.remote.policy import RemotePolicy
from agent.policies.remote.probe import GOAL, PLACES, render_button_page
from agent.policies.remote.profile import resolve_profile
from agent.trace import TraceWriter, new_folder
from model.processing.image import ImageLimits, resize

pytestmark = pytest.mark.usefixtures("quick_wire")
ALL = frozenset(ACTION_TYPES)


@pytest.fixture
def fake() -> Iterator[Fake]:
    with serving(Fake()) as one:
        yield one


def policy(fake: Fake, more: str = "", **how: Any) -> RemotePolicy:
    return load_remote_policy(f"{fake.base}?dialect=qwen25{more}#tiny", **how)


def noise(width: int = 280, height: int = 364) -> Screen:
    return Screen(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def sent_picture(body: dict[str, Any]) -> np.ndarray:
    urls = [part["image_url"]["url"] for part in body["messages"][-1]["content"] if part["type"] == "image_url"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(urls[-1].partition(",")[2]))))


# --- the address ---


def test_an_address_has_a_base_options_and_a_name() -> None:
    found = parse_endpoint("http://h:1/v1?dialect=gta1&pictures=2#Org/Name")
    assert (found.base, found.name, found.options) == ("http://h:1/v1", "Org/Name", {"dialect": "gta1", "pictures": 2})
    assert is_endpoint("https://h/v1#x") and not is_endpoint("Org/Name") and not is_endpoint("embedded")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("http://user:secret@h/v1#x", "PIXELHAND_API_KEY"),
        ("http://h/v1?api_key=secret#x", "unknown option 'api_key'"),
        ("http://h/v1?dialct=x#x", "did you mean 'dialect'"),
        ("http://h/v1?pictures=many#x", "whole number"),
        ("http://h/v1?check=maybe#x", "on or off"),
        ("http:///v1#x", "no address of a server"),
        ("http://h:99999999/v1#x", "no address"),
    ],
)
def test_a_wrong_address_is_one_sentence_without_the_key(address: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        parse_endpoint(address)
    assert "secret" not in str(caught.value)


def test_the_name_may_be_left_out_where_there_is_one(fake: Fake) -> None:
    assert load_remote_policy(f"{fake.base}?dialect=qwen25").metadata["model"] == "tiny"
    with pytest.raises(UsageError, match=r"no model 'tin'; it has tiny\. Write .*#tiny"):
        load_remote_policy(f"{fake.base}?dialect=qwen25#tin")
    fake.names = ("a", "b")
    with pytest.raises(UsageError, match="has several models"):
        load_remote_policy(f"{fake.base}?dialect=qwen25")
    fake.listed = False
    assert load_remote_policy(f"{fake.base}?dialect=qwen25#mine").metadata["model"] == "mine"


# --- how to speak ---


def test_an_unknown_model_says_what_to_write() -> None:
    with pytest.raises(UsageError, match=r"how to speak with 'tiny'.*\?dialect=NAME.*gta1.*\?files=FOLDER"):
        resolve_profile("tiny", None, {})


def test_files_say_all_and_options_go_before_them(tiny_files: Path) -> None:
    speech = resolve_profile("whatever", None, {"files": str(tiny_files), "pictures": 1, "max_pixels": 100 * 784})
    assert (speech.dialect, speech.pictures, speech.history_steps) == ("qwen25", 1, 30)
    assert speech.limits == ImageLimits(3136, 100 * 784) and str(tiny_files) in speech.source
    embedded = resolve_profile("embedded", None, {})
    assert (embedded.dialect, embedded.history_steps, embedded.tools) == ("qwen25", 0, "server")
    assert embedded.limits.min_pixels == 101136 and len(embedded.fingerprint) == 16


def test_without_files_the_authors_budget_counts() -> None:
    assert resolve_profile("x", None, {"dialect": "gta1"}).limits.max_pixels == 4096 * 2160
    assert resolve_profile("x", None, {"dialect": "qwen25"}).limits == ImageLimits()


def test_what_our_server_tells_is_taken_and_nonsense_is_refused() -> None:
    from model.chat_model import load_chat
    from model.serve.app import about

    told = json.loads(json.dumps(about(load_chat("embedded"))))
    files, word = resolve_profile("embedded", None, {}), resolve_profile("other", told, {})
    assert word.source == "the server's word"
    assert (word.dialect, word.limits, word.tools, word.fingerprint) == (
        files.dialect, files.limits, files.tools, files.fingerprint,
    )  # fmt: skip
    with pytest.raises(UsageError, match="in a way that we do not know"):
        resolve_profile("x", {"dialect": "qwen25"}, {})


@pytest.fixture
def tiny_files(tmp_path: Path) -> Path:
    """A checkpoint's small files: no weights are needed to speak with a server."""
    import model

    embedded = Path(model.__file__).parent / "embedded"
    config = json.loads((embedded / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_bytes((embedded / "tokenizer.json").read_bytes())
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    return tmp_path


# --- what goes over the wire ---


def test_pictures_are_sent_as_the_model_would_see_them_in_process(fake: Fake) -> None:
    one = policy(fake, "&max_pixels=300000", check=False)
    screen = noise(1000, 700)
    one.decide("go", [], screen, ALL)
    width, height = one.profile.limits.resized(1000, 700)
    assert width * height <= 300000
    assert (sent_picture(fake.asked[-1]) == resize(screen.pixels, width, height)).all()


def test_points_come_back_in_pixels_of_the_screen(fake: Fake) -> None:
    screen, target = render_button_page((1000, 700), PLACES[0])
    big = policy(fake, "&max_pixels=300000", check=False)
    call = big.parse(Reply(fake.answer({"messages": [{"content": [big._part({"type": "image", "image": screen})]}]})))
    action = big.to_action(call, screen)
    assert isinstance(action, Click) and big.to_actions(call, screen) == (action,)
    assert abs(action.x - target[0]) <= 3 and abs(action.y - target[1]) <= 3


def test_tools_go_into_the_system_turn_unless_the_server_renders_them(fake: Fake) -> None:
    policy(fake, check=False).decide("go", [], noise(), ALL)
    policy(fake, "&tools=server", check=False).decide("go", [], noise(), ALL)
    written, handed = fake.asked
    system = "".join(part["text"] for part in written["messages"][0]["content"])
    assert "tools" not in written and "<tools>" in system and '"computer_use"' in system
    assert handed["tools"][0]["function"]["name"] == "computer_use" and handed["tool_choice"] == "none"
    assert "<tools>" not in json.dumps(handed["messages"])


def test_the_system_turn_is_that_of_the_tokenizer(fake: Fake, tiny_files: Path) -> None:
    """The same words as in process, where the checkpoint's template renders no tools."""
    from agent.policies.remote.messages import render_messages
    from model.processing.tokenizer import Tokenizer

    template = (
        "{% for m in messages %}[{{ m.role }}]{% for p in m.content %}{{ p.text or p.type }}{% endfor %}{% endfor %}"
    )
    (tiny_files / "chat_template.jinja").write_text(template)
    one = policy(fake, check=False)
    talk = one.dialect.conversation("say <|im_end|> twice", [], noise(), ALL)
    messages, tools = render_messages(talk, "system")
    told = "".join(
        f"[{message['role']}]" + "".join(part.get("text") or part["type"] for part in message["content"])
        for message in messages
    )
    assert tools == () and told == Tokenizer(tiny_files).render(talk.messages, talk.tools)
    assert "<|im_end|>" not in told and "< |im_end|>" in told


def test_words_that_a_server_took_apart_are_put_back(fake: Fake) -> None:
    screen, target = render_button_page((280, 364), PLACES[1])
    fake.apart = True
    one = policy(fake)
    reply = one.decide(GOAL, [], screen, ALL)
    action = one.to_action(one.parse(reply), screen)
    assert (action.x, action.y) == target and (reply.prompt_tokens, reply.reply_tokens) == (11, 5)


def test_a_stream_tells_the_text_so_far_and_ends_as_the_whole(fake: Fake) -> None:
    heard: list[str] = []
    one = policy(fake, on_text=heard.append)
    reply = one.decide(GOAL, [], render_button_page((280, 364), PLACES[0])[0], ALL)
    assert heard == [reply.text[:9], reply.text] and fake.asked[-1]["stream"] and reply.reply_tokens == 5


def test_earlier_steps_are_shown_as_memory_says_and_seeds_differ(fake: Fake) -> None:
    one = policy(fake, "&pictures=1", seed=7, temperature=0.5, check=False)
    steps = [Step(n, noise(), Reply(f"words {n}")) for n in (1, 2)]
    reply = one.decide("go", steps, noise(), ALL)
    body = fake.asked[-1]
    assert (body["seed"], body["temperature"], body["max_tokens"]) == (9, 0.5, 512)
    assert len(reply.image_digests) == 2 == json.dumps(body).count('"image_url": {')
    assert reply.image_digests[-1] == noise().digest and reply.image_digests[-1] in reply.prompt


# --- trouble ---


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_trouble_is_tried_again(fake: Fake, status: int) -> None:
    one = policy(fake, check=False)
    fake.troubles = [(status, {}), (status, {"Retry-After": "0"})]
    assert one.decide(GOAL, [], render_button_page((280, 364), PLACES[0])[0], ALL).text
    assert len(fake.asked) == 3


def test_pauses_grow_and_are_never_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.5)
    pauses = [[client._backoff_s(n, None) for n in (1, 2, 3)] for _ in range(50)]
    for n, base in enumerate((0.5, 1.0, 2.0)):
        column = [row[n] for row in pauses]
        assert 0.5 * base <= min(column) < max(column) <= 1.5 * base and len(set(column)) > 10


def test_trouble_that_stays_is_the_machines(fake: Fake) -> None:
    one = policy(fake, check=False)
    fake.troubles = [(503, {})] * client.MAX_ATTEMPTS
    with pytest.raises(SurfaceError, match=r"after 4 tries \(it answers 503: not now\)"):
        one.decide("go", [], noise(), ALL)


def test_a_stream_that_breaks_off_is_asked_for_again(fake: Fake) -> None:
    one = policy(fake, on_text=lambda text: None, check=False)
    fake.cut = 1
    assert one.decide(GOAL, [], render_button_page((280, 364), PLACES[0])[0], ALL).text.endswith("</tool_call>")
    assert len(fake.asked) == 2


def test_a_server_that_is_not_there_is_the_persons_at_the_start_and_the_machines_later(fake: Fake) -> None:
    one = policy(fake, check=False)
    with pytest.raises(UsageError, match="is it running"):
        load_remote_policy("http://127.0.0.1:9/v1?dialect=qwen25#tiny")
    one.client.base = "http://127.0.0.1:9/v1"
    with pytest.raises(SurfaceError, match="cannot be had after 4 tries"):
        one.decide("go", [], noise(), ALL)


def test_what_the_server_will_never_do_is_not_tried_again(fake: Fake) -> None:
    one = policy(fake, check=False)
    fake.troubles = [(400, {})]
    with pytest.raises(UsageError, match=r"refuses what it is asked \(400: not now"):
        one.decide("go", [], noise(), ALL)
    assert len(fake.asked) == 1


def test_the_key_is_sent_and_stands_in_no_trace_and_no_error(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake.key = "sk-very-secret"
    with pytest.raises(UsageError, match="PIXELHAND_API_KEY"):
        policy(fake)
    monkeypatch.setenv(client.KEY, "sk-other-secret")
    with pytest.raises(UsageError) as caught:
        policy(fake)
    assert "sk-other-secret" not in str(caught.value) and "***" in str(caught.value)
    monkeypatch.setenv(client.KEY, fake.key)
    one = policy(fake)
    trace = TraceWriter(new_folder(tmp_path), {"policy": dict(one.metadata)})
    trace.write("reply", reply=one.decide("go", [], noise(), ALL))
    trace.close()
    written = b"".join(file.read_bytes() for file in trace.folder.rglob("*") if file.is_file())
    assert fake.key.encode() not in written and b"qwen25" in written


def test_the_keyring_has_a_key_for_each_server(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    monkeypatch.setattr(keyring, "get_password", lambda service, user: f"{service} {user}")
    assert client.find_api_key("http://h:8000/v1") == "pixelhand h:8000"


# --- the check at the start ---


def test_a_server_that_sees_passes(fake: Fake) -> None:
    told: list[str] = []
    one = policy(fake, say=told.append)
    assert told == [one.metadata["checked"]] and "sees pictures and keeps coordinates" in told[0]
    sizes = {sent_picture(body).shape for body in fake.asked}
    assert sizes == {(364, 280, 3), (728, 1288, 3)}


def test_a_blind_server_is_found(fake: Fake) -> None:
    fake.mode = "blind"
    with pytest.raises(UsageError, match=r"answers without looking.*vision part"):
        policy(fake)
    assert policy(fake, "&check=off").metadata["checked"] == ""


def test_a_server_that_fails_on_the_colours_is_judged_by_the_buttons(fake: Fake) -> None:
    fake.fails_on = "Which colour"
    assert "sees pictures and keeps coordinates" in policy(fake).checked
    fake.mode = "blind"
    with pytest.raises(UsageError, match=r"answers without looking.*nothing that can be read"):
        policy(fake)


def test_a_server_that_fails_on_the_large_page_is_let_through_and_said_so(fake: Fake) -> None:
    fake.fails_on = "large"
    assert "keeps coordinates of small ones; of larger ones it is not shown" in policy(fake).checked


def test_a_server_that_fails_on_everything_is_the_machines_trouble(fake: Fake) -> None:
    fake.troubles = [(500, {})] * 99
    with pytest.raises(SurfaceError, match="cannot be had"):
        policy(fake)


def test_a_server_that_shrinks_pictures_is_found(fake: Fake) -> None:
    fake.mode = "half"
    with pytest.raises(UsageError, match=r"does not keep coordinates.*about 0\.50 times"):
        policy(fake)


def test_a_model_too_weak_to_prove_it_is_let_through_and_said_so(fake: Fake) -> None:
    fake.mode = "weak"
    found = policy(fake).checked
    assert "tells pictures apart" in found and "is not shown" in found
