"""The grammar of a reply, as data that a grammar compiler or a server takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class CallGrammar:
    """Free text, then a call that a Lark grammar describes.

    Attributes:
        open: the text before a call; "" if the reply is the call alone.
        close: the text after a call.
        body: Lark rules for what is between them, the first named `call`; @{<|name|>} is a tag that may be one token.
        longest_calls: calls of the greatest length, their free texts empty; they bound the tokens of a call.
        before: a regular expression for one character of the free text before `open`.
        closing_strings: ends of an open text, list or call, innermost first; forced once the token budget is nearly
            used up.
        open_when_short: force the call as soon as a longer free text would leave no room for it.
        ends_itself: the reply ends with its call; otherwise free text may follow, up to a stop token.
    """

    open: str
    close: str
    body: str
    longest_calls: tuple[str, ...]
    before: str = r"(.|\n)"
    closing_strings: tuple[str, ...] = ('"', "]", "}")
    open_when_short: bool = False
    ends_itself: bool = True


# Names of the fields in requests to `agent serve` (`pixelhand_form`), where they differ.
WIRE_NAMES = {"longest_calls": "samples", "closing_strings": "closers", "open_when_short": "roomy"}


def to_wire(grammar: CallGrammar) -> dict[str, object]:
    """Return a grammar as the JSON object that a request holds."""
    return {WIRE_NAMES.get(name, name): value for name, value in asdict(grammar).items()}


def from_wire(data: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a grammar in a request, under their names here."""
    names = {wire: name for name, wire in WIRE_NAMES.items()}
    return {names.get(key, key): value for key, value in data.items()}


def integer_below_regex(limit: int, least: int = 0) -> str:
    """Return a regular expression for the integers from `least` (0 or 1) to limit - 1, without leading zeros."""
    if limit <= least:
        raise ValueError(f"no number from {least} to {limit - 1}")
    top = str(limit - 1)
    alternatives = ["0"] if least == 0 else []
    alternatives += [f"[1-9][0-9]{{{length - 1}}}" for length in range(1, len(top))]
    for place, digit in enumerate(top):  # the same prefix as the largest, then a smaller digit
        low = 1 if place == 0 else 0
        if int(digit) > low:
            alternatives.append(f"{top[:place]}[{low}-{int(digit) - 1}][0-9]{{{len(top) - place - 1}}}")
    return "|".join([*alternatives, top] if top != "0" else alternatives)
