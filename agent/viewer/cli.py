"""Command line of `agent view`: show a run in a browser tab."""

from __future__ import annotations

from typing import Annotated

import typer

from agent.cli_options import Runs, make_app

app = make_app()


@app.command()
def view(
    run: Annotated[str, typer.Argument(help="An id, its beginning, a folder, or: last.")] = "last",
    runs: Runs = None,
) -> None:
    """Show a run in a browser tab, until Ctrl-C: its screens, actions, timings and outcome.

    A run that is still running is followed, and nothing can be asked of it; `agent run --view` serves a page where you
    approve, steer and take over.
    """
    from agent import config
    from agent.interaction import require_viewer
    from agent.session import runs_root
    from agent.trace import find_run

    folder = find_run(runs_root(config.load({"runs": runs})), run)
    require_viewer()
    from agent.viewer.server import ViewerServer
    from agent.viewer.state import ViewerState
    from agent.viewer.trace_follower import TraceFollower

    state = ViewerState(note="only shown: nothing can be asked of this run here")
    follower = TraceFollower(folder, state)
    with ViewerServer(state) as server:
        print(f"{'view':8} {server.url}\n{'':8} Ctrl-C ends the viewer", flush=True)
        follower.follow()
