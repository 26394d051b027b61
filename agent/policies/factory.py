"""load_policy: create the policy that a model's name and its options describe."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from actions import UsageError
from agent.history_window import HistoryWindow
from agent.policies.base import OnStatus, OnText, Policy, load_dialect
from agent.policies.local import LocalPolicy
from agent.policies.remote.endpoint import is_endpoint

ZOOM_MODES = ("off", "on", "auto")


@dataclass(frozen=True)
class PolicyOptions:
    """The options of a policy. The defaults are those of `agent run`."""

    dialect: str = ""  # "": as the checkpoint's files or the server say
    prompt: str = ""  # path of a text file that replaces the dialect's prompt
    device: str = "auto"
    dtype: str = "auto"
    max_new_tokens: int | None = None  # None: as the checkpoint says
    temperature: float = 0.0
    seed: int | None = None
    grammar: bool = True  # constrain replies to the dialect's grammar
    zoom: str = "off"  # one of ZOOM_MODES
    budget_tokens: int = 0  # longest context; 0: as the checkpoint says
    auto_shrink_history: bool = False  # reduce the history when memory runs out
    history_steps: int | None = None  # earlier steps in the prompt; None: as the checkpoint says
    images: int | None = None  # of these with their screenshot; None: as the checkpoint says
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
    if options.zoom not in ZOOM_MODES:
        raise UsageError(f"zoom must be one of {', '.join(ZOOM_MODES)}, not {options.zoom!r}")
    _check_local_options(options, model, grounder)
    if not grounder:
        return _load_single(model, options, on_text, on_status)
    return _load_planner_grounder(model, grounder, options, on_text, on_status)


def _check_local_options(options: PolicyOptions, model: str, grounder: str) -> None:
    """Refuse options of local models when none of the models is local; zoom applies to the model that points."""
    defaults = PolicyOptions()
    changed = [name for name in LOCAL_ONLY if getattr(options, name) != getattr(defaults, name)]
    if not is_endpoint(model) or (grounder and not is_endpoint(grounder)):
        changed = [name for name in changed if name == "zoom" and is_endpoint(grounder or model)]
    if changed:
        names = ", ".join(LOCAL_ONLY[name] for name in changed)
        server = grounder if grounder and is_endpoint(grounder) else model
        raise UsageError(
            f"{names} cannot be applied to the server {server.partition('#')[0]}: "
            "only models in this process have these options; remove them, or use a local model"
        )


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
    from model.chat_model import load_chat, read_limits, read_settings
    from model.checkpoints.detect_dialect import detect_dialect
    from model.checkpoints.weights import resolve_checkpoint

    options = replace(options, **cast(dict[str, Any], overrides))
    folder = resolve_checkpoint(model)
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
    chat = load_chat(model, options.device, options.dtype, options.budget_tokens)
    chat.warm_up()
    chat.settings = replace(
        chat.settings,
        dialect=name,
        tool=dialect.tool,
        history=dialect.history,
        grammar=chat.settings.grammar and options.grammar,
        max_new_tokens=_first_set(options.max_new_tokens, chat.settings.max_new_tokens),
        history_steps=_first_set(options.history_steps, chat.settings.history_steps),
        pictures=_first_set(options.images, chat.settings.pictures),
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


def _first_set(value: int | None, default: int) -> int:
    return default if value is None else value
