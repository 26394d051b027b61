"""Tests of agent/config.py: precedence of the layers, validation, and the restrictions of project files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from actions import UsageError
from agent import config
from agent.config import NOT_SETTINGS, PREFIX, Settings
from agent.session import surface_options

ROOT = Path(__file__).parent.parent.parent


def load_layers(
    tmp_path: Path, user: str = "", project: str = "", environment: dict[str, str] | None = None, **flags: object
) -> Settings:
    (tmp_path / "config.toml").write_text(user, encoding="utf-8")
    (tmp_path / "pixelhand.toml").write_text(project, encoding="utf-8")
    return config.load(
        flags, environment=environment or {}, user=tmp_path / "config.toml", project=tmp_path / "pixelhand.toml"
    )


def test_load_without_layers_returns_defaults(tmp_path: Path) -> None:
    assert config.load({}, environment={}, user=tmp_path / "no", project=tmp_path / "none") == Settings()


def test_later_layers_take_precedence(tmp_path: Path) -> None:
    user, project = "max_steps = 1\nmodel = 'a'\nseed = 5\ndevice = 'cpu'", "max_steps = 2\nseed = 6"
    environment = {"PIXELHAND_MAX_STEPS": "3", "PIXELHAND_MODEL": "c"}
    settings = load_layers(tmp_path, user, project, environment, max_steps=4, url=None)
    assert (settings.max_steps, settings.model, settings.seed, settings.device) == (4, "c", 6, "cpu")


def test_toml_and_environment_values_are_converted(tmp_path: Path) -> None:
    toml = "headed = true\ntemperature = 1\nseed = 0\nallow_hosts = ['a.org']\nwidth = 800"
    values = {"HEADED": "yes", "TEMPERATURE": "1", "SEED": "0", "ALLOW_HOSTS": "a.org", "WIDTH": "800"}
    expected = Settings(headed=True, temperature=1.0, seed=0, allow_hosts=("a.org",), width=800)
    assert load_layers(tmp_path, toml) == expected
    assert load_layers(tmp_path, environment={PREFIX + name: value for name, value in values.items()}) == expected
    assert load_layers(tmp_path, environment={"PIXELHAND_ALLOW_HOSTS": ""}).allow_hosts == ()


@pytest.mark.parametrize("name", ["on", "surface"])
def test_old_and_new_setting_names_are_accepted(tmp_path: Path, name: str) -> None:
    assert load_layers(tmp_path, f"{name} = 'desktop'").surface == "desktop"
    assert load_layers(tmp_path, environment={PREFIX + name.upper(): "desktop"}).surface == "desktop"
    assert load_layers(tmp_path, "shrink = true").auto_shrink_history


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({"user": "max_stesp = 3"}, r"unknown setting 'max_stesp' in .*config\.toml\. Did you mean 'max_steps'\?"),
        ({"project": "zzz = 3"}, r"unknown setting 'zzz' in .*pixelhand\.toml\. Settings: model, "),
        (
            {"environment": {"PIXELHAND_MODLE": "x"}},
            r"'PIXELHAND_MODLE' in the environment\. Did you mean 'PIXELHAND_MODEL'",
        ),
        ({"user": "max_steps = '3x'"}, r"'3x' for 'max_steps' in .*config\.toml: .*integer"),
        ({"user": "max_steps = true"}, "True for 'max_steps' .*number"),
        ({"user": "seed = true"}, "True for 'seed' .*number"),
        ({"user": "headed = 'perhaps'"}, "'perhaps' for 'headed' .*boolean"),
        ({"user": "allow_hosts = [3]"}, "3 for 'allow_hosts' .*string"),
        ({"user": "approve = 'sometimes'"}, "'sometimes' for 'approve' .*'each' or 'never'"),
        ({"user": "model = 3"}, "3 for 'model' .*string"),
        ({"user": "seed = -1"}, "-1 for 'seed' .*greater than or equal to 0"),
        ({"user": "width = 0"}, "0 for 'width' .*greater than or equal to 1"),
        ({"environment": {"PIXELHAND_MAX_STEPS": "0"}}, "'0' for 'max_steps' in the environment"),
        ({"environment": {"PIXELHAND_TEMPERATURE": "nan"}}, "'nan' for 'temperature' in the environment"),
        ({"environment": {"PIXELHAND_TEMPERATURE": "inf"}}, "'inf' for 'temperature' in the environment"),
        ({"user": "model ="}, r"config\.toml is not valid TOML"),
    ],
)
def test_invalid_setting_error_names_origin(tmp_path: Path, layers: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_layers(tmp_path, **layers)  # type: ignore[arg-type]


def test_all_invalid_settings_are_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_layers(tmp_path, "max_stesp = 3\nwidth = 0", "seed = 'x'", {"PIXELHAND_HEADED": "maybe"}, max_steps=0)
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    for name in ("max_stesp", "'width'", "'seed'", "'headed'", "'max_steps' in the command line"):
        assert sum(name in line for line in lines) >= 1


@pytest.mark.parametrize(
    "project", ["allow_hosts = ['evil.test']", "allow_hosts = ['example.org']", "allow_schemes = ['https', 'file']"]
)
def test_project_cannot_extend_allowed_addresses(tmp_path: Path, project: str) -> None:
    with pytest.raises(UsageError, match="a project can only restrict"):
        load_layers(tmp_path, "allow_hosts = ['*.example.org', 'a.org']", project)


def test_project_can_restrict_allowed_addresses(tmp_path: Path) -> None:
    user = "allow_hosts = ['*.example.org', 'a.org']"
    assert load_layers(tmp_path, user, "allow_hosts = ['b.example.org']").allow_hosts == ("b.example.org",)
    project = "allow_hosts = ['b.org']\nallow_schemes = ['https']"
    assert load_layers(tmp_path, "", project).allow_schemes == ("https",)


def test_project_can_require_approval(tmp_path: Path) -> None:
    assert load_layers(tmp_path, "approve = 'never'", "approve = 'each'").approve == "each"
    assert load_layers(tmp_path, "approve = 'never'", "approve = 'never'").approve == "never"


@pytest.mark.parametrize(
    ("user", "project"),
    [("", "approve = 'never'"), ("approve = 'each'", "approve = 'never'"), ("approve = 'each'", "approve = ''")],
)
def test_project_cannot_drop_approval(tmp_path: Path, user: str, project: str) -> None:
    with pytest.raises(UsageError, match=r"\(approve\), which your own settings do not"):
        load_layers(tmp_path, user, project)


@pytest.mark.parametrize("name", sorted(config.USER_ONLY_KEYS))
def test_project_cannot_set_user_only_key(tmp_path: Path, name: str) -> None:
    value = {"telemetry": "'http://a.org'", "telemetry_content": "true"}.get(name, "'x'")
    with pytest.raises(UsageError, match=f"'{name}' cannot be set in"):
        load_layers(tmp_path, "", f"{name} = {value}")


@pytest.mark.parametrize(
    "project",
    [
        "max_steps = 1000000000",
        "on = 'desktop:virtual'",
        "surface = 'desktop'",
        "surface = 'android:emulator-5554'",
        "url = 'http://evil.test/'",
        "url = 'http://a.org.evil.test/'",
        "url = 'file:///etc/passwd'",
        "url = 'javascript:alert(1)'",
        "headed = true",
        "width = 16000",
        "height = 16000",
    ],
)
def test_project_cannot_widen_the_run(project: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a project can only restrict"):
        load_layers(tmp_path, "", project, allow_hosts=("a.org",))


def test_project_cannot_move_own_screens_to_practice(tmp_path: Path) -> None:
    """On a practice page nothing is asked."""
    with pytest.raises(UsageError, match="a project can only restrict"):
        load_layers(tmp_path, "", "url = 'practice:click-test'", surface="desktop")


def test_project_page_cannot_silence_questions(tmp_path: Path) -> None:
    """The default policy of practice pages asks nothing, and the model can leave them."""
    with pytest.raises(UsageError, match="nothing is asked"):
        load_layers(tmp_path, "", "url = 'practice:click-test'")
    assert load_layers(tmp_path, "policy = 'sandbox'", "url = 'practice:click-test'").url == "practice:click-test"


@pytest.mark.parametrize("scheme", ["", "http://", "HTTPS://", "//"])
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8642",
        "localhost:8642",
        "x.localhost",
        "169.254.169.254",
        "[::1]:631",
        "192.168.1.1",
        "2130706433",
        "0x7f.1",
        "127.1",
        "0.0.0.0",
        "[::ffff:10.0.0.1]",
        "127.0.0.1.",
        "a.org@127.0.0.1",
        "[fd00:ec2::254]",
    ],
)
def test_project_page_of_private_address_is_refused(tmp_path: Path, scheme: str, host: str) -> None:
    with pytest.raises(UsageError, match="a project can only restrict"):
        load_layers(tmp_path, "", f"url = '{scheme}{host}'")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8642",
        "localhost:*",
        "*.localhost",
        "x.localhost:9",
        "169.254.169.254",
        "[::1]:631",
        "10.0.0.1",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "192.168.1.1:*",
        "0.0.0.0",
        "[fd00:ec2::254]",
    ],
)
def test_project_list_cannot_open_private_addresses(tmp_path: Path, host: str) -> None:
    """Without a list, private addresses are refused; the project's list must not name them."""
    with pytest.raises(UsageError, match="a project can only restrict"):
        load_layers(tmp_path, "", f"allow_hosts = ['b.org', '{host}']")
    assert load_layers(tmp_path, f"allow_hosts = ['{host}']", f"allow_hosts = ['{host}']").allow_hosts == (host,)


@pytest.mark.parametrize(
    ("own", "project", "host", "is_refused"),
    [
        ({}, "url = 'http://router/'", "router", True),
        ({}, "allow_hosts = ['printer.test']", "printer.test", True),
        ({"allow_hosts": ("*.a.org",)}, "url = 'http://x.a.org/'", "x.a.org", True),
        ({"allow_hosts": ("x.a.org",)}, "url = 'http://x.a.org/'", "x.a.org", False),
        ({"allow_hosts": ("x.a.org",)}, "allow_hosts = ['b.org']", "x.a.org", False),
        ({"url": "http://x.a.org/"}, "url = 'http://router/'", "x.a.org", False),
    ],
)
def test_names_of_project_lead_nowhere_private(
    tmp_path: Path, own: dict[str, Any], project: str, host: str, is_refused: bool
) -> None:
    settings = load_layers(tmp_path, "", project, **own)
    network = surface_options(settings).network.with_address(settings.url)
    assert bool(network.address_refusal(host, 80, "10.0.0.1")) is is_refused


def test_project_cannot_admit_private_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a project can only restrict"):
        load_layers(tmp_path, "refuse_private_names = true", "refuse_private_names = false")


def test_policy_of_user_is_not_searched_in_project(tmp_path: Path) -> None:
    assert load_layers(tmp_path, "policy = 'mine.toml'").policy == str(tmp_path / "mine.toml")
    assert load_layers(tmp_path, "policy = 'unattended'").policy == "unattended"
    assert load_layers(tmp_path, policy="task.toml").policy == "task.toml"


def test_endless_or_nested_file_is_rejected(tmp_path: Path) -> None:
    project = tmp_path / "pixelhand.toml"
    project.symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="not a regular file"):
        config.load({}, environment={}, user=tmp_path / "none", project=project)
    project.unlink()
    project.write_text("seed = " + "[" * 100_000)
    with pytest.raises(UsageError, match="not valid TOML"):
        config.load({}, environment={}, user=tmp_path / "none", project=project)


def test_project_may_choose_within_own_settings(tmp_path: Path) -> None:
    project = "url = 'http://a.org/start'\nmax_steps = 5\nsurface = 'browser'"
    settings = load_layers(tmp_path, "", project, allow_hosts=("a.org",))
    assert (settings.url, settings.max_steps) == ("http://a.org/start", 5)
    overridden = load_layers(tmp_path, "", "url = 'http://b.org'", url="http://a.org", allow_hosts=("a.org",))
    assert overridden.url == "http://a.org"


def test_environment_variables_of_other_modules_are_ignored(tmp_path: Path) -> None:
    assert load_layers(tmp_path, environment=dict.fromkeys(NOT_SETTINGS, "1")) == Settings()


def test_every_environment_variable_in_code_is_known() -> None:
    """An unknown variable with the prefix would make every command fail."""
    names = set()
    for package in ("actions", "model", "envs", "agent", "evals"):
        for path in (ROOT / package).rglob("*.py"):
            names |= set(re.findall(r"[\"'](PIXELHAND_[A-Z_]+)[\"']", path.read_text(encoding="utf-8")))
    settings = {PREFIX + name.upper() for name in config.as_dict(Settings())}
    assert names - settings == NOT_SETTINGS


def test_config_show_names_origin_of_each_setting(tmp_path: Path) -> None:
    user = tmp_path / "config.toml"
    user.write_text("max_steps = 5")
    loaded = config.load_with_origins({}, environment={"PIXELHAND_ON": "desktop"}, user=user, project=tmp_path / "no")
    lines = config.format_settings(loaded).splitlines()
    assert [line.split() for line in lines if line.startswith(("max_steps", "surface", "seed", "width"))] == [
        ["surface", "=", '"desktop"', "#", "the", "environment"],
        ["width", "=", "1288", "#", "default"],
        ["max_steps", "=", "5", "#", str(user)],
    ]
    assert json.loads(config.to_json(loaded))["max_steps"] == {"value": 5, "from": str(user)}
