"""SecretTyper: replaces {{NAME}} in a `type` action by the secret, right before it is typed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from actions import Action, ActionRejectedError, Answer, InvalidActionError, TypeText, UsageError
from actions.dispatch import Replacement
from actions.facts import ActionFacts
from actions.surface import SupportsMasking, SupportsSecretAreas, Surface
from agent.safety.freshness import describe_difference
from agent.safety.policy import Decision
from agent.safety.proposal import Proposal
from agent.safety.redaction import EventRedactor
from agent.safety.secret_forms import has_part
from agent.safety.secret_places import check_place
from agent.safety.secret_store import NAME, SecretStore, StoredSecret

PLACEHOLDER = re.compile(rf"\{{\{{({NAME.pattern})\}}\}}")
RULE = "secrets"


@dataclass(frozen=True)
class RequestedSecret:
    """A secret that an action asks for.

    Args:
        name: Its name.
        secret: What is known about it.
    """

    name: str
    secret: StoredSecret


def is_placeholder(text: str) -> bool:
    """Return whether a text is {{NAME}} and nothing else."""
    return PLACEHOLDER.fullmatch(text) is not None


class SecretTyper:
    """The secrets of one run.

    Args:
        surface: The surface that they are typed on.
        redactor: Keeps them out of events from their first use on.
        store: The secrets of the user.
    """

    def __init__(self, surface: Surface, redactor: EventRedactor, store: SecretStore) -> None:
        self._surface, self._redactor, self._store = surface, redactor, store

    def find(self, action: Action) -> RequestedSecret | None:
        """Return the secret that an action asks for, None if it asks for none.

        Raises:
            InvalidActionError: {{NAME}} stands beside other text, in another action than `type`, or names no secret.
        """
        if isinstance(action, Answer):
            return None
        texts = [value for name, value in action if isinstance(value, str) and name != "verb"]
        names = [match for text in texts for match in PLACEHOLDER.findall(text)]
        if not names:
            return None
        try:
            secrets = self._store.load()
        except UsageError as error:
            raise InvalidActionError(f"{{{{{names[0]}}}}} was not typed: {error}") from None
        unknown = next((name for name in names if name not in secrets), None)
        if unknown is not None:
            known = ", ".join(f"{{{{{name}}}}}" for name in sorted(secrets)) or "none"
            raise InvalidActionError(f"{{{{{unknown}}}}} was not typed: there is no such secret; there are: {known}")
        if not isinstance(action, TypeText):
            raise InvalidActionError(
                f"'{action.verb}' was not done: {{{{{names[0]}}}}} is a secret, which is only typed into a field"
            )
        if not is_placeholder(action.text):
            raise InvalidActionError(
                f"the text was not typed: {{{{{names[0]}}}}} stands beside other text; type it alone, and other text, "
                "Tab and Enter in actions of their own"
            )
        return RequestedSecret(names[0], secrets[names[0]])

    def decide(self, requested: RequestedSecret, proposal: Proposal, *, is_unattended: bool) -> Decision | None:
        """Return a refusal or a question about the place, None where the secret belongs there."""
        check = check_place(requested.secret.kind, requested.secret.places, proposal)
        if check.refusal:
            reason = f"{{{{{requested.name}}}}} was not typed: {check.refusal}"
            return Decision("deny", RULE, "guard", "the guard", reason, each_time=True)
        questions = [check.question] if check.question else []
        if not self._is_hidden(proposal):
            questions.append("the model's screenshots may show it")
        if not questions:
            return None
        reason = f"{{{{{requested.name}}}}} is a secret: {', and '.join(questions)}"
        return Decision("deny" if is_unattended else "ask", RULE, "guard", "the guard", reason, each_time=True)

    def _is_hidden(self, proposal: Proposal) -> bool:
        """Return whether the field will not show the text: it is masked, or one for passwords, which shows dots."""
        focus = proposal.facts.focus if proposal.facts is not None else None
        return focus is not None and (isinstance(self._surface, SupportsMasking) or focus.field == "password")

    def _hide_in_stored_screens(self) -> str:
        """Hide what may show the text in stored screenshots, and return what the model and the trace read about it."""
        if isinstance(self._surface, SupportsSecretAreas) and self._surface.add_secret_area():
            return "stored screenshots show the window with the secret gray from now on"
        self._redactor.hide_screens()
        return "stored screenshots are gray from now on, as the surface does not tell where the secret is shown"

    def insert(
        self, requested: RequestedSecret, proposal: Proposal, facts: Callable[[Action], ActionFacts | None], notice: str
    ) -> Replacement:
        """Return the action that types the secret, after the field was masked and compared once more.

        Args:
            requested: The secret.
            proposal: What was decided about.
            facts: Returns what an action would touch now.
            notice: What the model reads besides.

        Raises:
            ActionRejectedError: The secret cannot be read or hidden, or the field is another one now.
        """
        placeholder = f"{{{{{requested.name}}}}}"
        try:
            text = self._store.read_text(requested.name)
        except UsageError as error:
            raise ActionRejectedError(f"{placeholder} was not typed: {error}") from None
        self._redactor.add_secret(requested.name, text)
        if isinstance(self._surface, SupportsMasking) and proposal.facts is not None and not self._surface.mask_field():
            raise ActionRejectedError(f"{placeholder} was not typed: its field cannot be hidden in screenshots")
        if difference := describe_difference(proposal.facts, facts(proposal.action)):
            raise ActionRejectedError(f"{placeholder} was not typed: {difference}; look again")

        is_masked = isinstance(self._surface, SupportsMasking)
        if not is_masked:
            notice = "; ".join(filter(None, (notice, self._hide_in_stored_screens())))

        def hide(message: str) -> str:
            hidden = self._redactor.hide_secrets(message)
            if is_masked or not has_part(text, hidden):  # masked fields are not quoted in notices
                return hidden
            return f"{placeholder} was typed, and what the screen reported is left out: it has a part of the secret"

        return Replacement(TypeText(text=text), notice, hide)
