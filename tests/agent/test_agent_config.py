"""Settings: which layer wins, and that a misspelt key is never silently dropped."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actions import UsageError
from agent.config import NOT_SETTINGS, PREFIX, Settings, load

ROOT = Path(__file__).parent.parent.parent


def layers(
    tmp_path: Path, user: str = "", project: str = "", environment: dict[str, str] | None = None, **flags: object
) -> Settings:
    (tmp_path / "config.toml").write_text(user, encoding="utf-8")
    (tmp_path / "pixelhand.toml").write_text(project, encoding="utf-8")
    return load(
        flags, environment=environment or {}, user=tmp_path / "config.toml", project=tmp_path / "pixelhand.toml"
    )


def test_nothing_given_is_the_defaults(tmp_path: Path) -> None:
    assert load({}, environment={}, user=tmp_path / "no", project=tmp_path / "none") == Settings()


def test_later_layers_win(tmp_path: Path) -> None:
    user, project = "max_steps = 1\nmodel = 'a'\nseed = 5\ndevice = 'cpu'", "max_steps = 2\nseed = 6"
    settings = layers(
        tmp_path, user, project, {"PIXELHAND_MAX_STEPS": "3", "PIXELHAND_MODEL": "c"}, max_steps=4, url=None
    )
    assert (settings.max_steps, settings.model, settings.seed, settings.device) == (4, "c", 6, "cpu")


def test_every_kind_of_value_in_toml_and_in_the_environment(tmp_path: Path) -> None:
    toml = "headed = true\ntemperature = 1\nseed = 0\nallow_hosts = ['a.org']\nwidth = 800"
    names = {"HEADED": "yes", "TEMPERATURE": "1", "SEED": "0", "ALLOW_HOSTS": "a.org", "WIDTH": "800"}
    expected = Settings(headed=True, temperature=1.0, seed=0, allow_hosts=("a.org",), width=800)
    assert layers(tmp_path, toml) == expected
    assert layers(tmp_path, environment={PREFIX + name: value for name, value in names.items()}) == expected
    assert layers(tmp_path, environment={"PIXELHAND_ALLOW_HOSTS": ""}).allow_hosts == ()


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"user": "max_stesp = 3"}, r"unknown setting 'max_stesp' in .*config\.toml; did you mean 'max_steps'\?"),
        ({"project": "zzz = 3"}, r"unknown setting 'zzz' in .*pixelhand\.toml; there are model, "),
        (
            {"environment": {"PIXELHAND_MODLE": "x"}},
            "'PIXELHAND_MODLE' in the environment; did you mean 'PIXELHAND_MODEL'",
        ),
        ({"user": "max_steps = '3x'"}, r"'max_steps' in .* must be int, not '3x'"),
        ({"user": "max_steps = true"}, "must be int, not True"),
        ({"user": "headed = 'perhaps'"}, "must be bool, not 'perhaps'"),
        ({"user": "allow_hosts = [3]"}, "must be a list of texts"),
        ({"user": "approve = 'sometimes'"}, r"'approve' in .* must be each or never, not 'sometimes'"),
        ({"user": "model = 3"}, "must be str, not 3"),
        ({"user": "seed = -1"}, "'seed' in .* must be 0 or more, not -1"),
        ({"user": "width = 0"}, "'width' in .* must be 1 or more, not 0"),
        ({"environment": {"PIXELHAND_MAX_STEPS": "0"}}, "must be 1 or more, not 0"),
        ({"environment": {"PIXELHAND_TEMPERATURE": "nan"}}, "must be 0 or more, not nan"),
        ({"environment": {"PIXELHAND_TEMPERATURE": "inf"}}, "must be 0 or more, not inf"),
        ({"user": "model ="}, "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, how: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        layers(tmp_path, **how)  # type: ignore[arg-type]


def test_a_project_may_narrow_what_the_user_allows_and_not_widen_it(tmp_path: Path) -> None:
    user = "allow_hosts = ['*.example.org', 'a.org']"
    assert layers(tmp_path, user, "allow_hosts = ['b.example.org']").allow_hosts == ("b.example.org",)
    assert layers(tmp_path, "", "allow_hosts = ['b.org']\nallow_schemes = ['https']").allow_schemes == ("https",)
    for project in (
        "allow_hosts = ['evil.test']",
        "allow_hosts = ['example.org']",
        "allow_schemes = ['https', 'file']",
    ):
        with pytest.raises(UsageError, match="a project may only narrow"):
            layers(tmp_path, user, project)
    assert layers(tmp_path, "approve = 'never'", "approve = 'each'").approve == "each"
    assert layers(tmp_path, "approve = 'never'", "approve = 'never'").approve == "never"
    for user in ("", "approve = 'each'"):
        with pytest.raises(UsageError, match=r"allows acting unasked \(approve\), which your own settings do not"):
            layers(tmp_path, user, "approve = 'never'")
    for project in ("runs = '/tmp'", "prompt = 'words'", "program = 'sh'"):
        with pytest.raises(UsageError, match="may not stand in"):
            layers(tmp_path, "", project)


def test_switches_that_are_no_settings_are_let_be(tmp_path: Path) -> None:
    assert layers(tmp_path, environment=dict.fromkeys(NOT_SETTINGS, "1")) == Settings()


def test_every_variable_that_the_code_reads_is_known_here() -> None:
    """A variable of another floor that config does not know would make `agent` refuse to start."""
    named = set()
    for package in ("actions", "model", "envs", "agent", "evals"):
        for path in (ROOT / package).rglob("*.py"):
            named |= set(re.findall(r"[\"'](PIXELHAND_[A-Z_]+)[\"']", path.read_text(encoding="utf-8")))
    settings = {PREFIX + name.upper() for name in Settings.__dataclass_fields__}
    assert named - settings == NOT_SETTINGS
