"""Settings of a run, read from defaults, config files, environment variables and flags.

In order of increasing precedence: defaults, config.toml in the user's config folder, pixelhand.toml in the working
directory, environment variables (PIXELHAND_ and the setting's name; lists are separated by commas), flags. A project
file may come with foreign code, so it can restrict what the user's own settings allow but not extend it, and it
cannot set USER_ONLY_KEYS.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

from actions import ActionDeniedError, UsageError
from actions.suggest import suggest
from agent.safety.url_policy import WEB_SCHEMES, UrlGuard
from agent.telemetry import normalize_endpoint
from envs.chromium.address import hide_userinfo, person_address
from envs.network.addresses import address_kind
from envs.network.hosts import is_address, is_local_name, is_subset, normalize_pattern, parse_pattern
from envs.network.rules import url_host

PROJECT_FILE = "pixelhand.toml"
PREFIX = "PIXELHAND_"
NOT_SETTINGS = frozenset(  # environment variables that other modules read
    {"PIXELHAND_DEBUG", "PIXELHAND_CHROME", "PIXELHAND_CHROME_SANDBOX", "PIXELHAND_API_KEY", "PIXELHAND_ORG_POLICY"}
)
USER_ONLY_KEYS = frozenset(  # what runs, where traces and spans go, what it may see, and which policy is the task's
    {
        "runs",
        "prompt",
        "model",
        "grounder",
        "program",
        "share",
        "policy",
        "output_schema",
        "telemetry",
        "telemetry_content",
    }
)
MAX_FILE_BYTES = 1_000_000
MAX_PROJECT_SIDE_PX = 4096  # what a project may choose, unless the user's own settings have more
MAX_SIDE_PX = 16_384  # of a page; Chromium draws none that is larger
OLD_NAMES = {"on": "surface", "shrink": "auto_shrink_history"}  # still accepted in files and the environment


def _reject_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("Input should be a number")
    return value


def _split_commas(value: object) -> object:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


Integer = Annotated[int, BeforeValidator(_reject_bool)]
Number = Annotated[float, BeforeValidator(_reject_bool)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_split_commas)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """All settings of a run except its goal."""

    model: str = Field(
        default="", description='"embedded", a folder, a GGUF file, a Hub id or http://HOST:PORT/v1#NAME.'
    )
    grounder: str = Field(default="", description="A second model that predicts where the first one points.")
    device: str = Field(default="auto", description="auto, cpu, cuda or mps.")
    dtype: str = Field(default="auto", description="auto, float32, bfloat16, float16, fast, int8 or int4.")
    grammar: bool = Field(default=True, description="Constrain replies to the dialect's grammar.")
    zoom: Literal["off", "on", "auto"] = Field(
        default="off", description="Refine points on an enlarged crop: always (on) or where uncertain (auto)."
    )
    budget_tokens: Integer = Field(default=0, ge=0, description="Longest context; 0 for the checkpoint's own.")
    auto_shrink_history: bool = Field(default=False, description="Reduce the history when memory runs out.")
    temperature: Number = Field(default=0.0, ge=0, allow_inf_nan=False, description="0 is greedy decoding.")
    surface: str = Field(default="browser", description="browser, desktop[:virtual] or android[:SERIAL].")
    url: str = Field(default="", description="The page to start from; miniwob:TASK is a practice page.")
    window: str = Field(default="", description="Title of the only desktop window to see and act in.")
    program: str = Field(default="", description="The program to start on a virtual desktop.")
    share: Texts = Field(default=(), description="Folders that programs of a virtual desktop may read and write.")
    approve: Literal["", "each", "never"] = Field(
        default="", description="When to ask before an action; empty: as the policy says."
    )
    hold_writes: bool = Field(
        default=False, description="Hold requests that change something until you let them be sent (browser)."
    )
    policy: str = Field(
        default="", description="read-only, cautious, unattended, sandbox, or the path of a policy file."
    )
    width: Integer = Field(default=1288, ge=1, le=MAX_SIDE_PX, description="Width of the browser's page in CSS pixels.")
    height: Integer = Field(
        default=728, ge=1, le=MAX_SIDE_PX, description="Height of the browser's page in CSS pixels."
    )
    expect: tuple[str, ...] = Field(
        default=(), description='What holds after the run, such as text "Order received"; see the guide to runs.'
    )
    second_look: bool = Field(
        default=True,
        description="Where nothing is expected, ask the model at the end whether the screens show the goal reached.",
    )
    output_schema: str = Field(
        default="", description="Path of a JSON schema; the run ends with an answer that fits it."
    )
    headed: bool = Field(default=False, description="Show the browser's window.")
    read_elements: bool = Field(
        default=False,
        description="Read the elements of a phone's screen in each step, for replays by label; 1 to 10 s a step.",
    )
    max_steps: Integer = Field(default=30, ge=1, description="Steps after which a run ends unfinished.")
    max_minutes: Annotated[Number, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Minutes after which a run ends unfinished, without those of the user; unset: any."
    )
    max_tokens: Annotated[Integer, Field(ge=1)] | None = Field(
        default=None, description="Tokens of prompts and replies after which a run ends unfinished; unset: any."
    )
    seed: Annotated[Integer, Field(ge=0)] | None = Field(default=None, description="Random seed.")
    prompt: str = Field(default="", description="Path of a text that replaces the dialect's system prompt.")
    allow_schemes: Texts = Field(default=WEB_SCHEMES, description="URL schemes that the model may open.")
    allow_hosts: Texts | None = Field(
        default=None, description="Hosts that the browser may connect to; unset: all public ones."
    )
    refuse_private_names: bool = Field(
        default=False,
        description="Refuse names that lead to a private address, listed ones too; true where a project names a host.",
    )
    runs: str = Field(default="", description="Folder of the traces; empty: the user's data folder.")
    telemetry: Annotated[str, AfterValidator(normalize_endpoint)] = Field(
        default="", description="OTLP/HTTP endpoint to send OpenTelemetry spans of runs to; empty: nothing is sent."
    )
    telemetry_content: bool = Field(
        default=False, description="Send goals, typed texts, replies and messages with the spans, without secrets."
    )


@dataclass(frozen=True)
class LoadedSettings:
    """Settings together with where each one that is not a default was set."""

    settings: Settings
    origins: dict[str, str]  # name -> a file, "the environment" or "the command line"


def user_file() -> Path:
    """Return the path of the user's config file on this platform."""
    import platformdirs

    return platformdirs.user_config_path("pixelhand", appauthor=False) / "config.toml"


def load(
    flags: Mapping[str, object],
    *,
    environment: Mapping[str, str] | None = None,
    user: Path | None = None,
    project: Path | None = None,
) -> Settings:
    """Load the settings of all layers; see load_with_origins."""
    return load_with_origins(flags, environment=environment, user=user, project=project).settings


def load_with_origins(
    flags: Mapping[str, object],
    *,
    environment: Mapping[str, str] | None = None,
    user: Path | None = None,
    project: Path | None = None,
) -> LoadedSettings:
    """Load the settings of all layers, and where each was set.

    Args:
        flags: Settings from the command line; None means that the flag was not given.
        environment: The environment variables; os.environ by default.
        user: The user's config file; user_file() by default.
        project: The project's config file; PROJECT_FILE in the working directory by default.

    Raises:
        UsageError: All invalid settings of all layers, one sentence each.
    """
    environment = os.environ if environment is None else environment
    user, project = user or user_file(), project or Path(PROJECT_FILE)
    variables = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in NOT_SETTINGS
    }
    layers = {
        str(user): _with_own_policy(_read_toml(user), user.parent),
        str(project): _read_toml(project),
        "the environment": _rename_old(variables),
        "the command line": {name: value for name, value in flags.items() if value is not None},
    }
    problems = [problem for origin, values in layers.items() for problem in _problems(values, origin)]
    if not problems:
        own = [layers[str(user)], layers["the environment"], layers["the command line"]]
        problems = _widened_by_project(own, layers[str(project)], project)
    if problems:
        raise UsageError("\n".join(problems))
    origins = {name: origin for origin, values in layers.items() for name in values}
    settings = _merge(list(layers.values()))
    if _has_project_host(_merge(own), layers[str(project)], origins, str(project)):
        settings = replace(settings, refuse_private_names=True)
        origins["refuse_private_names"] = str(project)
    return LoadedSettings(settings, origins)


def as_dict(settings: Settings) -> dict[str, object]:
    """Return the settings as plain data, for manifests and display; without a user name and password in `url`."""
    data = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {**data, "url": hide_userinfo(settings.url)}


def _merge(layers: list[dict[str, object]]) -> Settings:
    """Return the settings of all layers; the last one takes precedence."""

    class Layers(BaseSettings):
        settings: Settings = Settings()

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: PydanticBaseSettingsSource, **__: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(InitSettingsSource(settings_cls, {"settings": values}) for values in reversed(layers))

    return Layers().settings


def _read_toml(path: Path) -> dict[str, object]:
    try:
        if path.exists() and (not path.is_file() or path.stat().st_size > MAX_FILE_BYTES):
            raise UsageError(f"{path} is not a regular file of at most {MAX_FILE_BYTES} bytes; remove it or rename it")
        return _rename_old(TomlConfigSettingsSource(BaseSettings, path)())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from None


def _with_own_policy(values: dict[str, object], folder: Path) -> dict[str, object]:
    """Return the user's settings with a relative path of a policy resolved in the folder of their file.

    The working directory may be a foreign project's, and a file in it must not become the user's policy.
    """
    name = values.get("policy")
    if isinstance(name, str) and name:
        from agent.safety.policy import PRESETS

        if name not in PRESETS:
            return {**values, "policy": str(folder / Path(name).expanduser())}
    return values


def _rename_old(values: Mapping[str, object]) -> dict[str, object]:
    """Return the values under the present names; a present name takes precedence over its old one."""
    return {OLD_NAMES.get(name, name): value for name, value in values.items() if OLD_NAMES.get(name) not in values}


def _problems(values: dict[str, object], origin: str) -> list[str]:
    """Return what is invalid in one layer, one sentence each."""
    try:
        _ADAPTER.validate_python(values)
    except ValidationError as error:
        return [_describe(problem, origin) for problem in error.errors(include_url=False)]
    return []


def _describe(problem: ErrorDetails, origin: str) -> str:
    name = str(problem["loc"][0])
    in_environment = origin == "the environment"
    if problem["type"] == "unexpected_keyword_argument":
        names = [field.name for field in fields(Settings)]
        written_name = PREFIX + name.upper() if in_environment else name
        hint = suggest(written_name, [PREFIX + option.upper() for option in names] if in_environment else names)
        return f"unknown setting '{written_name}' in {origin}.{hint or ' Settings: ' + ', '.join(names) + '.'}"
    message = problem["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    return f"invalid value {problem['input']!r:.60} for '{name}' in {origin}: {message}"


def _widened_by_project(own_layers: list[dict[str, object]], project: dict[str, object], path: Path) -> list[str]:
    """Return what the project's file sets or allows against the user's own settings, one sentence each.

    Args:
        own_layers: The user's file, the environment and the command line.
        project: The project's file.
        path: The path of the project's file.
    """
    problems = [
        f"'{key}' cannot be set in {path}; set it in {user_file()}, by its flag or as {PREFIX}{key.upper()}"
        for key in sorted(USER_ONLY_KEYS & project.keys())
    ]
    own, of_user = _merge(own_layers), _merge(own_layers[:1])
    with_project = _merge([own_layers[0], project])
    wider = [scheme for scheme in with_project.allow_schemes if scheme not in of_user.allow_schemes]
    if of_user.allow_hosts is not None and with_project.allow_hosts is not None:
        allowed = [normalize_pattern(host) for host in of_user.allow_hosts]
        wider += [host for host in with_project.allow_hosts if not is_subset(normalize_pattern(host), allowed)]
    elif of_user.allow_hosts is None:
        wider += [host for host in with_project.allow_hosts or () if _names_private_address(host)]
    if with_project.refuse_private_names < of_user.refuse_private_names:
        wider.append("names that lead to a private address (refuse_private_names)")
    if of_user.approve != "never" and with_project.approve not in ("each", of_user.approve):
        wider.append("actions without approval (approve)")
    if of_user.hold_writes and not with_project.hold_writes:
        wider.append("requests that change something (hold_writes)")
    used = project.keys() - own_layers[1].keys() - own_layers[2].keys()  # the others are overridden
    if "max_steps" in used and with_project.max_steps > own.max_steps:
        wider.append(f"{with_project.max_steps} steps instead of {own.max_steps} (max_steps)")
    for key in ("max_minutes", "max_tokens"):
        limit, own_limit = getattr(with_project, key), getattr(own, key)
        if key in used and own_limit is not None and (limit is None or limit > own_limit):
            wider.append(f"{limit} {key.removeprefix('max_')} instead of {own_limit} ({key})")
    if "surface" in used and with_project.surface not in (own.surface, "browser"):
        wider.append(f"the surface {with_project.surface} (surface)")
    wider += [
        f"a page of {getattr(with_project, key)} pixels ({key})"
        for key in ("width", "height")
        if key in used and getattr(with_project, key) > max(getattr(own, key), MAX_PROJECT_SIDE_PX)
    ]
    if "headed" in used and with_project.headed and not own.headed:
        wider.append("a browser window on your screen (headed)")
    if "url" in used and with_project.url != own.url:
        wider += _wider_url(with_project.url, own)
    if wider:
        problems.append(
            f"{path} allows {', '.join(wider)}, which your own settings do not; a project can only restrict them: "
            f"allow it in {user_file()} or by a flag"
        )
    return problems


def _names_private_address(pattern: str) -> bool:
    """Return whether a pattern names this machine or an address that is not public."""
    host = parse_pattern(pattern).host.removeprefix("*.")
    return is_local_name(host) or (is_address(host) and address_kind(host) != "public")


def _has_project_host(own: Settings, project: dict[str, object], origins: dict[str, str], path: str) -> bool:
    """Return whether the project's file names a host that the user's own settings do not name exactly.

    Such a name may lead to an address of a private network, which its owner can change at any time.
    """
    if origins.get("allow_hosts") == path and own.allow_hosts is None:
        return True
    if origins.get("url") != path or own.url == project["url"]:
        return False
    host = url_host(person_address(str(project["url"])))
    return bool(host) and not any(parse_pattern(pattern).host == host for pattern in own.allow_hosts or ())


def _wider_url(url: str, own: Settings) -> list[str]:
    """Return why a project may not choose a start page; [] if it may."""
    if own.surface != "browser":
        return [f"another page on {own.surface} (url)"]
    from envs.miniwob.pages import is_miniwob_address

    if is_miniwob_address(url):
        is_silent = own.approve == "never" or own.policy == "sandbox"
        return [] if is_silent else [f"the practice page {url[:80]!r}, on which nothing is asked (url)"]
    try:
        UrlGuard(own.allow_schemes, own.allow_hosts).check_url(url)
    except ActionDeniedError as error:
        return [f"the start page {hide_userinfo(url)[:80]!r} (url: {error})"]
    return []


_ADAPTER = TypeAdapter(Settings)


def format_settings(loaded: LoadedSettings) -> str:
    """Return one line per setting, as in a config file, with its origin."""
    values = as_dict(loaded.settings)
    lines = [
        f"# {name} is not set" if value is None else f"{name} = {json.dumps(value)}" for name, value in values.items()
    ]
    width = min(40, max(map(len, lines)))
    return "\n".join(
        f"{line:{width}}  # {loaded.origins.get(name, 'default')}" for name, line in zip(values, lines, strict=True)
    )


def to_json(loaded: LoadedSettings) -> str:
    """Return all settings and their origins as one JSON object."""
    values = as_dict(loaded.settings)
    origins = loaded.origins
    return json.dumps({name: {"value": value, "from": origins.get(name, "default")} for name, value in values.items()})
