"""Checks of a run's settings before a model is loaded or a screen is opened; all problems are reported at once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from actions import UsageError, usage_problems
from agent.config import Settings
from agent.extraction.output_schema import load_output_schema
from agent.policies.factory import policy_problems
from agent.policies.scripted import load_script
from agent.session import is_practice, policy_options, surface_name, surface_options
from agent.verification.expectations import parse_expectations
from envs import factory

NO_URL = "--url is missing: give the page to start from, like --url https://example.org"
NO_MODEL = "no model is named; name one with --model (`agent models` lists them)"
PRACTICE_HINT = "Or see the embedded model on a practice page: agent demo book-flight"


def resolve_settings(settings: Settings, goal: str, script: Path | None = None) -> Settings:
    """Fill in what follows from other settings, and check all of them.

    Args:
        settings: The settings of the run.
        goal: The task; "" for a practice page's own instruction.
        script: A file of replies to replay instead of a model's.

    Raises:
        UsageError: Every problem that can be found without loading a model, one sentence each.
        SurfaceError: The machine failed.
    """
    has_practice_page = is_practice(settings.url)
    if not settings.model and script is None and has_practice_page:
        settings = replace(settings, model="embedded")
    problems = target_problems(settings)
    problems += usage_problems(lambda: parse_expectations(settings.expect))
    if settings.output_schema:
        problems += usage_problems(lambda: load_output_schema(settings.output_schema))
    if not goal and not has_practice_page:
        problems.append("the goal is empty; describe the task in quotes")
    if script is not None:
        problems += usage_problems(lambda: load_script(script, settings.prompt))
    else:
        problems += model_problems(settings)
        if not settings.model:
            problems.append(_model_needed() if set(problems) <= {NO_URL} else NO_MODEL)  # the list is long
    if problems:
        raise UsageError("\n".join(dict.fromkeys(problems)))
    return settings


def target_problems(settings: Settings) -> list[str]:
    """Return every reason for which the screen could not be opened now, one sentence each."""
    name = surface_name(settings)
    problems = factory.check_options(settings.surface, surface_options(settings))
    if not settings.url and name == "browser":
        problems.append(NO_URL)
    return problems


def model_problems(settings: Settings) -> list[str]:
    """Return every reason for which the models could not be loaded that is known before weights are read."""
    if settings.model:
        return policy_problems(settings.model, policy_options(settings), settings.grounder)
    if settings.grounder:
        return ["--grounder refines the points of another model; name that one with --model"]
    return []


def _model_needed() -> str:
    from model.checkpoints.hub import cached
    from model.checkpoints.recommend import choose_model_message, get_model_message

    checkpoints = cached() if _has_hub_cache() else ()
    names = list(dict.fromkeys(checkpoint.hub_id for checkpoint in checkpoints))  # a model may have several revisions
    message = choose_model_message(names) if names else get_model_message()
    return f"{message}\n{PRACTICE_HINT}"


def _has_hub_cache() -> bool:
    """Return whether any model was downloaded, without importing huggingface_hub."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    return any(cache.glob("models--*"))
