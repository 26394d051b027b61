"""SurfaceOptions: what a surface is opened with.

A plugin, that is a module of `envs.surfaces`, exports `open_surface(options: SurfaceOptions) -> Surface`, which raises
UsageError for options that do not apply to its kind of screen. It may export `check_options(options) -> list[str]`,
which opens nothing and returns every reason for which the surface could not be opened now, one sentence each: a run
asks for it before a model is loaded.

`HOLDS_WRITES = True` in the module says that `hold_writes` applies; its surfaces are `SupportsHeldWrites`
(`actions/held_writes.py`).

Beyond the contract in `actions/surface.py` a surface may have:

    is_user_owned: bool            whether the screen or device belongs to the user: each action then needs approval
    pointer() -> (x, y)            position of the pointer in pixels of the last Screen: a mouse moved by the user
                                   pauses the run
    keep_focus() -> Callable       return a function that gives the keyboard focus back to where it is at this call; it
                                   returns False on failure, and nothing is typed then
    targets()                      the visible elements with their places, for `agent replay`
    goto(address), evaluate(js), url   a page for a task or the user, never for a model; MiniWoB++ pages need them
    is_working() -> bool           whether something that was started and is not awaited any more still runs
    busy() -> bool, pop_notices() -> str  whether something is loading; what happened since perform() returned
"""

from __future__ import annotations

from dataclasses import dataclass

from envs.network.rules import PUBLIC_HOSTS, NetworkRules


@dataclass(frozen=True)
class SurfaceOptions:
    """Options of every kind of surface.

    Args:
        where: The part of `--surface NAME:WHERE` behind the colon, "" without one.
        url: Address to start from.
        width: Width of the page or virtual screen, CSS pixels.
        height: Height of the page or virtual screen, CSS pixels.
        headed: Show the browser's window.
        window: Title of the only window to see and act in.
        program: Command line of a program to start on a virtual desktop.
        share: Folders that the programs of a virtual desktop may read and write.
        network: What the browser of the surface may connect to, besides `url`.
        hold_writes: Hold requests that would change something until a person lets them be sent.
        read_elements: Read the elements of the screen even where that takes seconds, as on a real phone.
    """

    where: str = ""
    url: str = ""
    width: int = 1288
    height: int = 728
    headed: bool = False
    window: str = ""
    program: str = ""
    share: tuple[str, ...] = ()
    network: NetworkRules = PUBLIC_HOSTS
    hold_writes: bool = False
    read_elements: bool = False
