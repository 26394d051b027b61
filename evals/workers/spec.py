"""The specification of a run: what every worker needs to load the policy and the benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.policies.base import Policy

_JOINER = " + "  # between two models in run.json of version 0.1
_JOINED_FACTORY = "evals.cli:pair"


@dataclass(frozen=True)
class RunSpec:
    """A run, the same for all of its workers; every field is JSON data."""

    name: str  # of the benchmark
    data: str  # the benchmark's folder; "" for a live benchmark
    protocol: str
    level: str = "high"  # high: the goal alone; low: with each step's instruction
    model: str = "embedded"  # embedded, a folder, a Hub id or a server's http://HOST:PORT/v1#NAME
    device: str = "auto"
    dtype: str = "auto"
    prompt: str = ""  # path of a file with a system prompt
    seed: int = 0
    threads: int = 1  # CPU threads per worker
    fingerprint: str = ""  # of the model's weights; "" for a server's
    policy_factory: str = ""  # "module:function" that returns the policy for a spec, instead of loading `model`
    grounder: str = ""  # a second model that locates the first one's targets
    grounder_fingerprint: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)  # further fields of PolicyOptions that differ from default
    seeds: str = ""  # FIRST:LAST, of a live benchmark
    max_steps: int = 0  # per episode of a live benchmark
    safety_policy: str = ""  # preset or path of the guard's policy in a live benchmark; "" for the benchmark's
    safety_sha256: str = ""  # of the content of all its layers

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return {**asdict(self), "options": dict(self.options)}

    def identity(self) -> dict[str, Any]:
        """Return what decides the answers, under the keys of run.json; newer fields only where set."""
        values = self.as_dict()
        added = ("grounder", "grounder_fingerprint", "options", "seeds", "max_steps", "safety_policy", "safety_sha256")
        kept = {key: value for key, value in values.items() if key not in added or value}
        kept["maker"] = kept.pop("policy_factory")
        if self.seeds:  # a live run may be continued with another number of workers
            del kept["threads"]
        return kept


def parse_identity(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity of a run.json of any version in the current form."""
    values = dict(saved)
    if values.get("maker") == _JOINED_FACTORY:
        values["maker"] = ""
        values["model"], _, values["grounder"] = str(values["model"]).partition(_JOINER)
        fingerprint, _, grounder_fingerprint = str(values.get("fingerprint", "")).partition(_JOINER)
        values["fingerprint"] = fingerprint
        if grounder_fingerprint:
            values["grounder_fingerprint"] = grounder_fingerprint
    return values


def parse_spec(values: Mapping[str, Any]) -> RunSpec:
    """Return a spec from the data of `as_dict`."""
    names = {item.name for item in fields(RunSpec)}
    return RunSpec(**{key: value for key, value in values.items() if key in names})


def load_spec_policy(spec: RunSpec) -> Policy:
    """Load the policy of a spec in this process.

    Raises:
        UsageError: There is no such model, or an option does not apply to it.
        SurfaceError: The device failed.
    """
    if spec.policy_factory:
        module, _, function = spec.policy_factory.partition(":")
        policy: Policy = getattr(import_module(module), function)(spec)
        return policy
    from agent.policies.factory import PolicyOptions, load_policy
    from agent.policies.remote.endpoint import is_endpoint

    if not is_endpoint(spec.model):
        import torch

        torch.set_num_threads(spec.threads)  # another number of threads can change the last bit of a sum
    options = PolicyOptions(device=spec.device, dtype=spec.dtype, prompt=spec.prompt, **spec.options)
    return load_policy(spec.model, options, grounder=spec.grounder)


def describe_policy(policy: Policy) -> dict[str, Any]:
    """Return what a score must carry: the policy's metadata, the resize rule, the device and the dtype."""
    facts = {key: value for key, value in policy.metadata.items() if key != "path"}
    chat = getattr(policy, "chat", None)  # a local policy's model
    profile = getattr(policy, "profile", None)  # a remote policy's
    limits = getattr(chat or profile, "limits", None)
    if limits is not None:
        facts["resize"] = (
            f"smart_resize to multiples of {limits.factor}, {limits.min_pixels} to {limits.max_pixels} pixels, bicubic"
        )
    if chat is not None:
        facts["device"] = str(getattr(chat.model.device, "type", chat.model.device))
        facts["dtype"] = str(next(chat.model.parameters()).dtype).removeprefix("torch.")
    return facts
