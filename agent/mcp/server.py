"""MCP server: tools for other agents to see a screen, act on it and run whole tasks."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import Field

from actions import ACTION_TYPES, CONTROL_ACTIONS, Action, ActionDeniedError, Error, Screen
from agent.config import Settings
from agent.mcp.session import McpSession
from agent.safety.signals import exit_on_signals
from agent.see.elements import elements
from agent.see.grounding import count, ground
from agent.see.reading import read_text
from agent.termination import TurnResult
from agent.ui.formatting import describe_action

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

INSTRUCTIONS = (
    "One screen: a browser page, a desktop or a phone. `screenshot` returns it. `act` carries out one action on the "
    "screen that was returned last (points in its pixels, from the top left) and returns the screen after it. "
    "`see_ground`, `see_count`, `see_elements` and `see_read` have this server's own model look at the screen, and "
    "return boxes and points in its pixels. `run_task` has the model carry out a whole task; `status` returns its "
    "state, `stop` ends it. An action that the guard refuses is not carried out; the error names what the user can "
    "change."
)
# Actions of a machine. Answers and questions are left to the client.
SurfaceAction: Any = Annotated[
    reduce(or_, (model for verb, model in ACTION_TYPES.items() if verb not in CONTROL_ACTIONS)),
    Field(discriminator="verb"),
]
Value = TypeVar("Value")


def make_server(session: McpSession) -> MCPServer:
    """Return an MCP server with the tools of a session."""
    import anyio.to_thread
    from mcp.server.mcpserver import Image, MCPServer
    from mcp.server.mcpserver.exceptions import ToolError

    server = MCPServer("pixelhand", instructions=INSTRUCTIONS)

    async def in_thread(call: Callable[[], Value]) -> Value:
        try:
            return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
        except ActionDeniedError as error:
            raise ToolError(f"refused by the guard: {error}") from None
        except Error as error:
            raise ToolError(str(error)) from None

    def to_image(screen: Screen) -> Image:
        return Image(data=_encode_png(screen), format="png")

    @server.tool(structured_output=False)
    async def screenshot() -> list[Any]:
        """Return the current screen as a PNG, and its size in pixels."""
        screen = await in_thread(session.screenshot)
        return [f"the screen is {screen.width}x{screen.height}", to_image(screen)]

    @server.tool(structured_output=False)
    async def act(action: SurfaceAction) -> list[Any]:
        """Carry out one action, like {"verb": "click", "x": 3, "y": 4}; return its result and the screen after it."""
        result = await in_thread(lambda: session.act(action))
        return [_describe_result(action, result), to_image(result.screen)]

    @server.tool()
    async def see_ground(description: str, points: bool = False) -> dict[str, Any]:
        """Find all objects on the screen that fit a description, with boxes or points."""
        return await in_thread(
            lambda: session.perceive(lambda screen, policy: ground(screen, description, policy, points=points))
        )

    @server.tool()
    async def see_count(description: str) -> dict[str, Any]:
        """Count the objects on the screen that fit a description, with a point on each."""
        return await in_thread(lambda: session.perceive(lambda screen, policy: count(screen, description, policy)))

    @server.tool()
    async def see_elements() -> dict[str, Any]:
        """List what can be operated on the screen, with kinds and boxes."""
        return await in_thread(lambda: session.perceive(elements))

    @server.tool()
    async def see_read(unit: Literal["line", "word"] = "line") -> dict[str, Any]:
        """Read the text on the screen by line or by word, with boxes."""
        return await in_thread(lambda: session.perceive(lambda screen, policy: read_text(screen, policy, unit=unit)))

    @server.tool()
    async def run_task(goal: str, max_steps: int = session.settings.max_steps, wait_s: float = 60.0) -> dict[str, Any]:
        """Carry out a task with the server's own model. Waits up to wait_s seconds; then use status."""
        return dict(await in_thread(lambda: session.run_task(goal, max_steps, wait_s)))

    @server.tool()
    async def status() -> dict[str, Any]:
        """Return the state of the task, its steps and last action; at its end status, cause, message and reward."""
        return session.status()

    @server.tool()
    async def stop() -> dict[str, Any]:
        """Stop the task after the action in progress."""
        return dict(await in_thread(session.stop))

    return server


def serve(settings: Settings) -> None:
    """Serve one session over standard input and output until the client disconnects, or a signal ends the process."""
    if settings.seed is None:
        settings = replace(settings, seed=0)
    session = McpSession(settings)
    session.safety()  # an invalid policy is reported at once, not to the client at its first action
    try:
        with exit_on_signals(session.close):
            make_server(session).run("stdio")
    finally:
        session.close()


def _describe_result(action: Action, result: TurnResult) -> str:
    screen, verdict = result.screen, result.verdict
    parts = [f"done: {describe_action(action)}", result.notice, f"the screen is {screen.width}x{screen.height}"]
    if verdict and verdict["done"]:
        parts.append(f"the page's task is over, reward {verdict['reward']}")
    return "; ".join(part for part in parts if part)


def _encode_png(screen: Screen) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(screen.pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
