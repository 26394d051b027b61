"""ActionGuard: the one check between an action and a machine, for runs, evaluations, MCP clients and replays.

`actions.dispatch.dispatch` calls it before each action:

1. facts: the surface tells what the action would touch now (`actions.surface.SupportsFacts`); if that is not what the
   model saw, the action is not done and the model is told to look again. Where the surface has no facts, the pixels
   around the target are compared.
2. decision: the policy allows, asks or denies (agent/safety/policy.py).
3. approval: the answer of the person holds for this action, these facts and these pixels, once, and for a limited time;
   facts and pixels are taken again after it.
4. limits: steps, minutes, typed characters, new hosts, refusals and repetitions.

{{NAME}} in a `type` action is replaced by the secret after all of these (agent/safety/secret_typing.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from actions import (
    Action,
    ActionDeniedError,
    ActionRejectedError,
    Click,
    InvalidActionError,
    Point,
    PressKeys,
    RunStoppedError,
    Screen,
    SurfaceError,
    TypeText,
    Wait,
)
from actions.dispatch import GuardFn, Replacement, validate
from actions.facts import ActionFacts
from actions.surface import SupportsFacts, SupportsFocus, SupportsOwnership, Surface
from agent.safety.approval import (
    ApprovalKind,
    ApprovalPrompt,
    ApprovalRequest,
    Approver,
    covers_kind,
    describe_target,
    kind_of,
)
from agent.safety.freshness import LOOSE_FRACTION, STRICT_FRACTION, describe_difference, surface_unchanged
from agent.safety.limits import LimitCounter
from agent.safety.pointer_watch import PointerWatch
from agent.safety.policy import Decision, SafetyPolicy
from agent.safety.proposal import SECRET_FIELDS, Proposal
from agent.safety.redaction import MASK, EventRedactor, cut_strings, strip_userinfo
from agent.safety.rules import SEVERITY
from agent.safety.secret_store import SecretStore
from agent.safety.secret_typing import RequestedSecret, SecretTyper, is_placeholder
from agent.safety.write_review import WriteReview
from agent.target_recorder import describe_points
from agent.trace import disk_errors
from agent.ui.annotate import draw_action
from agent.ui.formatting import NO_LIMIT, describe_action

SCREENSHOT_FOLDER = "approvals"  # within the run's folder
MAX_FACT_CHARS = 500  # of a text within the facts of an event
MIN_PERSON_SECRET_CHARS = 4  # a shorter text, as of single keys, is common in what is recorded
LOOK_AGAIN = "so this was not done; look again"
UNKNOWN_ACTIVATION = (
    "this text presses Tab and then Enter or the space bar, and what they would activate is not known yet, so nothing "
    "was typed; type up to the Tab, look, and go on from there"
)

EmitFn = Callable[..., None]  # emit(event, **facts) writes one event to the trace and the display


def requires_approval(surface: Surface) -> bool:
    """Return whether the surface is the user's own screen or device, which one that does not declare it counts as."""
    return surface.is_user_owned if isinstance(surface, SupportsOwnership) else True


def knows_elements(proposal: Proposal) -> bool:
    """Return whether facts tell elements apart, so that their pixels need no comparison; windows are no elements."""
    facts = proposal.facts
    if facts is None:
        return False
    if not proposal.touched:
        return bool(facts.url)  # a page without a focused element
    return all(element.identity and element.role != "window" for element in proposal.touched)


def has_known_labels(proposal: Proposal) -> bool:
    """Return whether facts tell what a person reads on each element that is touched."""
    labels = [element.label or element.field for element in proposal.touched]
    return knows_elements(proposal) and all(labels)


class ActionGuard:
    """Decides about each action of a run.

    Args:
        policy: The policy.
        surface: The surface that the actions are carried out on.
        folder: The run's folder, where the screenshots shown to the person are stored.
        emit: Writes `decision`, `approval` and `paused` events.
        person: The person; None where nobody can be asked: an action that needs approval then ends the run.
        rules: Further rules that run first, such as those for addresses; None for none.
        secrets: What {{NAME}} stands for; the user's own store by default.
    """

    def __init__(
        self,
        policy: SafetyPolicy,
        surface: Surface,
        folder: Path,
        emit: EmitFn,
        *,
        person: Approver | None = None,
        rules: GuardFn | None = None,
        secrets: SecretStore | None = None,
    ) -> None:
        self.policy, self.surface, self.folder, self.rules = policy, surface, folder, rules
        self.is_user_owned = requires_approval(surface)
        self.redactor = EventRedactor()
        self._secrets = SecretTyper(surface, self.redactor, secrets or SecretStore())
        self.limits = LimitCounter(policy)
        self._write = emit
        self._prompt = ApprovalPrompt(person)
        self._watches_pointer = self.is_user_owned or policy.asks_each(surface.name, False)
        self._pointer = PointerWatch(surface, self._prompt, emit)
        self.writes = WriteReview(surface, self._prompt, self._emit, self.redactor)
        self._approved_kinds: set[ApprovalKind] = set()
        self._screenshot_count = 0
        self._last_click: Point | None = None  # where typed text most likely goes

    @property
    def waited_s(self) -> float:
        """Total time that the person took to answer."""
        return self._prompt.waited_s

    def __call__(self, action: Action, screen: Screen) -> Replacement | None:
        """Return the action that the person put in the place of this one, None to perform this one.

        Raises:
            ActionRejectedError: The screen has changed, or the person refused; the model looks again.
            ActionDeniedError: A rule denies the action.
            RunStoppedError: A limit is reached, the person stops the run, or nobody can be asked.
        """
        if isinstance(action, Wait):  # does not touch the machine
            if action.seconds == 0:  # the loop captures the screen again after the person was asked
                self._pointer.update()
            else:
                self.limits.check_time()
            return None
        self.limits.paused_s = self._prompt.waited_s
        self.limits.check_time()
        current: Action = action
        while True:
            requested = self._secrets.find(current)
            proposal = self._propose(current, screen)
            self.limits.check(proposal, screen)
            decision = self._decide(proposal, screen, requested)
            if decision.effect == "allow":
                self._check_pointer()
                break
            edited = self._approve(proposal, decision, screen)
            if edited is None:
                break
            validate(edited, self.surface, screen)
            current = edited  # passes the whole guard again
        notice = ""
        if current is not action:
            description = describe_action(self.redactor.redact_action(current))
            notice = f"the person had this done instead: {description}"
        replacement = Replacement(current, notice) if notice else None
        if requested is not None:
            replacement = self._secrets.insert(requested, proposal, self._facts, notice)
        self.limits.count(proposal, screen)
        self._remember(current)
        return replacement

    def admit(self, action: Action, screen: Screen) -> Replacement | None:
        """Let the person act: what a rule denies is denied to them as well; what one asks about, they have decided.

        Raises:
            ActionDeniedError: A rule denies the action.
        """
        if isinstance(action, Wait):
            return self(action, screen)
        proposal = Proposal(action, self.surface.name, self.is_user_owned, self._facts(action))
        if isinstance(action, TypeText) and len(action.text) >= MIN_PERSON_SECRET_CHARS:
            self._protect_text(proposal)
        if self.rules is not None:
            self.rules(action, screen)
        decision = self.policy.decide(proposal)
        if decision.effect == "deny":
            raise ActionDeniedError(f"{decision.describe()} does not allow this to anybody during the run")
        self._remember(action)
        return None

    def recordable(self, action: Action) -> Action:
        """Return an action of the person as it may be recorded: without a text that may go into a field for secrets."""
        if isinstance(action, TypeText):
            try:
                facts = self._facts(action)
            except (SurfaceError, InvalidActionError):  # the action itself meets the failure again
                facts = None
            proposal = Proposal(action, self.surface.name, self.is_user_owned, facts)
            if proposal.field_kinds & SECRET_FIELDS or not proposal.touched or not knows_elements(proposal):
                return action.model_copy(update={"text": MASK})
        return self.redactor.redact_action(action)

    def add_wait(self, seconds: float) -> None:
        """Count seconds for which the run waited for the person; they are not the run's."""
        self._prompt.add_wait(seconds)
        self.limits.paused_s = self._prompt.waited_s

    def redact(self, facts: Mapping[str, object]) -> dict[str, object]:
        """Return the facts of an event without what was typed into fields for secrets."""
        return self.redactor.redact(facts)

    def hide_secrets(self, text: str) -> str:
        """Return a text for the model with the names of stored secrets in their place."""
        return self.redactor.hide_secrets(text)

    def protect(self, actions: Sequence[Action]) -> None:
        """Find texts of a reply that go into fields for secrets, before the reply is recorded."""
        if not isinstance(self.surface, SupportsFacts):
            return
        before: Action | None = None
        for action in actions:
            if isinstance(action, TypeText) and not is_placeholder(action.text) and self._types_secret(action, before):
                self.redactor.add(action.text)
            before = action

    def _types_secret(self, action: TypeText, before: Action | None) -> bool:
        """Return whether a text goes, or may go, into a field for secrets; `before` is the action that precedes it."""
        known = before or action
        try:
            facts = self._facts(known)
        except (SurfaceError, InvalidActionError):  # the action itself meets the failure again
            return False
        proposal = Proposal(known, self.surface.name, self.is_user_owned, facts)
        if before is not None and not before.points():
            return facts is not None and facts.focus is not None  # Tab or Enter: the next field is known only later
        return bool(proposal.field_kinds & SECRET_FIELDS)

    # facts and decision

    def _propose(self, action: Action, screen: Screen) -> Proposal:
        """Return the action with its facts; raise ActionRejectedError where the screen is not what the model saw."""
        facts = self._facts(action)
        proposal = Proposal(action, self.surface.name, self.is_user_owned, facts)
        self._protect_text(proposal)
        if facts is not None and facts.changes:
            self._emit_decision(proposal, Decision("deny", "unchanged", "guard", "the guard", facts.changes[0]))
            raise ActionRejectedError(f"{'; '.join(facts.changes)}, {LOOK_AGAIN}")
        if self.policy.compares_pixels and proposal.is_activation_unknown:
            self._emit_decision(proposal, Decision("deny", "tab-then-enter", "guard", "the guard", UNKNOWN_ACTIVATION))
            raise ActionRejectedError(UNKNOWN_ACTIVATION)
        compares = self.policy.compares_pixels and not knows_elements(proposal)
        points = self._compared_points(action) if compares else ()
        if points and not surface_unchanged(screen, self.surface, points, STRICT_FRACTION):
            reason = "the screen changed at this place since it was captured"
            self._emit_decision(proposal, Decision("deny", "unchanged", "guard", "the guard", reason))
            raise ActionRejectedError(f"{reason}, {LOOK_AGAIN}")
        return proposal

    def _facts(self, action: Action) -> ActionFacts | None:
        return self.surface.facts(action) if isinstance(self.surface, SupportsFacts) else None

    def _compared_points(self, action: Action) -> tuple[Point, ...]:
        """Return the points whose surroundings are compared: for keyboard input, where the last click was."""
        if isinstance(action, TypeText | PressKeys):
            return (self._last_click,) if self._last_click is not None else ()
        return action.points()

    def _decide(self, proposal: Proposal, screen: Screen, requested: RequestedSecret | None) -> Decision:
        """Return a decision to allow or ask; raise ActionDeniedError if a rule denies."""
        try:
            if self.rules is not None:
                self.rules(proposal.action, screen)
        except ActionDeniedError as error:
            self._emit_decision(proposal, Decision("deny", "addresses", "settings", "the settings", str(error)))
            self.limits.count_refusal()
            raise
        about_secret = None
        if requested is not None:
            about_secret = self._secrets.decide(requested, proposal, is_unattended=self.policy.is_unattended)
            proposal = replace(proposal, types_stored_secret=about_secret is None)
        decision = self.policy.decide(proposal)
        if about_secret is not None and SEVERITY[about_secret.effect] >= SEVERITY[decision.effect]:
            decision = about_secret
        self._emit_decision(proposal, decision)
        if decision.effect == "deny":
            self.limits.count_refusal()
            reason = f": {decision.reason}" if decision.reason else ""
            raise ActionDeniedError(
                f"{decision.describe()} does not allow this{reason}; do something else, or end the run and say why"
            )
        return decision

    # approval

    def _approve(self, proposal: Proposal, decision: Decision, screen: Screen) -> Action | None:
        """Ask the person; return None if they approve, or the action that they want instead."""
        action, kind = proposal.action, kind_of(proposal)
        can_approve_kind = covers_kind(proposal, decision)
        if can_approve_kind and kind in self._approved_kinds:
            self._check_pointer()
            self._record(action, decision, "", "approved", "this kind of action was approved for the run")
            return None
        if self._prompt.person is None:
            raise self._no_approver(action, decision)
        picture = self._store_screenshot(action, screen)
        restore_focus = self.surface.keep_focus() if isinstance(self.surface, SupportsFocus) else None
        hide = self.redactor.hide_secrets
        request = ApprovalRequest(
            hide(describe_action(action, NO_LIMIT) + self._target_note(proposal)),
            self.folder / picture,
            action,
            self.redactor.redact_facts(proposal.facts) if proposal.facts is not None else None,
            decision.describe(),
            decision.reason,
            can_approve_kind,
        )
        try:
            answer = self._prompt.ask(request)
        except EOFError:
            raise self._no_approver(action, decision, picture) from None
        finally:
            self.limits.paused_s = self._prompt.waited_s
        if answer.kind == "stop":
            self._record(action, decision, picture, "stopped", "")
            raise RunStoppedError("a person stopped the run", by_person=True)
        if answer.kind == "no":
            self._record(action, decision, picture, "refused", answer.reason)
            because = (
                f"the person refused this: {answer.reason}"
                if answer.reason
                else ("the person refused this and gave no reason")
            )
            raise ActionRejectedError(f"{because}; do something else, or ask them")
        if answer.kind == "take over":
            self._take_over(action, decision, picture)
        if problem := self._find_change(proposal, screen, restore_focus):
            self._record(action, decision, picture, "approved", f"but {problem}")
            raise ActionRejectedError(f"the person was asked, and meanwhile {problem}, {LOOK_AGAIN}")
        if answer.action is not None:
            self._protect_text(replace(proposal, action=answer.action))
            self._record(action, decision, picture, "edited", "", edited=answer.action)
            return answer.action
        if answer.kind == "kind" and can_approve_kind:
            self._approved_kinds.add(kind)
        note = "this rule asks each time" if answer.kind == "kind" and not can_approve_kind else ""
        self._record(action, decision, picture, "approved", note)
        return None

    def _take_over(self, action: Action, decision: Decision, picture: str) -> None:
        """Let the person act, and raise ActionRejectedError when they are done."""
        self._record(action, decision, picture, "taken over", "")
        self._write("paused", why="the person took over", rests_s=None)
        try:
            self._prompt.confirm_pause("you took over: act on the screen yourself, then go on")
        except EOFError:
            raise self._no_approver(action, decision, picture) from None
        finally:
            self.limits.paused_s = self._prompt.waited_s
        self._pointer.update()
        raise ActionRejectedError("the person took over and did the next part themselves; look again")

    def _find_change(self, proposal: Proposal, screen: Screen, restore_focus: Callable[[], bool] | None) -> str:
        """Return what is not as it was when the person was asked, in words; "" if nothing changed."""
        action, facts = proposal.action, proposal.facts
        if self._prompt.question_s > self.policy.approval_s:
            return f"more than {self.policy.approval_s:g} s passed (limits.approval_seconds)"
        if restore_focus is not None and restore_focus() is False and not action.points():
            return "the keyboard focus did not come back"
        if difference := describe_difference(facts, self._facts(action)):
            return difference
        points = self._compared_points(action)
        fraction = LOOSE_FRACTION if has_known_labels(proposal) else STRICT_FRACTION
        if points and not surface_unchanged(screen, self.surface, points, fraction):
            return "the screen changed at this place"
        return describe_difference(facts, self._facts(action)) if points else ""

    def _no_approver(self, action: Action, decision: Decision, picture: str = "") -> RunStoppedError:
        self._record(action, decision, picture, "nobody", "")
        description = describe_action(self.redactor.redact_action(action))
        return RunStoppedError(
            f"'{description}' needs a person's approval ({decision.describe()}), and there is no "
            "terminal to ask at; run the command in a terminal, or choose --policy unattended, which denies such "
            "actions, or --approve never, which allows them"
        )

    def _store_screenshot(self, action: Action, screen: Screen) -> str:
        """Store the screen with the action drawn on it and return its path within the run's folder."""
        self._screenshot_count += 1
        name = f"{SCREENSHOT_FOLDER}/{self._screenshot_count:04}.png"
        click = self._last_click if isinstance(action, TypeText | PressKeys) else None
        with disk_errors(self.folder):
            (self.folder / SCREENSHOT_FOLDER).mkdir(exist_ok=True)
            stored_screen = self.redactor.redact_screen(screen)
            draw_action(stored_screen, action, None if click is None else (click.x, click.y)).save(self.folder / name)
        return name

    def _target_note(self, proposal: Proposal) -> str:
        """Return what an action would touch; without facts, where keyboard input most likely goes."""
        if proposal.facts is not None:
            return describe_target(proposal)
        if not isinstance(proposal.action, TypeText | PressKeys):
            return ""
        if self._last_click is None:
            return ", into whatever has the keyboard focus"
        return f", after the click at ({self._last_click.x}, {self._last_click.y})"

    # records

    def _check_pointer(self) -> None:
        if self._watches_pointer:
            self._pointer.pause_if_moved()

    def _remember(self, action: Action) -> None:
        self._pointer.start(action)
        if isinstance(action, Click):
            self._last_click = Point(action.x, action.y)
        elif not isinstance(action, TypeText):  # a key, a scroll or a new page may move the focus elsewhere
            self._last_click = None

    def _protect_text(self, proposal: Proposal) -> None:
        """Keep the text of the action out of all events if it goes into a field for secrets."""
        action = proposal.action
        if isinstance(action, TypeText) and not is_placeholder(action.text):
            if proposal.field_kinds & SECRET_FIELDS:
                self.redactor.add(action.text)
            first, _, rest = action.text.partition("\t")
            if proposal.facts is not None and first and rest.strip("\t\n"):  # Tab leads to a field that is not known
                for part in rest.split("\t"):
                    self.redactor.add(part)

    def _emit_decision(self, proposal: Proposal, decision: Decision) -> None:
        facts = asdict(proposal.facts) if proposal.facts is not None else None
        if facts is not None:
            facts["url"] = strip_userinfo(facts["url"])
            facts = cut_strings(facts, MAX_FACT_CHARS)  # type: ignore[assignment]
        self._emit(
            "decision",
            action=proposal.action,
            effect=decision.effect,
            rule=decision.rule,
            layer=decision.layer,
            source=decision.source,
            reason=decision.reason,
            screen_owner="user" if self.is_user_owned else "agent",
            facts=facts,
        )

    def _record(
        self, action: Action, decision: Decision, picture: str, answer: str, reason: str, edited: Action | None = None
    ) -> None:
        waited_s, self._prompt.question_s = round(self._prompt.question_s, 3), 0.0
        facts: dict[str, object] = {"answer": answer, "reason": reason, "rule": decision.rule, "waited_s": waited_s}
        if edited is not None:
            facts |= {"edited": edited, "targets": describe_points(self.surface, edited)}
        self._emit("approval", action=action, picture=picture, **facts)

    def _emit(self, event: str, **facts: object) -> None:
        self._write(event, **self.redactor.redact(facts))
