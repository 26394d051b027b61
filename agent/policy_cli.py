"""Command line of `agent policy`: check policy files, explain decisions, and try a policy on a recorded run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from actions import Action
    from actions.facts import ActionFacts
    from agent.safety.policy import Decision, SafetyPolicy
    from agent.trace import JsonObject, Trace

app = typer.Typer(
    help="Check safety policies, and explain what they decide.", rich_markup_mode=None, add_completion=False
)

PolicyName = Annotated[
    str | None,
    typer.Option(
        "--policy", help="Preset or policy file of the task; default: as of `agent run`.", metavar="NAME|FILE"
    ),
]


@app.command()
def check(file: Annotated[Path, typer.Argument(help="A policy file (TOML).")]) -> None:
    """Check a policy file: print its rules, or what is wrong with it and where."""
    from agent.safety.policy import read_policy_file
    from agent.ui.formatting import sanitize

    content = read_policy_file(file)
    assert content is not None
    lists = {
        name: values
        for name in ("hosts", "apps", "packages", "surfaces", "verbs")
        if (values := getattr(content.allow, name)) is not None
    }
    for name, values in lists.items():
        print(sanitize(f"allow.{name}  {', '.join(values) or 'nothing: every action is denied'}"))
    for rule in content.rules:
        keys = rule.model_dump(exclude_none=True, exclude={"name", "effect", "each_time", "reason"})
        print(sanitize(f"{rule.effect:5}  {rule.name}: {', '.join(keys) or 'every action'}"))
    limits = content.limits.model_dump(exclude_none=True)
    for name, value in limits.items():
        print(f"limit  {name}: {value:g}")
    print(f"{file} is valid: {len(content.rules)} rules, {len(lists)} allow lists, {len(limits)} limits")


@app.command()
def explain(
    action: Annotated[
        str,
        typer.Argument(
            help='An action as JSON, such as {"verb": "click", "x": 3, "y": 4}; or {"action": ..., "facts": ...}.'
        ),
    ],
    policy: PolicyName = None,
    facts: Annotated[
        str | None,
        typer.Option(help='What it would touch, as JSON: {"url": ..., "elements": [{"label": ...}]}.', metavar="JSON"),
    ] = None,
    surface: Annotated[str, typer.Option(help="The surface's name.")] = "browser",
    screen: Annotated[
        Literal["own", "agent"], typer.Option(help="Whose screen it is: the user's own, or the agent's.")
    ] = "agent",
    approve: Annotated[Literal["each", "never"] | None, typer.Option(help="As of `agent run`.")] = None,
) -> None:
    """Print what the policy decides about an action, by which rule of which layer."""
    from actions import InvalidActionError, UsageError, parse_action
    from agent.safety.proposal import Proposal
    from agent.ui.formatting import sanitize

    data = _read_json(action, "the action")
    if isinstance(data, dict) and "action" in data:
        data, inner = data["action"], data.get("facts")
    else:
        inner = None
    known = _read_json(facts, "--facts") if facts is not None else inner
    try:
        proposed = parse_action(data)
    except InvalidActionError as error:
        raise UsageError(f"the action is not valid: {error}") from None
    proposal = Proposal(proposed, surface, screen == "own", _to_facts(known) if known is not None else None)
    safety = _load(policy, approve)
    decision = safety.decide(proposal)
    print(sanitize(f"{decision.effect}  {_describe(decision)}"))
    for layer in safety.layers:
        inside = layer.decide(proposal)
        print(sanitize(f"  {layer.name:12} {layer.source}: {inside.effect} ({inside.rule})"))
    print(f"policy sha256 {safety.sha256}")


@app.command()
def test(
    trace: Annotated[str, typer.Argument(help="A run: its id, its beginning, a folder, or: last.")],
    policy: PolicyName = None,
    runs: Annotated[str | None, typer.Option(help="Folder of the traces.", metavar="DIR")] = None,
) -> None:
    """Print what the policy decides about each action of a recorded run.

    The exit code is 1 if an action that was done would be denied. The facts are those that the run recorded; without
    them, as on a surface that has no facts, no rule about elements and pages matches.
    """
    from agent import config
    from agent.session import runs_root
    from agent.trace import find_run, read_trace
    from agent.ui.formatting import NO_LIMIT, sanitize

    record = read_trace(find_run(runs_root(config.load({"runs": runs})), trace))
    safety = _load(policy, None, str(record.manifest.get("url") or ""))
    denied = 0
    for step, action, result, decision in evaluate_trace(record, safety):
        print(sanitize(f"step {step:3}  {decision.effect:5}  {action}  [{result}; {_describe(decision)}]", NO_LIMIT))
        denied += decision.effect == "deny" and result == "did"
    print(f"{denied} of the actions that were done would be denied; policy sha256 {safety.sha256}")
    raise typer.Exit(1 if denied else 0)


def evaluate_trace(record: Trace, safety: SafetyPolicy) -> Iterator[tuple[int, str, str, Decision]]:
    """Yield (step, action in words, outcome, decision) for each action of a recorded run."""
    from actions import CONTROL_ACTIONS
    from agent.safety.proposal import Proposal
    from agent.ui.formatting import decision_outcome, describe_action, outcome_label

    surface = str(record.manifest.get("surface") or "browser").partition(":")[0]
    facts: ActionFacts | None = None
    is_user_owned, answer = False, ""
    performed: Action | None = None
    for event in record.events:
        if event["event"] == "act.intent":
            facts, answer, performed, is_user_owned = None, "", None, False
        elif event["event"] == "decision":
            answer = decision_outcome(event)
            performed = record.action(event)
            is_user_owned = event["screen_owner"] == "user"
            facts = _to_facts(event["facts"]) if event["facts"] is not None else None
        elif event["event"] == "approval":
            answer = event["answer"]
        elif event["event"] == "act.result" and event["action"]:
            action = performed or record.action(event)
            if action is None or action.verb in CONTROL_ACTIONS or action.verb == "wait":
                continue
            decision = safety.decide(Proposal(action, surface, is_user_owned, facts))
            yield event["step"], describe_action(action), outcome_label(event["error"], answer), decision


def _load(policy: str | None, approve: str | None, url: str = "") -> SafetyPolicy:
    from agent import config
    from agent.safety.policy import load_safety_policy
    from agent.session import is_practice

    settings = config.load({"policy": policy, "approve": approve})
    return load_safety_policy(settings.policy, approve=settings.approve, is_practice=is_practice(url or settings.url))


def _describe(decision: Decision) -> str:
    reason = f": {decision.reason}" if decision.reason else ""
    rule = "no rule matches, the default" if decision.rule == "default" else f"rule '{decision.rule}'"
    return f"{rule} of {decision.source} ({decision.layer}){reason}"


def _read_json(text: str, name: str) -> JsonObject | object:
    from actions import UsageError

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name} is not valid JSON: {error}") from None


def _to_facts(data: object) -> ActionFacts:
    """Return facts of plain data.

    Raises:
        UsageError: The data are not facts; the message names the first key that is wrong.
    """
    from dataclasses import fields

    from pydantic import TypeAdapter, ValidationError

    from actions import UsageError
    from actions.facts import ActionFacts, ElementFacts

    def closed(value: object, cls: type[ActionFacts] | type[ElementFacts]) -> None:
        names = [item.name for item in fields(cls)]
        if isinstance(value, dict) and (unknown := sorted(map(str, value.keys() - {*names}))):
            raise UsageError(f"facts have no key '{unknown[0][:40]}'; keys: {', '.join(names)}")

    closed(data, ActionFacts)
    if isinstance(data, dict):
        elements = data.get("elements")
        for element in [*(elements if isinstance(elements, list) else []), data.get("focus")]:
            closed(element, ElementFacts)
    try:
        return TypeAdapter(ActionFacts).validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UsageError(f"facts: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
