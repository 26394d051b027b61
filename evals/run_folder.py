"""The files of a run's folder, and the checks that a folder is continued by the same run and model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actions import UsageError
from evals.files import read_json, replace_json
from evals.workers.spec import parse_identity

RUN, PREDICTIONS, VERDICTS, RESULT = "run.json", "predictions.jsonl", "verdicts.jsonl", "result.json"
LOCAL_STATE = "here.json"  # the benchmark's folder on this machine


def check_same_run(out: Path, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts about the folder's model, {} in a new folder.

    Raises:
        UsageError: The folder's run has another specification.
    """
    if not (out / RUN).is_file():
        return {}
    saved = read_json(out / RUN)
    before = parse_identity(saved.get("asked", {}))
    for key in dict.fromkeys((*request, *before)):
        old, new = before.get(key), request.get(key)
        if old != new:
            raise UsageError(
                f"{out} holds a run with {key} {old!r}, and this one has {new!r}; choose another folder with --out"
            )
    about: dict[str, Any] = saved["about"]
    return about


def check_same_model(
    out: Path, request: Mapping[str, Any], about: Mapping[str, Any], ready: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what is known of the model; raise UsageError when it is not the model of the first run."""
    for key in about.keys() & ready.keys():  # a fact that one version does not record proves nothing
        if about[key] != ready[key]:
            raise UsageError(
                f"the run in {out} was started with {key} {about[key]!r}, and now it is {ready[key]!r}: the model has "
                "changed; choose another folder with --out"
            )
    if not about:
        replace_json(out / RUN, {"asked": dict(request), "about": dict(ready)})
    return dict(about or ready)
