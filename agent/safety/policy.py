"""SafetyPolicy: the rules of a run, in layers of which each only narrows what the ones before it allow.

    organisation   /etc/pixelhand/policy.toml, and the file that PIXELHAND_ORG_POLICY names
    user           policy.toml in the user's config folder
    project        .pixelhand/policy.toml in the working directory
    task           --policy NAME or FILE
    preset         the preset of the task, by default `sandbox` on practice pages and `cautious` elsewhere

Each layer decides for itself: deny over ask over allow among the rules that match, else its default. The strictest of
these decisions counts. A file that is named and missing, or not valid, is an error, and nothing runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from actions import Click, UsageError
from actions.suggest import suggest
from agent.safety.proposal import Proposal
from agent.safety.rules import SEVERITY, AllowLists, Effect, Limits, PolicyFile, PolicyRule

ORG_VARIABLE = "PIXELHAND_ORG_POLICY"
PROJECT_POLICY = Path(".pixelhand") / "policy.toml"
PRESETS = ("read-only", "cautious", "unattended", "sandbox")
MAX_FILE_BYTES = 1_000_000
DEFAULT_APPROVAL_S = 120.0

LayerName = Literal["organisation", "user", "project", "task", "preset", "--approve", "settings", "guard"]


@dataclass(frozen=True)
class Decision:
    """What a policy says about an action.

    Args:
        effect: deny, ask or allow.
        rule: Name of the rule that decides; "allow.hosts" for an allow list, "default" where no rule matches.
        layer: The layer of the rule.
        source: Its file or preset.
        reason: Why, in words; "" without.
        each_time: Whether an answer never covers later actions of the kind.
    """

    effect: Effect
    rule: str
    layer: LayerName
    source: str
    reason: str = ""
    each_time: bool = False

    def describe(self) -> str:
        """Return the rule and its source in words."""
        return f"rule '{self.rule}' of {self.source}"


@dataclass(frozen=True)
class PolicyLayer:
    """One policy file of a policy.

    Args:
        name: Which layer it is.
        source: The path, or the name of the preset.
        content: The content of the file.
    """

    name: LayerName
    source: str
    content: PolicyFile

    def decide(self, proposal: Proposal) -> Decision:
        """Return what this layer alone says."""
        content = self.content
        if list_name := content.allow.violation(proposal):
            return Decision("deny", f"allow.{list_name}", self.name, self.source, f"it is not in allow.{list_name}")
        matching = [rule for rule in content.rules if rule.matches(proposal)]
        if not matching:
            return Decision(self._default(), "default", self.name, self.source)
        strictest = max(matching, key=_strictness)
        return Decision(
            strictest.effect, strictest.name, self.name, self.source, strictest.reason, each_time=strictest.each_time
        )

    def _default(self) -> Effect:
        has_permissions = any(rule.effect == "allow" for rule in self.content.rules)
        return self.content.default or ("deny" if has_permissions else "allow")


@dataclass(frozen=True)
class SafetyPolicy:
    """The layers of a run, from the organisation's to the preset; each only narrows."""

    layers: tuple[PolicyLayer, ...]

    def decide(self, proposal: Proposal) -> Decision:
        """Return the strictest decision of all layers; of equal ones the first that asks each time."""
        decision = max((layer.decide(proposal) for layer in self.layers), key=_decision_strictness)
        if decision.effect == "ask" and self.is_unattended:
            return Decision("deny", decision.rule, decision.layer, decision.source, decision.reason, each_time=True)
        return decision

    def asks_each(self, surface: str, is_user_owned: bool) -> bool:
        """Return whether every action on a screen is asked about, whatever it touches."""
        click = Proposal(Click(x=0, y=0), surface, is_user_owned)
        return self.decide(click).effect == "ask"

    @property
    def is_unattended(self) -> bool:
        """Whether what would be asked is denied."""
        return any(layer.content.unattended for layer in self.layers)

    @property
    def compares_pixels(self) -> bool:
        """Whether pixels are compared before each action where the surface has no facts."""
        return any(layer.content.compare_pixels for layer in self.layers if layer.name != "--approve")

    @cached_property
    def limits(self) -> Limits:
        """The lowest limits of all layers."""
        lowest = {}
        for name in Limits.model_fields:
            values = [getattr(layer.content.limits, name) for layer in self.layers]
            lowest[name] = min((value for value in values if value is not None), default=None)
        return Limits(**lowest)

    def limit_source(self, name: str) -> str:
        """Return the source of the layer that sets a limit."""
        value = getattr(self.limits, name)
        return next((layer.source for layer in self.layers if getattr(layer.content.limits, name) == value), "")

    @property
    def approval_s(self) -> float:
        """Seconds for which an answer to a question is valid."""
        return self.limits.approval_seconds or DEFAULT_APPROVAL_S

    @cached_property
    def sha256(self) -> str:
        """Hash of the content of all layers."""
        data = [[layer.name, layer.content.model_dump(mode="json")] for layer in self.layers]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()

    def as_manifest(self) -> dict[str, object]:
        """Return the hash and the layers, for the manifest of a trace."""
        return {
            "sha256": self.sha256,
            "layers": [
                {"layer": layer.name, "source": layer.source, "sha256": _sha256(layer)} for layer in self.layers
            ],
        }

    def includes(self, manifest: Mapping[str, object]) -> bool:
        """Return whether all layers of an earlier policy are among these, so that this one allows no more.

        Args:
            manifest: The earlier policy as `as_manifest` returned it.
        """
        if manifest.get("sha256") == self.sha256:
            return True
        layers = manifest.get("layers")
        if not isinstance(layers, list) or not layers:
            return False
        present = {_sha256(layer) for layer in self.layers}
        return all(isinstance(layer, dict) and layer.get("sha256") in present for layer in layers)


def load_safety_policy(
    name: str = "",
    *,
    approve: str = "",
    is_practice: bool = False,
    environment: Mapping[str, str] | None = None,
    org: Path | None = None,
    user: Path | None = None,
    project: Path | None = None,
) -> SafetyPolicy:
    """Load the policy of a run from all layers.

    Args:
        name: The task's preset or file; "" for none.
        approve: "each" asks about every action; "never" selects the preset `sandbox` where no preset is named.
        is_practice: The run is on a practice page.
        environment: The environment variables; os.environ by default.
        org: The organisation's file; the platform's by default.
        user: The user's file; that of the config folder by default.
        project: The project's file; PROJECT_POLICY in the working directory by default.

    Raises:
        UsageError: A file is not valid, or one that is named is missing.
    """
    environment = os.environ if environment is None else environment
    layers: list[PolicyLayer] = []

    def add(layer: LayerName, path: Path, must_exist: bool = False) -> PolicyFile | None:
        content = read_policy_file(path, must_exist=must_exist)
        if content is not None:
            layers.append(PolicyLayer(layer, str(path), content))
            if content.preset and layer != "task":
                layers.append(PolicyLayer(layer, f"preset {content.preset}", load_preset(content.preset)))
        return content

    add("organisation", org or org_file())
    if environment.get(ORG_VARIABLE):
        add("organisation", Path(environment[ORG_VARIABLE]), must_exist=True)
    add("user", user or user_policy_file())
    add("project", project or PROJECT_POLICY)
    preset = ""
    if name in PRESETS:
        preset = name
    elif name:
        path = Path(name).expanduser()
        if not path.exists() and "/" not in name and "." not in name:
            hint = suggest(name, PRESETS) or f" Presets: {', '.join(PRESETS)}."
            raise UsageError(f"--policy {name} is neither a preset nor a file.{hint}")
        content = add("task", path, must_exist=True)
        preset = content.preset if content is not None else ""
    if preset in ("read-only", "cautious") and approve == "never":
        raise UsageError(
            f"--approve never cannot be used with the policy {preset}, which asks or denies: remove --approve never, "
            "or choose --policy sandbox"
        )
    preset = preset or ("sandbox" if is_practice or approve == "never" else "cautious")
    layers.append(PolicyLayer("preset", f"preset {preset}", load_preset(preset)))
    if approve == "each":
        layers.append(PolicyLayer("--approve", "--approve each", EACH_ACTION))
    return SafetyPolicy(tuple(layers))


def load_preset(name: str) -> PolicyFile:
    """Return a preset by name.

    Raises:
        UsageError: There is no such preset.
    """
    if name not in PRESETS:
        raise UsageError(
            f"unknown preset '{name[:40]}'.{suggest(name[:40], PRESETS) or ' Presets: ' + ', '.join(PRESETS)}"
        )
    text = files("agent.safety.presets").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return parse_policy(text, f"preset {name}")


def read_policy_file(path: Path, *, must_exist: bool = True) -> PolicyFile | None:
    """Return the content of a policy file, None for a missing one that need not exist.

    Raises:
        UsageError: The file is missing although it is named, cannot be read, or is not a valid policy.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"the policy {path} is not a regular file; nothing is run")
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        if must_exist or path.is_symlink():
            raise UsageError(f"the policy {path} does not exist; nothing is run") from None
        return None
    except OSError as error:
        raise UsageError(f"the policy {path} cannot be read ({error.strerror}); nothing is run") from None
    if len(data) > MAX_FILE_BYTES:
        raise UsageError(f"the policy {path} is larger than {MAX_FILE_BYTES} bytes; nothing is run")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"the policy {path} is not UTF-8 text; nothing is run") from None
    content = parse_policy(text, str(path))
    if content.preset:
        load_preset(content.preset)
    return content


def parse_policy(text: str, source: str) -> PolicyFile:
    """Return the policy of a TOML text.

    Raises:
        UsageError: The text is not a valid policy; the message names the place of each problem.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{source} is not valid TOML: {error}; nothing is run") from None
    try:
        return PolicyFile.model_validate_json(json.dumps(data, default=str))
    except RecursionError:
        raise UsageError(f"{source} is nested too deeply; nothing is run") from None
    except ValidationError as error:
        problems = [
            _describe_problem(problem["type"], problem["loc"], problem["msg"], source)
            for problem in error.errors(include_url=False, include_input=False)
        ]
        raise UsageError("\n".join(problems)) from None


def org_file() -> Path:
    """Return the path of the organisation's policy on this platform."""
    if os.name == "posix":
        return Path("/etc/pixelhand/policy.toml")
    import platformdirs

    return platformdirs.site_config_path("pixelhand", appauthor=False) / "policy.toml"


def user_policy_file() -> Path:
    """Return the path of the user's policy on this platform."""
    import platformdirs

    return platformdirs.user_config_path("pixelhand", appauthor=False) / "policy.toml"


EACH_ACTION = PolicyFile(
    default="allow", rules=(PolicyRule(name="each-action", effect="ask", reason="--approve each was given"),)
)
_KEYS: dict[str, type[BaseModel]] = {"allow": AllowLists, "limits": Limits, "rules": PolicyRule}


def _describe_problem(kind: str, location: Sequence[str | int], message: str, source: str) -> str:
    place = ""
    for part in location:
        place += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if place else str(part)
    if kind == "extra_forbidden":
        key = str(location[-1])
        model = _KEYS.get(str(location[0]), PolicyFile) if len(location) > 1 else PolicyFile
        hint = suggest(key[:40], model.model_fields) or f" Keys: {', '.join(model.model_fields)}."
        return f"{source}: unknown key '{place}'.{hint}"
    if kind == "missing":
        return f"{source}: '{place}' is missing"
    return f"{source}: '{place}': {message.removeprefix('Value error, ').replace('Input should', 'it should')}"


def _sha256(layer: PolicyLayer) -> str:
    """Return the hash of the content of a layer."""
    return hashlib.sha256(json.dumps(layer.content.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def _strictness(rule: PolicyRule) -> tuple[int, bool]:
    return SEVERITY[rule.effect], rule.each_time


def _decision_strictness(decision: Decision) -> tuple[int, bool]:
    return SEVERITY[decision.effect], decision.each_time
