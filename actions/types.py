"""The action types, one frozen pydantic model each.

Coordinates are integer pixels of the Screen that the policy was given; `dispatch` checks that they lie on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple, Union, overload

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from actions.errors import InvalidActionError
from actions.keys import normalize_key
from actions.suggest import suggest

MAX_TEXT = 10_000  # characters of a typed text, an answer or a question
MAX_WAIT_S = 60.0

Coordinate = Annotated[StrictInt, Field(ge=-(2**31), le=2**31 - 1)]
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Seconds = Annotated[float, Field(ge=0, le=MAX_WAIT_S, allow_inf_nan=False)]
Modifier = Literal["ctrl", "shift", "alt", "meta"]


class Point(NamedTuple):
    """A pixel of the screen that the policy was given."""

    x: Coordinate
    y: Coordinate


def _printable(text: str) -> str:
    bad = sorted({c for c in text if (ord(c) < 32 and c not in "\n\t") or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF})
    if bad:
        raise ValueError(f"has characters that cannot be typed: {', '.join(f'U+{ord(c):04X}' for c in bad[:5])}")
    return text


class BaseAction(BaseModel):
    """Base of the action types: frozen, and closed (an unknown field is an error)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def points(self) -> tuple[Point, ...]:
        """Return the pixels that the action names, for bounds checks and for drawing."""
        return ()


class _AtPoint(BaseAction):
    x: Coordinate
    y: Coordinate

    def points(self) -> tuple[Point, ...]:
        return (Point(self.x, self.y),)


class Click(_AtPoint):
    """Click a mouse button (or tap) at a point, once or several times, with modifier keys held."""

    verb: Literal["click"] = "click"
    button: Literal["left", "right", "middle"] = "left"
    count: Annotated[StrictInt, Field(ge=1, le=3)] = 1
    modifiers: tuple[Modifier, ...] = ()


class Move(_AtPoint):
    """Move the pointer to a point without pressing."""

    verb: Literal["move"] = "move"


class Drag(BaseAction):
    """Press at the first point, move through the others, release at the last; a single point starts at the pointer."""

    verb: Literal["drag"] = "drag"
    path: Annotated[tuple[Point, ...], Field(min_length=1, max_length=100)]
    modifiers: tuple[Modifier, ...] = ()

    def points(self) -> tuple[Point, ...]:
        return self.path


class Scroll(BaseAction):
    """Turn the wheel by notches at a point, or where the pointer is; `down` > 0 shows what is further down."""

    verb: Literal["scroll"] = "scroll"
    x: Coordinate | None = None
    y: Coordinate | None = None
    down: Annotated[StrictInt, Field(ge=-100, le=100)] = 0
    right: Annotated[StrictInt, Field(ge=-100, le=100)] = 0

    @model_validator(mode="after")
    def _whole_point(self) -> Scroll:
        if (self.x is None) != (self.y is None):
            raise ValueError("x and y are given both or not at all")
        return self

    def points(self) -> tuple[Point, ...]:
        return () if self.x is None or self.y is None else (Point(self.x, self.y),)


class LongPress(_AtPoint):
    """Press at a point and hold for `seconds`."""

    verb: Literal["long_press"] = "long_press"
    seconds: Seconds = 1.0


class TypeText(BaseAction):
    """Type a text where the focus is, exactly as given."""

    verb: Literal["type"] = "type"
    text: Text

    _printable = field_validator("text")(_printable)


class PressKeys(BaseAction):
    """Press keys in order and release them in reverse: a chord like ctrl+c, or one key like enter."""

    verb: Literal["press"] = "press"
    keys: Annotated[tuple[str, ...], Field(min_length=1, max_length=8)]

    @field_validator("keys")
    @classmethod
    def _known(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(normalize_key(key) for key in keys)


class Open(BaseAction):
    """Open an address in the browser, or an app by its name."""

    verb: Literal["open"] = "open"
    target: Annotated[str, Field(min_length=1, max_length=4096)]

    _printable = field_validator("target")(_printable)


class Back(BaseAction):
    """Go back: the browser's history or the phone's back button."""

    verb: Literal["back"] = "back"


class Home(BaseAction):
    """Go to where this surface started: the phone's home screen or the first page."""

    verb: Literal["home"] = "home"


class Wait(BaseAction):
    """Wait `seconds` for the screen to change."""

    verb: Literal["wait"] = "wait"
    seconds: Seconds = 1.0


class Answer(BaseAction):
    """Give the answer that the task asks for, and end the run."""

    verb: Literal["answer"] = "answer"
    text: Text


class Ask(BaseAction):
    """Ask the user a question that only they can decide."""

    verb: Literal["ask"] = "ask"
    question: Text


class Done(BaseAction):
    """Report that the task is finished, or that it cannot be done."""

    verb: Literal["done"] = "done"
    status: Literal["success", "failure"] = "success"
    message: Text = ""


Action = Annotated[
    Union[  # noqa: UP007 - pydantic reads the union
        Click, Move, Drag, Scroll, LongPress, TypeText, PressKeys, Open, Back, Home, Wait, Answer, Ask, Done
    ],
    Field(discriminator="verb"),
]
ACTION_ADAPTER: TypeAdapter[Action] = TypeAdapter(Action)

ACTION_TYPES: dict[str, type[BaseAction]] = {
    model.model_fields["verb"].default: model
    for model in (
        Click,
        Move,
        Drag,
        Scroll,
        LongPress,
        TypeText,
        PressKeys,
        Open,
        Back,
        Home,
        Wait,
        Answer,
        Ask,
        Done,
    )
}
CONTROL_ACTIONS = frozenset({"answer", "ask", "done"})  # for the loop; no surface performs them


@overload
def make_action(verb: Literal["press"], **fields: object) -> PressKeys: ...


@overload
def make_action(verb: str, **fields: object) -> Action: ...


def make_action(verb: str, **fields: object) -> Action:
    """Return the action of a verb's name and fields.

    Raises:
        InvalidActionError: the verb is unknown or the fields do not fit it.
    """
    return parse_action({"verb": verb, **fields})


def parse_action(data: object) -> Action:
    """Return the action of plain data such as `{"verb": "click", "x": 1, "y": 2}`.

    Raises:
        InvalidActionError: the data fits no action type; the message names the first field that is wrong.
    """
    verb = data.get("verb") if isinstance(data, Mapping) else None
    if isinstance(verb, str) and verb not in ACTION_TYPES:
        hint = suggest(verb[:40], ACTION_TYPES) or f" Verbs: {', '.join(ACTION_TYPES)}."
        raise InvalidActionError(f"unknown verb {verb[:40]!r}.{hint}")
    try:
        return ACTION_ADAPTER.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) if str(part).isprintable() else repr(part) for part in first["loc"]) or "action"
        raise InvalidActionError(f"{where[:80]}: {first['msg'].removeprefix('Value error, ')[:300]}") from None
