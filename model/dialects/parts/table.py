"""Two-way action tables: one row per call of a family, from which parsing, formatting, schema and grammar follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from actions import CONTROL_ACTIONS, Action, InvalidActionError, make_action
from model.dialects.base import Values
from model.dialects.parts.arguments import Arguments, check_unknown, unknown_name
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.fields import Field
from model.dialects.parts.grammar import GrammarBuilder, Rule, literal, orders

Actions = tuple[Action, ...]
Result = Action | Actions


@dataclass(frozen=True)
class ActionSpec:
    """One row: a call by its name, the action it stands for, and how its arguments map to the action's attributes.

    A call that types can also name a place, and clear the field or press Enter: see `type_actions`.
    """

    name: str  # as the model writes it
    verb: str  # of the action
    fields: tuple[Field, ...] = ()  # the arguments, in the order in which they are written
    description: str = ""  # for prompts
    constants: Mapping[str, object] = field(default_factory=dict)  # attributes that the name alone determines
    offered: bool = True  # in prompts and the grammar where the surface has the verb; other rows are only understood
    needs: tuple[str, ...] = ()  # verbs of which the surface must have one, if not the row's own
    parse: Callable[[Arguments], Result] | None = None  # replaces the mapping of fields
    format: Callable[[Action, CoordinateMapper], Values | None] | None = None  # replaces it the other way
    writes: bool = True  # whether format_action may use the row

    @property
    def verbs(self) -> tuple[str, ...]:
        return self.needs or (self.verb,)

    @property
    def keys(self) -> tuple[str, ...]:
        """All accepted names of arguments."""
        return tuple(key for argument in self.fields for key in (argument.key, *argument.aliases))

    def to_actions(self, arguments: Arguments) -> Result:
        if self.parse is not None:
            return self.parse(arguments)
        attributes: Values = dict(self.constants)
        path: tuple[object, ...] = ()
        for argument in self.fields:
            values = argument.parse(arguments)
            points = values.pop("path", ())
            path += points if isinstance(points, tuple) else ()
            attributes |= values
        if self.verb == "type":
            return type_actions(**attributes)  # type: ignore[arg-type]
        return make_action(self.verb, **attributes, **({"path": path} if path else {}))

    def arguments_for(self, action: Action, mapper: CoordinateMapper) -> Values | None:
        """Return the call's arguments for an action, or None if this row cannot express it."""
        if not self.writes or action.verb not in (self.verb, *self.needs):
            return None
        if self.format is not None:
            return self.format(action, mapper)
        if action.verb != self.verb:
            return None
        names = [*self.constants, *(name for argument in self.fields for name in argument.attributes)]
        expressed = {**{name: getattr(action, name) for name in names if hasattr(action, name)}, **self.constants}
        if action != make_action(self.verb, **expressed):
            return None
        values: Values = {}
        for argument in self.fields:
            written = argument.format(action, mapper)
            if written is None:
                return None
            values |= written
        return values

    def rules(
        self,
        grammar: GrammarBuilder,
        head: str,
        label: Callable[[int, str], str],
        tail: str = "",
        *,
        permute: bool = False,
    ) -> Iterator[Rule]:
        """Yield the grammar of the call for each choice of its arguments, and in each order if `permute` is true.

        label: the text before an argument, by its place and name.
        """
        fields = {argument.key: argument for argument in self.fields if argument.in_grammar}
        for keys in orders(list(fields), [key for key in fields if fields[key].optional], permute=permute):
            lark, text = [literal(head)], head
            for place, key in enumerate(keys):
                rule = grammar.value((fields[key].lark or fields[key].rule)(grammar))
                lark += [literal(label(place, key)), rule.lark]
                text += label(place, key) + rule.longest
            yield Rule(" ".join([*lark, literal(tail)] if tail else lark), text + tail)


class ActionTable:
    """The rows of one tool. Several rows may not share a name."""

    def __init__(self, *rows: ActionSpec) -> None:
        self.rows = {row.name: row for row in rows}

    def offered(self, verbs: frozenset[str]) -> list[ActionSpec]:
        """Return the rows to list in a prompt for a surface with these verbs."""
        available = verbs | CONTROL_ACTIONS
        return [row for row in self.rows.values() if row.offered and available.intersection(row.verbs)]

    def restrict(self, *names: str) -> ActionTable:
        """Return a table with the rows of these names offered, in this order; the others are only understood."""
        others = [replace(row, offered=False) for row in self.rows.values() if row.name not in names]
        return ActionTable(*(replace(self.rows[name], offered=True) for name in names), *others)

    def format(self, action: Action, mapper: CoordinateMapper) -> tuple[str, Values] | None:
        """Return the name and the arguments of the first row that can express an action."""
        for row in self.rows.values():
            values = row.arguments_for(action, mapper)
            if values is not None:
                return row.name, values
        return None

    def find(self, name: object, kind: str = "action") -> ActionSpec:
        row = self.rows.get(name) if isinstance(name, str) else None
        if row is None:
            raise unknown_name(name, [row.name for row in self.rows.values() if row.offered] or [*self.rows], kind)
        return row

    def to_actions(self, row: ActionSpec, arguments: Arguments, ignored: Sequence[str] = ()) -> Actions:
        check_unknown(row.name, arguments.values, row.keys, ignored)
        result = row.to_actions(arguments)
        return result if isinstance(result, tuple) else (result,)


def constant_row(name: str, verb: str, description: str = "", **attributes: object) -> ActionSpec:
    """Return the row of a call without arguments."""
    constants = make_action(verb, **attributes).model_dump(exclude={"verb"}, exclude_unset=True)
    return ActionSpec(name, verb, description=description, constants=constants)


def refused_row(name: str, reason: str, *fields: Field) -> ActionSpec:
    """Return the row of a call of the authors' that is never offered and cannot be carried out."""

    def refuse(arguments: Arguments) -> Result:
        raise InvalidActionError(f"{name} cannot be done here: {reason}")

    return ActionSpec(name, "", fields, offered=False, writes=False, parse=refuse)


def click(point: tuple[int, int], **attributes: object) -> Action:
    """Return a click at a point."""
    return make_action("click", x=point[0], y=point[1], **attributes)


def type_actions(
    text: str, *, x: int | None = None, y: int | None = None, clear: bool = False, enter: bool = False
) -> Result:
    """Return the actions that click a field, clear it, type, and press Enter."""
    clicked = [click((x, y))] if x is not None and y is not None else []
    cleared = [make_action("press", keys=keys) for keys in (("ctrl", "a"), ("backspace",))] if clear else []
    typed = make_action("type", text=f"{text}\n" if enter and not text.endswith("\n") else text)
    return (*clicked, *cleared, typed) if clicked or cleared else typed
