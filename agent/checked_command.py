"""CheckedCommand: a command line whose invalid values are reported together. Imports only typer."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import typer
from typer.core import TyperCommand


@runtime_checkable
class CommandLineError(Protocol):
    """An exception of the command-line parser (typer does not export its base class)."""

    exit_code: int

    def format_message(self) -> str:
        """Return the message."""
        ...


class CheckedCommand(TyperCommand):
    """A command that reports all invalid values at once; the parser itself stops at the first."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse the arguments; the error has one line for each invalid value."""
        arguments = list(args)  # the parser empties it
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if not isinstance(error, CommandLineError):
                raise
            messages = self._value_problems(ctx, arguments)
            if len(messages) > 1:
                ctx.fail("\n".join(messages))
            raise

    def _value_problems(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Return a message for each parameter whose value is missing or invalid, none where the syntax is wrong."""
        try:
            values, _, _ = self.make_parser(ctx).parse_args(args=args)
        except Exception as error:
            if not isinstance(error, CommandLineError):
                raise
            return []
        messages: list[str] = []
        for parameter in self.get_params(ctx):
            if parameter.is_eager:
                continue
            try:
                parameter.handle_parse_result(ctx, values, [])
            except Exception as error:
                if not isinstance(error, CommandLineError):
                    raise
                messages.append(error.format_message())
        return messages
