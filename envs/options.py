"""What a surface is opened with, the same for every kind. Knows settings; knows no machine.

A module of envs.surfaces exports `open_surface(opening: Opening) -> Surface`. It reads what concerns its kind of
screen, and raises UsageError for what it was given and cannot follow.

Beyond the contract in actions/surface.py a Surface may offer, and others use where it is there:
    personal: bool                 whether it is somebody's own screen or device: then each action is asked for
    pointer() -> (x, y)            where the pointer is, in pixels of the last Screen: a moved mouse pauses a run
    keep_focus() -> Callable       a function that gives the keyboard's focus back to where it is at this call; what it
                                   returns is False where that failed: then nothing is typed
    goto(address), evaluate(js), url   a page for a task or a person, never for a model: practice pages need them
    busy() -> bool, news() -> str  whether more is to come; what happened since perform() returned
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SurfaceOptions:
    """where: what stands behind the colon of `--on desktop:virtual`, "" where nothing does.

    width and height: of the page, or of a virtual screen, in its own points. program: a command to start there.
    """

    where: str = ""
    url: str = ""
    width: int = 1288
    height: int = 728
    headed: bool = False
    window: str = ""
    program: str = ""
