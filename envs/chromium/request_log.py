"""RequestLog: which writes and documents of the pages their servers answered, and how."""

from __future__ import annotations

from weakref import WeakSet

from playwright.async_api import BrowserContext, Error, Request, Response

from actions.evidence import RequestRecord
from envs.chromium.address import hide_userinfo

MAX_REQUESTS = 5000
# What reports on a person or prepares a page changes nothing that anybody asked for.
SIDE_TYPES = frozenset({"ping", "beacon", "cspviolationreport", "prefetch", "preflight"})


class RequestLog:
    """The writes, documents and fetched data of all pages, in the order of their answers.

    Args:
        context: The browser context of the pages.
    """

    def __init__(self, context: BrowserContext) -> None:
        self._records: list[RequestRecord] = []
        self._answered: WeakSet[Request] = WeakSet()  # their body may fail to load afterwards
        context.on("response", self._add_response)
        context.on("requestfailed", self._add_failure)

    @property
    def records(self) -> tuple[RequestRecord, ...]:
        """All records, oldest first."""
        return tuple(self._records)

    def _add_response(self, response: Response) -> None:
        self._answered.add(response.request)
        self._add(response.request, response.status)

    def _add_failure(self, request: Request) -> None:
        if request not in self._answered:
            self._add(request, 0)

    def _add(self, request: Request, status: int) -> None:
        if request.resource_type in SIDE_TYPES or len(self._records) >= MAX_REQUESTS:
            return
        try:
            is_document = request.is_navigation_request() and request.frame.parent_frame is None
        except Error:  # the request is older than its frame: the tab is about to open
            is_document = request.is_navigation_request()
        record = RequestRecord(request.method, hide_userinfo(request.url), status, is_document)
        if record.is_write or is_document or request.resource_type in ("xhr", "fetch"):
            self._records.append(record)
