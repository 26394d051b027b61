"""Read what an action would touch in a page, and how it differs from the last capture.

The script runs in an isolated world of each document, which the page's own scripts cannot reach, and the element under
a point comes from the browser's own hit test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict, cast

from playwright.async_api import CDPSession, Dialog, Error, Frame, Page

from actions import Action, PressKeys, TypeText
from actions.facts import ActionFacts, ElementFacts
from envs.chromium.dialog import SignIn, button_labels, dialog_text

SCRIPT = Path(__file__).with_name("facts.js").read_text()
WORLD = "pixelhand"
MAX_DIALOG = 5000  # characters of a dialog's message
MAX_ROOTS = 8  # closed shadow roots within each other
MAX_FRAMES = 8  # of a page that are looked at
FRAME_S = 1.0  # for the answer of a frame with a process of its own
SILENCE_S = 10.0  # after which a frame that did not answer is asked again
CssPoint = tuple[float, float]


class _Element(TypedDict):
    role: str
    label: str
    target: str
    method: str
    field: str
    identity: str
    origin: str


class TargetRecord(TypedDict):
    """A visible element, as the script describes it."""

    role: str
    label: str
    field: str
    value: str
    box: tuple[float, float, float, float]  # left, top, width and height in CSS pixels


class _Focus(TypedDict):
    token: str
    element: _Element | None
    moved: bool
    altered: bool  # it has another label, form or kind than at the last capture
    frame: bool
    active: bool  # the frame has the page's focus
    opaque: bool  # the element may have a closed shadow root that is not known yet


@dataclass
class _World:
    """The isolated world of one frame's document."""

    session: CDPSession
    frame_id: str
    context_id: int = 0
    has_script: bool = False

    async def evaluate(self, expression: str) -> Any:
        """Return the JSON value of an expression, in the document that the frame shows now."""
        for is_last in (False, True):
            try:
                if not self.has_script:
                    await self._create()
                options = {"expression": expression, "contextId": self.context_id, "returnByValue": True}
                return _value(await self.session.send("Runtime.evaluate", options))
            except Error:  # another document is shown
                self.has_script = False
                if is_last:
                    raise
        return None

    async def _create(self) -> None:
        options: dict[str, Any] = {"frameId": self.frame_id, "worldName": WORLD}
        self.context_id = (await self.session.send("Page.createIsolatedWorld", options))["executionContextId"]
        _value(await self.session.send("Runtime.evaluate", {"expression": SCRIPT, "contextId": self.context_id}))
        self.has_script = True

    async def ask(self, function: str) -> dict[str, Any]:
        """Return the result of a function of the script, which knows the closed shadow root with the focus then."""
        result: dict[str, Any] = await self.evaluate(f"pixelhandFacts.{function}()")
        for _ in range(MAX_ROOTS):
            if not result["opaque"] or not await self._add_closed_root():
                break
            result = await self.evaluate(f"pixelhandFacts.{function}()")
        return result

    async def _add_closed_root(self) -> bool:
        """Tell the script the closed shadow root of the element with the focus; return whether it has one."""
        options = {"expression": "pixelhandFacts.host()", "contextId": self.context_id}
        host = (await self.session.send("Runtime.evaluate", options))["result"].get("objectId")
        if host is None:
            return False
        described = await self.session.send("DOM.describeNode", {"objectId": host, "depth": 0, "pierce": True})
        roots = [root for root in described["node"].get("shadowRoots", ()) if root["shadowRootType"] == "closed"]
        for root in roots:
            await self.call("function() { pixelhandFacts.addRoot(this) }", root["backendNodeId"])
        return bool(roots)

    async def call(self, function: str, backend_node_id: int, *arguments: float | None) -> Any:
        """Return the JSON value of a function that is called on a node."""
        node = {"backendNodeId": backend_node_id, "executionContextId": self.context_id}
        resolved = await self.session.send("DOM.resolveNode", node)
        options = {
            "functionDeclaration": function,
            "objectId": resolved["object"]["objectId"],
            "arguments": [{"value": argument} for argument in arguments],
            "returnByValue": True,
        }
        return _value(await self.session.send("Runtime.callFunctionOn", options))


@dataclass
class PageFacts:
    """The facts of one page.

    Args:
        page: The page.
        session: Its CDP session.
    """

    page: Page
    session: CDPSession
    _worlds: dict[str, _World] = field(default_factory=dict)  # by frame id
    _sessions: dict[Frame, CDPSession | None] = field(default_factory=dict)  # of frames; None in the page's process
    _silent: dict[Frame, float] = field(default_factory=dict)  # frames that did not answer, and when
    _main_id: str = ""
    _token: str = ""  # of the document at the last capture

    async def remember(self) -> None:
        """Remember what is shown now, in the page and its frames."""
        worlds = await self._all_worlds()
        tokens = await asyncio.gather(*(self._remember(world) for world in worlds))
        self._token = tokens[0]

    async def read(self, action: Action, points: Sequence[CssPoint]) -> ActionFacts:
        """Return what the action would touch now.

        Args:
            action: The action.
            points: Its points in CSS pixels.
        """
        main = await self._main()
        # Each answer of the browser takes a millisecond or more, so that what can be asked at once is.
        focus, *nodes = await asyncio.gather(self._focus(), *(_node_at(main, x, y) for x, y in points))
        places = zip(nodes, points, strict=True)
        hits = await asyncio.gather(*(self._describe(main, node, x, y) for node, (x, y) in places))
        changes = []
        has_input = bool(points) or isinstance(action, TypeText | PressKeys)
        if self._token and has_input and focus.token != self._token:
            changes.append("another page is shown")
        else:
            for point, (_, change) in zip(action.points(), hits, strict=True):
                if change:
                    changes.append(f"{change} ({point.x}, {point.y})")
            if isinstance(action, TypeText | PressKeys) and focus.change:
                changes.append(focus.change)
        return ActionFacts(
            url=self.page.url,
            document=focus.token,
            elements=tuple(element for element, _ in hits),
            focus=focus.element,
            changes=tuple(changes),
        )

    async def _main(self) -> _World:
        if not self._main_id:
            tree = await self.session.send("Page.getFrameTree")
            self._main_id = tree["frameTree"]["frame"]["id"]
        return self._world(self.session, self._main_id)

    def _world(self, session: CDPSession, frame_id: str) -> _World:
        if frame_id not in self._worlds or self._worlds[frame_id].session is not session:
            self._worlds[frame_id] = _World(session, frame_id)
        return self._worlds[frame_id]

    async def _all_worlds(self) -> list[_World]:
        """Return the world of the page, then those of its frames."""
        worlds = [await self._main()]
        if len(self.page.frames) == 1:
            return worlds
        tree = await self.session.send("Page.getFrameTree")
        worlds += [self._world(self.session, frame_id) for frame_id in _descendants(tree["frameTree"])]
        own = await asyncio.gather(*(self._own_process_world(frame) for frame in self.page.frames[1:]))
        worlds += [world for world in own if world is not None]
        return worlds[: MAX_FRAMES + 1]

    async def _own_process_world(self, frame: Frame) -> _World | None:
        """Return the world of a frame of another site; None if it shares its parent's process, or does not answer.

        A frame is silent whose script runs on, or whose navigation is held. The page is not to wait for it.
        """
        clock = asyncio.get_running_loop().time
        if clock() < self._silent.get(frame, -SILENCE_S) + SILENCE_S:
            return None
        self._silent.pop(frame, None)
        try:
            return await asyncio.wait_for(self._probe(frame), FRAME_S)
        except TimeoutError:
            self._silent[frame] = clock()
            return None

    async def _probe(self, frame: Frame) -> _World | None:
        """Return the world of a frame with a process of its own, once it has answered."""
        if frame not in self._sessions:
            try:
                self._sessions[frame] = await self.page.context.new_cdp_session(frame)
            except Error:  # "This frame does not have a separate CDP session"
                self._sessions[frame] = None
        session = self._sessions[frame]
        if session is None:
            return None
        try:
            tree = await session.send("Page.getFrameTree")
            world = self._world(session, tree["frameTree"]["frame"]["id"])
            await world.evaluate("0")
        except Error:  # it is gone, or navigated to another process
            self._sessions.pop(frame, None)
            return None
        return world

    async def _remember(self, world: _World) -> str:
        try:
            return str((await world.ask("remember"))["token"])
        except Error:
            if world.frame_id == self._main_id:
                raise
            return ""  # the frame is gone

    async def _focus(self) -> _FocusResult:
        worlds = await self._all_worlds()
        main = cast(_Focus, await worlds[0].ask("focus"))
        element, change, owner = main["element"], _focus_change(main), worlds[0]
        if main["frame"]:
            for world in reversed(worlds[1:]):
                try:
                    inner = cast(_Focus, await world.ask("focus"))
                except Error:
                    continue
                if inner["active"] and inner["element"] is not None and not inner["frame"]:
                    element, change, owner = inner["element"], change or _focus_change(inner), world
                    break
            else:
                change = change or ("the frame with the keyboard focus does not answer" if self._silent else "")
        return _FocusResult(main["token"], ElementFacts(**element) if element else None, change, owner)

    async def mask(self) -> bool:
        """Draw dots in place of the text of the focused field; return whether that worked."""
        focus = await self._focus()
        return focus.element is not None and bool(await focus.owner.evaluate("pixelhandFacts.hide()"))

    async def content(self) -> tuple[str, tuple[ElementFacts, ...]]:
        """Return the visible text and the controls of the page and its frames."""
        texts: list[str] = []
        elements: list[ElementFacts] = []
        for world in await self._all_worlds():
            try:
                content = await world.evaluate("pixelhandFacts.content()")
            except Error:
                if world.frame_id == self._main_id:
                    raise
                continue  # the frame is gone
            texts.append(content["text"])
            elements += [ElementFacts(**control) for control in content["controls"]]
        return "\n".join(texts), tuple(elements)

    async def targets(self) -> list[TargetRecord]:
        """Return the visible elements of the page; what its frames show is not among them."""
        return cast(list[TargetRecord], await (await self._main()).evaluate("pixelhandFacts.targets()"))

    async def _at(self, world: _World, x: float, y: float, depth: int = 0) -> tuple[ElementFacts, str]:
        """Return the element at a point of a frame, and how the place differs from the last capture."""
        await world.evaluate("0")  # a world of the document that is shown now
        return await self._describe(world, await _node_at(world, x, y), x, y, depth)

    async def _describe(
        self, world: _World, hit: dict[str, Any] | None, x: float, y: float, depth: int = 0
    ) -> tuple[ElementFacts, str]:
        """Return the same for a node that `_node_at` returned."""
        if hit is None:
            return ElementFacts(), ""
        frame_id, is_local, outer_change = hit.get("frameId", world.frame_id), True, ""
        if frame_id != world.frame_id:  # a frame in the same process
            outer_change = str(await world.evaluate(f"pixelhandFacts.place({round(x)}, {round(y)})"))
            world, is_local = self._world(world.session, frame_id), False
            await world.evaluate("0")
        result = await world.call(
            "function(x, y) { return pixelhandFacts.at(this, x, y) }",
            hit["backendNodeId"],
            *((x, y) if is_local else (None, None)),
        )
        if result is None:  # a document without elements, as that of a frame which has not loaded yet
            return ElementFacts(), outer_change
        change, frame, start = result.pop("change"), result.pop("frame"), result.pop("start")
        change = outer_change or change
        if not result.pop("seen") and self._token and len(self.page.frames) <= MAX_FRAMES:
            change = change or "a new frame is there"  # or another document in it
        if frame and depth < MAX_FRAMES and not change:
            inner = await self._frame_at(start, x, y, is_local=is_local and depth == 0)
            if inner is not None:
                return await self._at(inner, x - start[0], y - start[1], depth + 1)
            change = "the frame there does not answer" if self._silent else ""
        return ElementFacts(**result), change

    async def _frame_at(self, origin: Sequence[float], x: float, y: float, *, is_local: bool) -> _World | None:
        """Return the world of the frame of another site whose content begins at `origin`."""
        for frame in self.page.frames[1:]:
            world = await self._own_process_world(frame)
            if world is None:
                continue
            try:
                box = await (await frame.frame_element()).bounding_box()
            except Error:
                continue
            if box is None or not is_local:
                continue
            is_inside = box["x"] <= x < box["x"] + box["width"] and box["y"] <= y < box["y"] + box["height"]
            if is_inside and abs(box["x"] - origin[0]) <= 40 and abs(box["y"] - origin[1]) <= 40:  # borders
                return world
        return None


@dataclass(frozen=True)
class _FocusResult:
    token: str
    element: ElementFacts | None
    change: str  # how it differs from the last capture, "" if it does not
    owner: _World  # of the frame that has the element


class FactsReader:
    """The facts of all pages of a browser context.

    Args:
        timeout_s: Seconds after which a page that does not answer counts as hung.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._pages: dict[Page, PageFacts] = {}

    async def remember(self, page: Page, session: CDPSession) -> None:
        """Remember what a page shows, for the comparison with what is there when an action is due."""
        try:
            await asyncio.wait_for(self._of(page, session).remember(), self._timeout_s)
        except (Error, TimeoutError):  # it navigates or hangs: the next capture shows it
            self._pages.pop(page, None)

    async def read(self, page: Page, session: CDPSession, action: Action, points: Sequence[CssPoint]) -> ActionFacts:
        """Return what an action would touch on a page now."""
        try:
            return await asyncio.wait_for(self._of(page, session).read(action, points), self._timeout_s)
        except (Error, TimeoutError):
            self._pages.pop(page, None)
            return ActionFacts(url=page.url, changes=("the page does not answer",))

    async def content(self, page: Page, session: CDPSession) -> tuple[str, tuple[ElementFacts, ...]] | None:
        """Return the visible text and the controls of a page; None if it does not answer."""
        try:
            return await asyncio.wait_for(self._of(page, session).content(), self._timeout_s)
        except (Error, TimeoutError):
            self._pages.pop(page, None)
            return None

    async def targets(self, page: Page, session: CDPSession) -> list[TargetRecord] | None:
        """Return the visible elements of a page; None if it does not answer."""
        try:
            return await asyncio.wait_for(self._of(page, session).targets(), self._timeout_s)
        except (Error, TimeoutError):
            self._pages.pop(page, None)
            return None

    async def mask(self, page: Page, session: CDPSession) -> bool:
        """Hide the text of a page's focused field in screenshots; return whether that worked."""
        try:
            return await asyncio.wait_for(self._of(page, session).mask(), self._timeout_s)
        except (Error, TimeoutError):
            return False

    def _of(self, page: Page, session: CDPSession) -> PageFacts:
        self._pages = {known: facts for known, facts in self._pages.items() if not known.is_closed()}
        if page not in self._pages:
            self._pages[page] = PageFacts(page, session)
        return self._pages[page]


async def read_dialog(drawn: Page, dialog: Dialog | SignIn, url: str, points: Sequence[CssPoint]) -> ActionFacts:
    """Return what input would touch in a drawn dialog.

    Args:
        drawn: The page that draws it.
        dialog: The dialog.
        url: The address of the page that it belongs to.
        points: Points in CSS pixels.
    """
    session = await drawn.context.new_cdp_session(drawn)
    facts = PageFacts(drawn, session)
    origin = dialog.origin if isinstance(dialog, SignIn) else ""  # not that of the page which draws it

    def of_dialog(element: ElementFacts) -> ElementFacts:
        return replace(element, origin=origin)

    try:
        world = await facts._main()
        elements = tuple([of_dialog((await facts._at(world, x, y))[0]) for x, y in points])
        focus = (await facts._focus()).element
    finally:
        await session.detach()
    ok, cancel = button_labels(dialog)
    is_cancel_focused = focus is not None and focus.role == "button" and focus.label == cancel
    return ActionFacts(
        url=url,
        document=f"dialog {id(dialog)}",
        window=dialog_text(dialog)[:MAX_DIALOG],
        elements=elements,
        focus=of_dialog(focus) if focus is not None else None,
        enter=None
        if is_cancel_focused
        else ElementFacts("button", ok, identity=f"dialog {id(dialog)} ok", origin=origin),
    )


async def mask_dialog(drawn: Page, timeout_s: float) -> bool:
    """Hide the text of the focused field of a drawn dialog; return whether that worked."""
    session = await drawn.context.new_cdp_session(drawn)
    try:
        return await asyncio.wait_for(PageFacts(drawn, session).mask(), timeout_s)
    except (Error, TimeoutError):
        return False
    finally:
        await session.detach()


async def _node_at(world: _World, x: float, y: float) -> dict[str, Any] | None:
    """Return what the browser's hit test finds at a point of a frame, None for nothing, as in a PDF."""
    options = {"x": round(x), "y": round(y), "includeUserAgentShadowDOM": False}
    try:
        return cast(dict[str, Any], await world.session.send("DOM.getNodeForLocation", options))
    except Error:
        return None


def _focus_change(focus: _Focus) -> str:
    if focus["moved"]:
        return "the keyboard focus is somewhere else"
    return "the element with the keyboard focus has another label or target" if focus["altered"] else ""


def _descendants(tree: dict[str, Any]) -> list[str]:
    ids = []
    for child in tree.get("childFrames", ()):
        ids += [child["frame"]["id"], *_descendants(child)]
    return ids


def _value(result: dict[str, Any]) -> Any:
    if "exceptionDetails" in result:
        details = result["exceptionDetails"]
        raise Error(str(details.get("exception", {}).get("description", details.get("text", "a script failed"))))
    return result["result"].get("value")
