"""Facts of a surface about what an action would touch, gathered without the model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ElementFacts:
    """One element or widget of the shown screen.

    Args:
        role: Its role ("button", "link", "textbox"), "" if unknown.
        label: The text that it shows, or its accessible name.
        target: Where it leads: a link's URL, or the URL that its form is submitted to; "" if nowhere or unknown.
        method: The HTTP method of its form in upper case, "" outside forms.
        field: Kind of a field ("text", "search", "email", "number", "url", "tel", "date", "file", "password", "otp",
            "card"), "" if it takes no input.
        identity: Opaque; equal for the same element of the same document, "" if unknown.
        origin: Origin of the document that the element belongs to, which is a frame's own; "" outside browsers.
    """

    role: str = ""
    label: str = ""
    target: str = ""
    method: str = ""
    field: str = ""
    identity: str = ""
    origin: str = ""


@dataclass(frozen=True)
class ActionFacts:
    """What an action would touch if it were performed now.

    Two equal values mean that nothing which matters changed in between.

    Args:
        url: The page's address, "" outside browsers.
        document: Opaque; changes with each document, window or activity that is shown.
        app: The program's window class, or the Android package.
        window: The window's title, or the Android activity.
        pid: Process that owns the window, 0 if unknown.
        elements: The element under each of the action's points, in their order.
        focus: The element that receives keyboard input, None if unknown.
        enter: The control that Enter activates although it may not have the focus, such as OK of a dialog; None if
            there is none.
        changes: How the screen differs from the last capture where it matters to the action, one clause each
            ("another page is shown", "the element at (10, 20) is another one"); empty if it agrees.
    """

    url: str = ""
    document: str = ""
    app: str = ""
    window: str = ""
    pid: int = 0
    elements: tuple[ElementFacts, ...] = ()
    focus: ElementFacts | None = None
    changes: tuple[str, ...] = ()
    enter: ElementFacts | None = None
