"""Settings of a run: defaults < user file < project file < environment < flags. Knows no machine and no model.

Files are TOML with the names of Settings as keys: config.toml in the user's config folder, and pixelhand.toml in the
folder where the command is given. An environment variable is PIXELHAND_ and the name (lists: separated by commas). A
project file comes with somebody's code, so it may narrow what the user's file allows but never widen it, and it does
not decide where traces go or what the model is told.
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from actions import UsageError
from agent.safety.url_policy import WEB_SCHEMES, is_subset, normalize_pattern

PROJECT_FILE = "pixelhand.toml"
PREFIX = "PIXELHAND_"
NOT_SETTINGS = frozenset(  # read by other files
    {"PIXELHAND_DEBUG", "PIXELHAND_CHROME", "PIXELHAND_CHROME_SANDBOX", "PIXELHAND_API_KEY"}
)
USER_ONLY_KEYS = frozenset(  # a cloned folder must not choose who speaks
    {"runs", "prompt", "model", "grounder", "program"}
)
CHOICES = {"approve": ("each", "never"), "zoom": ("off", "on", "auto")}
MINIMUMS = {"width": 1, "height": 1, "max_steps": 1, "seed": 0, "temperature": 0, "budget_tokens": 0}


@dataclass(frozen=True)
class Settings:
    """What a run needs to know beside its goal. "" and None mean: not chosen."""

    model: str = ""  # embedded, a folder, or a Hub id
    grounder: str = ""  # a second model, which finds what the first one points at
    device: str = "auto"  # auto, cpu, cuda, mps
    dtype: str = (
        "auto"  # auto (bfloat16 on CUDA, else float32), float32, bfloat16, float16, fast (measured), int8, int4
    )
    grammar: bool = True  # hold calls to their form, where the dialect has one
    zoom: str = "off"  # look again, closer, before pointing: on, or auto (where the model is unsure)
    budget_tokens: int = 0  # the longest context, and with it the memory it takes; 0: the checkpoint's own
    shrink: bool = False  # where memory runs out, go on with fewer pictures of the past
    temperature: float = 0.0  # 0 takes the likeliest word
    on: str = "browser"  # a surface, or NAME:WHERE
    url: str = ""
    window: str = ""  # of a desktop: only the window with this title is seen and acted in
    program: str = ""  # of a virtual desktop: what is started there
    approve: str = ""  # each, never; "": each on somebody's own screen, never elsewhere
    width: int = 1288  # of the browser's page, in CSS px
    height: int = 728
    headed: bool = False  # show the browser's window
    max_steps: int = 30
    seed: int | None = None
    prompt: str = ""  # a file whose text takes the place of the dialect's own
    allow_schemes: tuple[str, ...] = WEB_SCHEMES  # of addresses that the model opens
    allow_hosts: tuple[str, ...] | None = None  # None: every host; an empty list: none
    runs: str = ""  # folder of traces; "": the user's data folder


def user_file() -> Path:
    """Where this platform keeps the user's settings of pixelhand."""
    import platformdirs

    return platformdirs.user_config_path("pixelhand", appauthor=False) / "config.toml"


def load(
    flags: Mapping[str, Any],
    *,
    environment: Mapping[str, str] | None = None,
    user: Path | None = None,
    project: Path | None = None,
) -> Settings:
    """Settings from all five layers. A flag of None was not given. UsageError names the file and the nearest key."""
    environment = os.environ if environment is None else environment
    user, project = user or user_file(), project or Path(PROJECT_FILE)
    settings = _layer(Settings(), _toml(user), str(user))
    from_project = _toml(project)
    mine = settings
    settings = _layer(settings, from_project, str(project))
    _check_project_restrictions(mine, settings, from_project, project)
    named = {key: value for key, value in environment.items() if key.startswith(PREFIX) and key not in NOT_SETTINGS}
    plain = {key.removeprefix(PREFIX).lower(): value for key, value in named.items()}
    settings = _layer(settings, plain, "the environment", prefix=PREFIX)
    return _layer(settings, {key: value for key, value in flags.items() if value is not None}, "the command line")


def _toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}") from None


def _layer(settings: Settings, values: Mapping[str, Any], where: str, prefix: str = "") -> Settings:
    """The settings with values put over them; strings are turned into what the field holds."""
    hints = get_type_hints(Settings)
    changes = {}
    for key, value in values.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            shown = [prefix + (name.upper() if prefix else name) for name in (key, *near)]
            hint = f"did you mean '{shown[1]}'?" if near else f"there are {', '.join(hints)}"
            raise UsageError(f"unknown setting '{shown[0]}' in {where}; {hint}")
        changes[key] = _value(key, value, hints[key], where)
    return replace(settings, **changes)


def _value(key: str, value: Any, kind: Any, where: str) -> Any:
    """One value as its field's type, written as TOML, as text (environment) or already right (flags)."""
    options = [option for option in get_args(kind) if option is not type(None)] if type(None) in get_args(kind) else []
    kind = options[0] if options else kind
    try:
        if get_origin(kind) is tuple:
            items = [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value
            if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
                raise ValueError
            return tuple(items)
        if kind is bool and isinstance(value, str):
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[value.lower()]
        if kind in (int, float) and (isinstance(value, str) or (kind is float and type(value) is int)):
            value = kind(value)
        if type(value) is not kind:
            raise ValueError
        if key in CHOICES and value not in CHOICES[key]:
            raise UsageError(f"'{key}' in {where} must be {' or '.join(CHOICES[key])}, not {value!r}")
        if key in MINIMUMS and not MINIMUMS[key] <= value < math.inf:
            raise UsageError(f"'{key}' in {where} must be {MINIMUMS[key]} or more, not {value!r}")
        return value
    except (ValueError, KeyError, OverflowError):
        name = "a list of texts" if get_origin(kind) is tuple else kind.__name__
        raise UsageError(f"'{key}' in {where} must be {name}, not {value!r}") from None


def _check_project_restrictions(user: Settings, both: Settings, project: Mapping[str, Any], path: Path) -> None:
    """UsageError when the project's file allows what the user's own settings do not."""
    for key in sorted(USER_ONLY_KEYS & project.keys()):
        raise UsageError(f"'{key}' may not stand in {path}; put it into {user_file()} or give the flag")
    wider = [scheme for scheme in both.allow_schemes if scheme not in user.allow_schemes]
    if user.allow_hosts is not None and both.allow_hosts is not None:
        allowed = [normalize_pattern(host) for host in user.allow_hosts]
        wider += [host for host in both.allow_hosts if not is_subset(normalize_pattern(host), allowed)]
    if both.approve == "never" != user.approve:
        wider.append("acting unasked (approve)")
    if wider:
        raise UsageError(
            f"{path} allows {', '.join(wider)}, which your own settings do not; a project may only narrow them: "
            f"allow it in {user_file()} or by a flag"
        )


def as_dict(settings: Settings) -> dict[str, Any]:
    """The settings as plain data, for a manifest."""
    return {field.name: getattr(settings, field.name) for field in fields(settings)}
