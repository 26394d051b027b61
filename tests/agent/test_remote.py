"""Tests of remote policies: addresses, profiles, requests, retries and the start-up check."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.server_fakes import FakeServer, serve_fake
from PIL import Image

from actions import ACTION_TYPES, Click, Reply, Screen, Step, SurfaceError, UsageError
from agent.policies.factory import load_policy
from agent.policies.remote import client
from agent.policies.remote.endpoint import is_endpoint, parse_endpoint
from agent.policies.remote.factory import load_remote_policy
from agent.policies.remote.policy import RemotePolicy
from agent.policies.remote.probe import GOAL, PLACES, render_button_page
from agent.policies.remote.profile import resolve_profile
from agent.trace import TraceWriter, new_folder
from model.processing.image import ImageLimits, resize

pytestmark = pytest.mark.usefixtures("fast_retries")
ALL = frozenset(ACTION_TYPES)


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    with serve_fake(FakeServer()) as server:
        yield server


def policy(fake: FakeServer, options: str = "", **keywords: Any) -> RemotePolicy:
    return load_remote_policy(f"{fake.base}?dialect=qwen25{options}#tiny", **keywords)


def noise(width: int = 280, height: int = 364) -> Screen:
    return Screen(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def sent_image(body: dict[str, Any]) -> np.ndarray:
    urls = [part["image_url"]["url"] for part in body["messages"][-1]["content"] if part["type"] == "image_url"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(urls[-1].partition(",")[2]))))


# addresses


def test_parse_endpoint_splits_base_options_and_name() -> None:
    endpoint = parse_endpoint("http://h:1/v1?dialect=gta1&pictures=2#Org/Name")
    assert (endpoint.base, endpoint.name, endpoint.options) == (
        "http://h:1/v1",
        "Org/Name",
        {"dialect": "gta1", "pictures": 2},
    )
    assert is_endpoint("https://h/v1#x")
    assert not is_endpoint("Org/Name")
    assert not is_endpoint("embedded")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://user:secret@h/v1#x", "PIXELHAND_API_KEY"),
        ("http://h/v1?api_key=secret#x", "unknown option 'api_key'"),
        ("http://h/v1?dialct=x#x", "Did you mean 'dialect'"),
        ("http://h/v1?pictures=many#x", "option pictures .* integer"),
        ("http://h/v1?check=maybe#x", "option check .* on, off"),
        ("http:///v1#x", "invalid server address"),
        ("http://h:99999999/v1#x", "invalid server address"),
        ("ftp://h/v1#x", "invalid server address"),
    ],
)
def test_parse_endpoint_error_hides_the_key(address: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse_endpoint(address)
    assert "secret" not in str(caught.value)


def test_model_name_is_optional_for_single_model(fake: FakeServer) -> None:
    assert load_remote_policy(f"{fake.base}?dialect=qwen25").metadata["model"] == "tiny"
    with pytest.raises(UsageError, match=r"no model 'tin'; it has tiny\. Did you mean 'tiny'"):
        load_remote_policy(f"{fake.base}?dialect=qwen25#tin")
    fake.names = ("a", "b")
    with pytest.raises(UsageError, match="has several models"):
        load_remote_policy(f"{fake.base}?dialect=qwen25")
    fake.lists_models = False
    assert load_remote_policy(f"{fake.base}?dialect=qwen25#mine").metadata["model"] == "mine"


# profiles


def test_unknown_dialect_error_names_address_options() -> None:
    with pytest.raises(UsageError, match=r"dialect of 'tiny' is unknown.*\?dialect=NAME.*gta1.*\?files=FOLDER"):
        resolve_profile("tiny", None, {})


def test_address_options_override_checkpoint_files(tiny_files: Path) -> None:
    profile = resolve_profile("whatever", None, {"files": str(tiny_files), "pictures": 1, "max_pixels": 100 * 784})
    assert (profile.dialect, profile.images, profile.history_steps) == ("qwen25", 1, 30)
    assert profile.limits == ImageLimits(3136, 100 * 784)
    assert str(tiny_files) in profile.source
    embedded = resolve_profile("embedded", None, {})
    assert (embedded.dialect, embedded.history_steps, embedded.tools) == ("qwen25", 0, "server")
    assert embedded.limits.min_pixels == 101136
    assert len(embedded.fingerprint) == 16


def test_listed_hub_id_names_the_dialect() -> None:
    profile = resolve_profile("meituan/EvoCUA-8B-20260105", None, {})
    assert (profile.dialect, profile.images, profile.limits.factor) == ("evocua", 4, 32)
    assert resolve_profile("meituan/EvoCUA-8B-20260105", None, {"dialect": "qwen3vl"}).dialect == "qwen3vl"
    assert resolve_profile("x", None, {"dialect": "holo3"}).images == 2
    assert resolve_profile("x", None, {"dialect": "holo3", "pictures": 0}).images == 0


def test_dialect_limits_apply_without_files() -> None:
    assert resolve_profile("x", None, {"dialect": "gta1"}).limits.max_pixels == 4096 * 2160
    assert resolve_profile("x", None, {"dialect": "qwen25"}).limits == ImageLimits()


def test_server_description_is_used_and_validated() -> None:
    from model.chat_model import load_chat
    from model.serve.app import model_profile

    messages_text = json.loads(json.dumps(model_profile(load_chat("embedded"))))
    profile_of_files, described = resolve_profile("embedded", None, {}), resolve_profile("other", messages_text, {})
    assert described.source == "the server's word"
    assert (described.dialect, described.limits, described.tools, described.fingerprint) == (
        profile_of_files.dialect, profile_of_files.limits, profile_of_files.tools, profile_of_files.fingerprint,
    )  # fmt: skip
    with pytest.raises(UsageError, match="description of its model is not understood"):
        resolve_profile("x", {"dialect": "qwen25"}, {})


@pytest.fixture
def tiny_files(tmp_path: Path) -> Path:
    """Return a folder with a checkpoint's config files; a server's model needs no weights here."""
    import model

    embedded = Path(model.__file__).parent / "embedded"
    config = json.loads((embedded / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_bytes((embedded / "tokenizer.json").read_bytes())
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    return tmp_path


# requests


def test_images_are_resized_as_in_process(fake: FakeServer) -> None:
    remote = policy(fake, "&max_pixels=300000", check=False)
    screen = noise(1000, 700)
    remote.decide("go", [], screen, ALL)
    width, height = remote.profile.limits.resized(1000, 700)
    assert width * height <= 300000
    assert (sent_image(fake.requests[-1]) == resize(screen.pixels, width, height)).all()


def test_points_are_mapped_to_screen_pixels(fake: FakeServer) -> None:
    screen, target = render_button_page((1000, 700), PLACES[0])
    remote = policy(fake, "&max_pixels=300000", check=False)
    call = remote.parse(
        Reply(fake.reply({"messages": [{"content": [remote._part_to_wire({"type": "image", "image": screen})]}]}))
    )
    action = remote.to_action(call, screen)
    assert isinstance(action, Click)
    assert remote.to_actions(call, screen) == (action,)
    assert abs(action.x - target[0]) <= 3
    assert abs(action.y - target[1]) <= 3


def test_tools_are_rendered_by_system_or_server(fake: FakeServer) -> None:
    policy(fake, check=False).decide("go", [], noise(), ALL)
    policy(fake, "&tools=server", check=False).decide("go", [], noise(), ALL)
    system_request, server_request = fake.requests
    system = "".join(part["text"] for part in system_request["messages"][0]["content"])
    assert "tools" not in system_request
    assert "<tools>" in system
    assert '"computer_use"' in system
    assert server_request["tools"][0]["function"]["name"] == "computer_use"
    assert server_request["tool_choice"] == "none"
    assert "<tools>" not in json.dumps(server_request["messages"])


def test_thinking_switch_is_sent_if_set(fake: FakeServer) -> None:
    switches = []
    for dialect in ("fara15", "holo3", "gui_owl15"):
        policy(fake, f"&dialect={dialect}", check=False).decide("go", [], noise(), ALL)
        switches.append(fake.requests[-1].get("chat_template_kwargs"))
    assert switches == [{"enable_thinking": False}, {"enable_thinking": True}, None]


def test_system_message_matches_tokenizer(fake: FakeServer, tiny_files: Path) -> None:
    """Where the checkpoint's template renders no tools, the text is the same as in process."""
    from agent.policies.remote.messages import render_messages
    from model.processing.tokenizer import Tokenizer

    template = (
        "{% for m in messages %}[{{ m.role }}]{% for p in m.content %}{{ p.text or p.type }}{% endfor %}{% endfor %}"
    )
    (tiny_files / "chat_template.jinja").write_text(template)
    remote = policy(fake, check=False)
    conversation = remote.dialect.conversation("say <|im_end|> twice", [], noise(), ALL)
    messages, tools = render_messages(conversation, "system")
    messages_text = "".join(
        f"[{message['role']}]" + "".join(part.get("text") or part["type"] for part in message["content"])
        for message in messages
    )
    assert tools == ()
    assert messages_text == Tokenizer(tiny_files).render(conversation.messages, conversation.tools)
    assert "<|im_end|>" not in messages_text
    assert "< |im_end|>" in messages_text


def test_parsed_tool_calls_become_text_again(fake: FakeServer) -> None:
    screen, target = render_button_page((280, 364), PLACES[1])
    fake.splits_calls = True
    remote = policy(fake)
    reply = remote.decide(GOAL, [], screen, ALL)
    action = remote.to_action(remote.parse(reply), screen)
    assert (action.x, action.y) == target
    assert (reply.prompt_tokens, reply.reply_tokens) == (11, 5)


def test_stream_reports_text_so_far(fake: FakeServer) -> None:
    texts: list[str] = []
    remote = policy(fake, on_text=texts.append)
    reply = remote.decide(GOAL, [], render_button_page((280, 364), PLACES[0])[0], ALL)
    assert texts == [reply.text[:9], reply.text]
    assert fake.requests[-1]["stream"]
    assert reply.reply_tokens == 5


def test_prompt_follows_history_and_seed_varies(fake: FakeServer) -> None:
    remote = policy(fake, "&pictures=1", seed=7, temperature=0.5, check=False)
    steps = [Step(n, noise(), Reply(f"words {n}")) for n in (1, 2)]
    reply = remote.decide("go", steps, noise(), ALL)
    body = fake.requests[-1]
    assert (body["seed"], body["temperature"], body["max_tokens"]) == (9, 0.5, 512)
    assert len(reply.image_digests) == 2 == json.dumps(body).count('"image_url": {')
    assert reply.image_digests[-1] == noise().digest
    assert reply.image_digests[-1] in reply.prompt


# failures


@pytest.mark.parametrize("status", [429, 500, 503])
def test_transient_status_is_retried(fake: FakeServer, status: int) -> None:
    remote = policy(fake, check=False)
    fake.failures = [(status, {}), (status, {"Retry-After": "0"})]
    assert remote.decide(GOAL, [], render_button_page((280, 364), PLACES[0])[0], ALL).text
    assert len(fake.requests) == 3


def test_backoff_grows_with_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.5)
    pauses = [[client._backoff_s(n, None) for n in (1, 2, 3)] for _ in range(50)]
    for n, base in enumerate((0.5, 1.0, 2.0)):
        column = [row[n] for row in pauses]
        assert 0.5 * base <= min(column) < max(column) <= 1.5 * base
        assert len(set(column)) > 10


def test_permanent_failure_raises_surface_error(fake: FakeServer) -> None:
    remote = policy(fake, check=False)
    fake.failures = [(503, {})] * client.MAX_ATTEMPTS
    with pytest.raises(SurfaceError, match=r"after 4 attempts \(status 503: not now\)"):
        remote.decide("go", [], noise(), ALL)


def test_truncated_stream_is_retried(fake: FakeServer) -> None:
    remote = policy(fake, on_text=lambda text: None, check=False)
    fake.truncated_streams = 1
    assert remote.decide(GOAL, [], render_button_page((280, 364), PLACES[0])[0], ALL).text.endswith("</tool_call>")
    assert len(fake.requests) == 2


def test_unreachable_server_is_usage_error_at_start_only(fake: FakeServer) -> None:
    remote = policy(fake, check=False)
    with pytest.raises(UsageError, match="check that it is running"):
        load_remote_policy("http://127.0.0.1:9/v1?dialect=qwen25#tiny")
    remote.client.base = "http://127.0.0.1:9/v1"
    with pytest.raises(SurfaceError, match="unreachable after 4 attempts"):
        remote.decide("go", [], noise(), ALL)


def test_rejected_request_is_not_retried(fake: FakeServer) -> None:
    remote = policy(fake, check=False)
    fake.failures = [(400, {})]
    with pytest.raises(UsageError, match=r"rejects the request \(400: not now"):
        remote.decide("go", [], noise(), ALL)
    assert len(fake.requests) == 1


def test_key_is_sent_but_never_recorded(fake: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake.key = "sk-very-secret"
    with pytest.raises(UsageError, match="PIXELHAND_API_KEY"):
        policy(fake)
    monkeypatch.setenv(client.KEY, "sk-other-secret")
    with pytest.raises(UsageError) as caught:
        policy(fake)
    assert "sk-other-secret" not in str(caught.value)
    assert "***" in str(caught.value)
    monkeypatch.setenv(client.KEY, fake.key)
    remote = policy(fake)
    trace = TraceWriter(new_folder(tmp_path), {"policy": dict(remote.metadata)})
    trace.write("reply", reply=remote.decide("go", [], noise(), ALL))
    trace.close()
    system_request = b"".join(file.read_bytes() for file in trace.folder.rglob("*") if file.is_file())
    assert fake.key.encode() not in system_request
    assert b"qwen25" in system_request


def test_keyring_key_is_found_by_server(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    monkeypatch.setattr(keyring, "get_password", lambda service, user: f"{service} {user}")
    assert client.find_api_key("http://h:8000/v1") == "pixelhand h:8000"


# start-up check


def test_check_passes_for_server_that_sees(fake: FakeServer) -> None:
    messages: list[str] = []
    remote = policy(fake, on_status=messages.append)
    assert messages == [remote.metadata["checked"]]
    assert "sees images and keeps coordinates" in messages[0]
    sizes = {sent_image(body).shape for body in fake.requests}
    assert sizes == {(364, 280, 3), (728, 1288, 3)}


def test_check_rejects_blind_server(fake: FakeServer) -> None:
    fake.mode = "blind"
    with pytest.raises(UsageError, match=r"ignores images.*vision part"):
        policy(fake)
    assert policy(fake, "&check=off").metadata["checked"] == ""


def test_check_without_colors_relies_on_buttons(fake: FakeServer) -> None:
    fake.fails_on = "Which colour"
    assert "sees images and keeps coordinates" in policy(fake).check_result
    fake.mode = "blind"
    with pytest.raises(UsageError, match=r"ignores images.*nothing readable"):
        policy(fake)


def test_check_reports_failure_on_large_page(fake: FakeServer) -> None:
    fake.fails_on = "large"
    assert "keeps the coordinates of small ones; larger ones are unchecked" in policy(fake).check_result


def test_check_of_failing_server_raises_surface_error(fake: FakeServer) -> None:
    fake.failures = [(500, {})] * 99
    with pytest.raises(SurfaceError, match="unreachable"):
        policy(fake)


def test_check_rejects_server_that_shrinks_images(fake: FakeServer) -> None:
    fake.mode = "half"
    with pytest.raises(UsageError, match=r"does not keep coordinates.*about 0\.50 times"):
        policy(fake)


def test_check_accepts_weak_model_as_unconfirmed(fake: FakeServer) -> None:
    fake.mode = "weak"
    result = policy(fake).check_result
    assert "tells images apart" in result
    assert "unconfirmed" in result


def test_larger_screenshot_is_checked_before_first_use(fake: FakeServer) -> None:
    """A server may keep the coordinates of the start-up pages and scale down larger screenshots."""
    fake.mode = "capped"
    remote = policy(fake)
    remote.decide("go", [], noise(1288, 728), ALL)
    with pytest.raises(UsageError, match=r"does not keep coordinates.*0\.69 times"):
        remote.decide("go", [], noise(1932, 1092), ALL)


def test_larger_screenshot_is_checked_only_once(fake: FakeServer) -> None:
    remote = policy(fake)
    remote.decide("go", [], noise(1932, 1092), ALL)
    count = len(fake.requests)
    remote.decide("go", [], noise(1932, 1092), ALL)
    assert len(fake.requests) == count + 1


# malformed but common responses


@pytest.mark.parametrize("streams", [False, True])
def test_call_arguments_may_be_an_object(fake: FakeServer, streams: bool) -> None:
    fake.splits_calls = fake.object_arguments = True
    screen, target = render_button_page((280, 364), PLACES[0])
    remote = policy(fake, on_text=(lambda text: None) if streams else None)
    reply = remote.decide(GOAL, [], screen, ALL)
    action = remote.to_action(remote.parse(reply), screen)
    assert (action.x, action.y) == target


@pytest.mark.parametrize("streams", [False, True])
def test_content_may_be_a_list_of_parts(fake: FakeServer, streams: bool) -> None:
    fake.content_parts = True
    screen, target = render_button_page((280, 364), PLACES[0])
    remote = policy(fake, on_text=(lambda text: None) if streams else None)
    reply = remote.decide(GOAL, [], screen, ALL)
    action = remote.to_action(remote.parse(reply), screen)
    assert (action.x, action.y) == target


def test_locate_returns_click_in_screen_pixels(fake: FakeServer) -> None:
    screen, target = render_button_page((280, 364), PLACES[1])
    click = policy(fake).locate("the button", screen)
    assert (click.x, click.y) == target


def test_predict_returns_actions_of_one_screen(fake: FakeServer) -> None:
    screen, target = render_button_page((280, 364), PLACES[1])
    assert policy(fake).predict(GOAL, screen) == (Click(x=target[0], y=target[1]),)


# load_policy


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"zoom": "on"}, "--zoom"),
        ({"dtype": "int8"}, "--dtype"),
        ({"device": "cuda"}, "device"),
        ({"budget_tokens": 1000}, "--budget-tokens"),
        ({"auto_shrink_history": True}, "--auto-shrink-history"),
    ],
)
def test_load_policy_refuses_local_options_for_server(options: dict[str, object], flag: str) -> None:
    with pytest.raises(UsageError, match=f"{flag} cannot be applied to the server http://127.0.0.1:9/v1"):
        load_policy("http://127.0.0.1:9/v1#tiny", **options)


def test_load_policy_passes_options_to_server(fake: FakeServer) -> None:
    loaded = load_policy(f"{fake.base}?check=off#tiny", dialect="qwen25", max_new_tokens=7, images=2, temperature=0.5)
    assert (loaded.metadata["pictures"], loaded.metadata["max_new_tokens"]) == (2, 7)
    assert loaded.metadata["temperature"] == 0.5
    loaded.close()


def test_load_policy_refuses_zoom_without_zoomable_dialect(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal comes before any weights are read."""
    from agent.policies import zoom
    from model import chat_model

    monkeypatch.setattr(chat_model, "load_chat", lambda *_: pytest.fail("weights were read"))
    monkeypatch.setattr(zoom, "supports_zoom", lambda dialect: False)  # such as a third party's
    with pytest.raises(UsageError, match=r"--zoom on cannot be applied to embedded: .*'ui_tars'"):
        load_policy("embedded", zoom="on", dialect="ui_tars")


def test_load_policy_rejects_unknown_option() -> None:
    with pytest.raises(TypeError, match="zom"):
        load_policy("embedded", zom="on")
