"""Evidence of a surface about what is true of its screen, gathered without the model."""

from __future__ import annotations

from dataclasses import dataclass

from actions.facts import ElementFacts


@dataclass(frozen=True)
class RequestRecord:
    """A request of a page that was answered or failed.

    Args:
        method: The HTTP method in upper case.
        url: The address.
        status: The HTTP status of the answer, 0 for a request that failed.
        is_document: The answer is the document of a tab.
    """

    method: str
    url: str
    status: int
    is_document: bool = False

    @property
    def is_write(self) -> bool:
        """Whether the request asks a server to change something."""
        return self.method not in ("GET", "HEAD", "OPTIONS", "TRACE")

    @property
    def is_accepted(self) -> bool:
        """Whether the server answered that it did what was asked."""
        return 200 <= self.status < 400


@dataclass(frozen=True)
class ScreenEvidence:
    """What a surface tells about its screen now.

    Args:
        url: Address of the shown page; None for surfaces without addresses.
        titles: Title of the shown page, or of all windows; the names of the activity and its app on a phone.
        text: The visible text of the page; None where the surface does not know it.
        elements: The controls of the page; None where the surface does not know them.
        requests: The requests of all pages since the surface was opened, oldest first; None where they are unknown.
    """

    url: str | None = None
    titles: tuple[str, ...] = ()
    text: str | None = None
    elements: tuple[ElementFacts, ...] | None = None
    requests: tuple[RequestRecord, ...] | None = None
