"""Proposal: an action together with what is known about the screen it would be performed on, as rules match it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import SplitResult, urlsplit

from actions import Action, ActionDeniedError, Click, Drag, LongPress, Open, PressKeys, TypeText
from actions.facts import ActionFacts, ElementFacts
from agent.safety.url_policy import WEB_SCHEMES, add_scheme, is_app_name
from agent.safety.words import has_word
from envs.network.hosts import normalize_host

BROWSER = "browser"
DEFAULT_PORTS = {"http": 80, "https": 443}
SECRET_FIELDS = frozenset({"password", "otp", "card"})  # what is typed there is not shown, stored or approved twice
MAX_CONTENT_CHARS = 80  # of a label that is not that of a control: longer ones are text of the page
MAX_LINK_WORDS = 3  # of a link that counts as a control
_CONTROL_ROLES = frozenset({"button", "menuitem", "menuitemcheckbox", "tab", "switch", "option", "checkbox", "radio"})
_NO_PAGES = ("about:blank", "about:srcdoc", "chrome-error://chromewebdata/")


@dataclass(frozen=True)
class HostAndPort:
    """A host and its port, normalized.

    Args:
        name: The host as a browser looks it up.
        port: Its port.
        is_default_port: Whether the port is the scheme's own.
    """

    name: str
    port: int
    is_default_port: bool

    def __str__(self) -> str:
        return self.name if self.is_default_port else f"{self.name}:{self.port}"


def host_of(url: str) -> HostAndPort | None:
    """Return the host of a web address, None for other addresses and invalid ones."""
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        if scheme in ("ws", "wss"):
            scheme = {"ws": "http", "wss": "https"}[scheme]
        if scheme not in WEB_SCHEMES:
            return None
        default = DEFAULT_PORTS[scheme]
        port = default if parts.port is None else parts.port
        return HostAndPort(normalize_host(parts.hostname or ""), port, port == default)
    except (ValueError, ActionDeniedError):
        return None


def is_page_without_host(url: str) -> bool:
    """Return whether an address is that of an empty page or of the browser's own error page."""
    return url in _NO_PAGES


@dataclass(frozen=True)
class Proposal:
    """An action that the guard decides about.

    Args:
        action: The action.
        surface: The surface's name.
        is_user_owned: Whether the screen is the user's own.
        facts: What the action would touch; None where the surface does not know.
        types_stored_secret: Whether the text is a stored secret, and the field one in a place that it belongs to.
    """

    action: Action
    surface: str
    is_user_owned: bool
    facts: ActionFacts | None = None
    types_stored_secret: bool = False

    @property
    def url(self) -> str:
        """The address of the page that is shown, "" outside browsers."""
        return self.facts.url if self.facts is not None else ""

    @property
    def app(self) -> str:
        """The program or package that is acted on; for an action that opens an app, that app."""
        if isinstance(self.action, Open) and self.surface != BROWSER:
            return self.action.target
        return self.facts.app if self.facts is not None else ""

    @cached_property
    def host(self) -> HostAndPort | None:
        """The host of the page that is acted on; for an action that opens an address, of that address."""
        if not isinstance(self.action, Open):
            return host_of(self.url)
        if self.surface != BROWSER and is_app_name(self.action.target):
            return None
        return host_of(add_scheme(self.action.target))

    @cached_property
    def touched(self) -> tuple[ElementFacts, ...]:
        """The elements that the action is about: those under its points, or the one with the keyboard focus."""
        if self.facts is None:
            return ()
        if self.action.points():
            return self.facts.elements
        if isinstance(self.action, TypeText | PressKeys) and self.facts.focus is not None:
            return (self.facts.focus,)
        return ()

    @property
    def is_target_unknown(self) -> bool:
        """Whether the action uses an element of which neither role nor label are known."""
        if not (self.action.points() or isinstance(self.action, TypeText | PressKeys)):
            return False
        return not self.touched or any(not (e.role or e.label or e.field) for e in self.touched)

    @cached_property
    def activated(self) -> tuple[ElementFacts, ...]:
        """The elements that the action would activate, as a click on a button or Enter in a form does."""
        action = self.action
        if isinstance(action, TypeText | PressKeys):
            activated = tuple(element for element in self.touched if _activates(action, element))
            enter = self.facts.enter if self.facts is not None and submits(action) else None
            return activated if enter is None else (*activated, enter)
        if isinstance(action, Click) and action.button == "right":
            return ()
        if isinstance(action, Click | LongPress | Drag):
            return tuple(element for element in self.touched if not element.field)
        return ()

    @property
    def is_activation_unknown(self) -> bool:
        """Whether typed text leaves the focused element by Tab and may then activate another one."""
        if not isinstance(self.action, TypeText) or not self.touched or self.touched[0].role == "window":
            return False
        _, _, rest = self.action.text.partition("\t")
        return any(character in rest for character in "\n ")

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels that name an effect: of activated controls, not of text fields and plain links."""
        return tuple(element.label for element in self.activated if element.label and self._is_control(element))

    @cached_property
    def field_kinds(self) -> frozenset[str]:
        """The kinds of the editable fields that the action touches, also those that their labels name."""
        kinds: set[str] = set()
        for element in self.touched:
            if element.field:
                kinds.add(element.field)
                kinds.update(filter(None, (has_word(element.label, [kind]) for kind in ("password", "otp", "card"))))
        return frozenset(kinds)

    @cached_property
    def targets(self) -> tuple[ElementFacts, ...]:
        """The activated elements that lead somewhere."""
        return tuple(element for element in self.activated if element.target)

    def is_same_origin(self, target: str) -> bool:
        """Return whether an address belongs to the page's own origin."""
        parts = _split(target)
        if parts is None or parts.scheme.lower() in ("mailto", "tel", "sms", "data", "blob", "file", "intent"):
            return False
        if parts.scheme.lower() in ("javascript", "about", ""):
            return True  # runs in the page
        page = _split(self.url)
        target_host, page_host = host_of(target), host_of(self.url)
        if page is None or target_host is None:
            return False
        return page.scheme.lower() == parts.scheme.lower() and page_host == target_host

    def is_plain_link(self, element: ElementFacts) -> bool:
        """Return whether an element is a link to another web page, which a click opens and nothing else."""
        if element.role != "link" or element.method or element.field or host_of(element.target) is None:
            return False
        return element.target.partition("#")[0] != self.url.partition("#")[0] or "#" not in element.target

    def _is_section_link(self, element: ElementFacts) -> bool:
        """Return whether an element is a link to a part of the shown page; "#" alone is a script's."""
        page, _, fragment = element.target.partition("#")
        return element.role == "link" and page == self.url.partition("#")[0] and bool(fragment)

    def _is_control(self, element: ElementFacts) -> bool:
        if element.field:
            return False
        if self.is_plain_link(element) or self._is_section_link(element):
            return len(element.label.split()) <= MAX_LINK_WORDS
        return element.role in _CONTROL_ROLES or bool(element.method) or len(element.label) <= MAX_CONTENT_CHARS


def submits(action: TypeText | PressKeys) -> bool:
    """Return whether keyboard input has an Enter, which submits a form and activates a control."""
    return "\n" in action.text if isinstance(action, TypeText) else "enter" in action.keys


def _activates(action: TypeText | PressKeys, element: ElementFacts) -> bool:
    """Return whether keyboard input activates the focused element: by Enter, or a control by a space."""
    has_space = " " in action.text if isinstance(action, TypeText) else "space" in action.keys
    return submits(action) or (has_space and not element.field)


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None
