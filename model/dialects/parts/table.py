"""Two-way action tables: one row per call of a family, from which parsing, formatting, schema and grammar follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from actions import CONTROL_ACTIONS, Action, make_action
from model.dialects.parts.arguments import Arguments, check_unknown, unknown_name
from model.dialects.parts.coordinates import CoordinateMapper
from model.dialects.parts.fields import Field, Values
from model.dialects.parts.grammar import GrammarBuilder, Rule, literal, orders

Result = Action | tuple[Action, ...]


@dataclass(frozen=True)
class ActionSpec:
    """One row: a call by its name, the action it stands for, and how its arguments map to the action's attributes.

    Attributes:
        name: as the model writes it.
        verb: of the action.
        fields: the arguments, in the order in which they are written.
        description: for prompts.
        constants: attributes that the name alone determines.
        offered: listed in prompts and in the grammar where the surface has the verb; other rows are only understood.
        needs: verbs of which the surface must have one, if not the row's own.
        parse: replaces the mapping of fields, for calls that mean several actions or are computed.
        format: replaces the mapping of fields the other way.
        writes: whether format_action may use the row.
    """

    name: str
    verb: str
    fields: tuple[Field, ...] = ()
    description: str = ""
    constants: Mapping[str, object] = field(default_factory=dict)
    offered: bool = True
    needs: tuple[str, ...] = ()
    parse: Callable[[Arguments], Result] | None = None
    format: Callable[[Action, CoordinateMapper], Values | None] | None = None
    writes: bool = True

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
        expressed = {**{name: getattr(action, name) for name in names}, **self.constants}
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
                rule = fields[key].rule(grammar)
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

    def to_actions(self, row: ActionSpec, arguments: Arguments, ignored: Sequence[str] = ()) -> Result:
        check_unknown(row.name, arguments.values, row.keys, ignored)
        return row.to_actions(arguments)


def constant_row(name: str, verb: str, description: str = "", **attributes: object) -> ActionSpec:
    """Return the row of a call without arguments."""
    constants = make_action(verb, **attributes).model_dump(exclude={"verb"}, exclude_unset=True)
    return ActionSpec(name, verb, description=description, constants=constants)
