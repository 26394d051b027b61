"""load_policy: create the policy that a model's name and its options describe."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from actions import UsageError, usage_problems
from agent.history_window import HistoryWindow
from agent.policies.base import ConfiguredDialect, OnStatus, OnText, Policy, load_dialect, read_prompt
from agent.policies.local import LocalPolicy
from agent.policies.remote.endpoint import is_endpoint, parse_endpoint

ZOOM_MODES = ("off", "on", "auto")
DEVICES = r"auto|cpu|mps|cuda(:\d+)?"


@dataclass(frozen=True)
class PolicyOptions:
    """The options of a policy. The defaults are those of `agent run`."""

    dialect: str = ""  # "": that of the checkpoint's files or the server
    prompt: str = ""  # path of a text file that replaces the dialect's prompt
    device: str = "auto"
    dtype: str = "auto"
    max_new_tokens: int | None = None  # None: the checkpoint's
    temperature: float = 0.0
    seed: int | None = None
    grammar: bool = True  # constrain replies to the dialect's grammar
    zoom: str = "off"  # one of ZOOM_MODES
    budget_tokens: int = 0  # longest context; 0: the checkpoint's
    auto_shrink_history: bool = False  # reduce the history when memory runs out
    history_steps: int | None = None  # earlier steps in the prompt; None: the checkpoint's
    images: int | None = None  # of these with their screenshot; None: the checkpoint's
    timeout_s: int | None = None  # of a request to a server; None: 300


LOCAL_ONLY = {  # options that configure a model in this process -> how to name them to the user
    "device": "device",
    "dtype": "--dtype",
    "budget_tokens": "--budget-tokens",
    "auto_shrink_history": "--auto-shrink-history",
    "zoom": "--zoom",
}
ENDPOINT_OPTIONS = {  # option -> its name in a server's address
    "dialect": "dialect",
    "max_new_tokens": "max_new_tokens",
    "history_steps": "history_steps",
    "images": "pictures",
    "timeout_s": "timeout_s",
}


def load_policy(
    model: str,
    options: PolicyOptions = PolicyOptions(),
    *,
    grounder: str = "",
    on_text: OnText | None = None,
    on_status: OnStatus | None = None,
    **overrides: object,
) -> Policy:
    """Create a policy.

    Args:
        model: "embedded", a checkpoint's folder, a downloaded Hub id, or a server's `http://HOST:PORT/v1#NAME`.
        options: The options of the policy.
        grounder: A second model, in the same notation, that predicts the points of the first one's actions. The
            prompt and the temperature apply to `model` alone, `zoom` to the grounder alone.
        on_text: Called with the reply's text so far while it is generated.
        on_status: Called with one sentence at a time while models are loaded and servers are checked.
        **overrides: Fields of PolicyOptions that replace those of `options`.

    Raises:
        UsageError: The model is not available, or an option cannot be applied to it.
    """
    if unknown := sorted(overrides.keys() - {field.name for field in fields(PolicyOptions)}):
        raise TypeError(f"load_policy() got an unexpected option '{unknown[0]}'")
    options = replace(options, **cast(dict[str, Any], overrides))
    if problems := _option_problems(model, options, grounder):
        raise UsageError("\n".join(problems))
    if not grounder:
        return _load_single(model, options, on_text, on_status)
    return _load_planner_grounder(model, grounder, options, on_text, on_status)


def policy_problems(model: str, options: PolicyOptions, grounder: str = "") -> list[str]:
    """Return every reason for which `load_policy` would refuse these options that is known before weights are read.

    Args:
        model: As of `load_policy`.
        options: As of `load_policy`.
        grounder: As of `load_policy`.
    """
    problems = _option_problems(model, options, grounder)
    problems += _model_problems(model, options, is_pointing=not grounder)
    if grounder:
        problems += _model_problems(grounder, replace(options, dialect="", prompt=""), is_pointing=True)
    return list(dict.fromkeys(problems))


def _model_problems(model: str, options: PolicyOptions, *, is_pointing: bool) -> list[str]:
    if is_endpoint(model):
        return usage_problems(lambda: parse_endpoint(model), lambda: read_prompt(options.prompt))
    if not is_pointing or options.zoom not in ZOOM_MODES:
        options = replace(options, zoom="off")
    return usage_problems(lambda: resolve_local_dialect(model, options))


def _option_problems(model: str, options: PolicyOptions, grounder: str) -> list[str]:
    """Return which options are invalid or cannot be applied to these models, one sentence each."""
    from model.checkpoints.settings import DTYPES

    problems: list[str] = []
    if options.zoom not in ZOOM_MODES:
        problems.append(f"zoom must be one of {', '.join(ZOOM_MODES)}, not {options.zoom!r}")
    is_local = not is_endpoint(model) or bool(grounder and not is_endpoint(grounder))
    if options.dtype not in DTYPES:
        problems.append(f"dtype must be one of {', '.join(DTYPES)}, not {options.dtype!r}")
    if is_local and (problem := _device_problem(options.device)):
        problems.append(problem)
    defaults = PolicyOptions()
    changed = [name for name in LOCAL_ONLY if getattr(options, name) != getattr(defaults, name)]
    if is_local:  # zoom applies to the model that points
        changed = [name for name in changed if name == "zoom" and is_endpoint(grounder or model)]
    if changed:
        names = ", ".join(LOCAL_ONLY[name] for name in changed)
        server = grounder if grounder and is_endpoint(grounder) else model
        problems.append(
            f"{names} cannot be applied to the server {server.partition('#')[0]}: "
            "only models in this process have these options; remove them, or use a local model"
        )
    return problems


def _load_single(model: str, options: PolicyOptions, on_text: OnText | None, on_status: OnStatus | None) -> Policy:
    if not is_endpoint(model):
        return load_local_policy(model, options, on_text=on_text)
    from agent.policies.remote.factory import load_remote_policy

    values = {key: getattr(options, name) for name, key in ENDPOINT_OPTIONS.items()}
    return load_remote_policy(
        model,
        options={key: value for key, value in values.items() if value not in (None, "")},
        prompt=options.prompt,
        temperature=options.temperature,
        seed=options.seed,
        grammar=options.grammar,
        on_text=on_text,
        on_status=on_status,
    )


def _load_planner_grounder(
    model: str, grounder: str, options: PolicyOptions, on_text: OnText | None, on_status: OnStatus | None
) -> Policy:
    from agent.policies.planner_grounder import PlannerGrounderPolicy

    planner_options = replace(options, zoom="off")
    grounder_options = replace(options, dialect="", prompt="", temperature=0.0)
    if is_endpoint(grounder):
        grounder_options = replace(grounder_options, zoom="off")
    with ExitStack() as stack:
        planner_policy = _load_single(model, planner_options, on_text, on_status)
        stack.callback(planner_policy.close)
        if on_status is not None:
            on_status(f"loading {grounder} …")
        grounder_policy = _load_single(grounder, grounder_options, None, on_status)
        stack.callback(grounder_policy.close)
        policy = PlannerGrounderPolicy(planner_policy, grounder_policy)
        stack.pop_all()
        return policy


def load_local_policy(
    model: str,
    options: PolicyOptions = PolicyOptions(),
    *,
    on_text: OnText | None = None,
    **overrides: object,
) -> LocalPolicy:
    """Create the policy of a checkpoint on this machine, with its own dialect and history.

    Args:
        model: "embedded", a folder, or a downloaded Hub id.
        options: The options of the policy.
        on_text: Called with the reply's text so far while it is generated.
        **overrides: Fields of PolicyOptions that replace those of `options`.

    Raises:
        UsageError: The checkpoint is missing or unusable, or an option cannot be applied to it.
    """
    from model.chat_model import load_chat
    from model.checkpoints.detect_dialect import default_pictures

    options = replace(options, **cast(dict[str, Any], overrides))
    name, dialect = resolve_local_dialect(model, options)
    chat = load_chat(model, options.device, options.dtype, options.budget_tokens)
    chat.warm_up()
    pictures = chat.settings.pictures if chat.settings.pictures >= 0 else default_pictures(name)
    chat.settings = replace(
        chat.settings,
        dialect=name,
        tool=dialect.tool,
        history=dialect.history,
        grammar=chat.settings.grammar and options.grammar,
        max_new_tokens=_first_set(options.max_new_tokens, chat.settings.max_new_tokens),
        history_steps=_first_set(options.history_steps, chat.settings.history_steps),
        pictures=_first_set(options.images, pictures),
    )
    history = HistoryWindow(chat.settings.history_steps, chat.settings.pictures)
    common: dict[str, Any] = {
        "temperature": options.temperature,
        "seed": options.seed,
        "on_text": on_text,
        "auto_shrink_history": options.auto_shrink_history,
    }
    if options.zoom != "off":
        from agent.policies.zoom import ZoomPolicy

        return ZoomPolicy(chat, dialect, history, zoom=options.zoom, **common)
    return LocalPolicy(chat, dialect, history, **common)


def resolve_local_dialect(model: str, options: PolicyOptions) -> tuple[str, ConfiguredDialect]:
    """Return the name and the dialect of a checkpoint on this machine, without reading its weights.

    Args:
        model: As of `load_local_policy`.
        options: As of `load_local_policy`.

    Raises:
        UsageError: The checkpoint is missing, its dialect is unknown, or an option cannot be applied to it.
    """
    from model.checkpoints.detect_dialect import detect_dialect
    from model.checkpoints.files import check_format, resolve_checkpoint
    from model.checkpoints.settings import read_limits, read_settings

    folder = resolve_checkpoint(model)
    check_format(folder)
    name = options.dialect or detect_dialect(folder).require()
    settings = read_settings(folder)
    limits = read_limits(folder)
    dialect = load_dialect(name, limits, options.prompt, tool=settings.tool, history=settings.history)
    if options.zoom != "off":
        from agent.policies.zoom import supports_zoom

        if not supports_zoom(dialect):
            raise UsageError(
                f"--zoom {options.zoom} cannot be applied to {model}: replies of the dialect '{name}' have no point "
                "that can be refined; use --zoom off"
            )
    return name, dialect


def _device_problem(device: str) -> str:
    """Return why a device cannot be used, "" if it can."""
    if not re.fullmatch(DEVICES, device):
        return f"device must be auto, cpu, cuda, cuda:N or mps, not {device!r}"
    if device in ("auto", "cpu"):
        return ""
    import torch

    kind, _, number = device.partition(":")
    count = torch.cuda.device_count() if kind == "cuda" else int(torch.backends.mps.is_available())
    if int(number or 0) < count:
        return ""
    return f"device {device} cannot be used: PyTorch finds {count} {kind} devices here; use --device auto or cpu"


def _first_set(value: int | None, default: int) -> int:
    return default if value is None else value
