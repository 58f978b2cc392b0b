"""What a judge's reply says, by contract: `[[7]]`, `[[A]]`, or a JSON object. Anything else says nothing."""

import re
from typing import Any, Literal

import msgspec

Winner = Literal["A", "B", "tie"]

_GRADE = re.compile(r"\[\[\s*(\d+(?:\.\d+)?)\s*(?:/\s*10\s*)?\]\]")
_LETTER = re.compile(r"\[\[\s*(A|B|C|tie)\s*\]\]", re.IGNORECASE)
_OUT_OF = re.compile(r"(?:\bout of|/)\s*\Z")
"""Before the best grade there could be."""
_JSON = re.compile(r"\{[^{}]*\}")
_WINNERS: dict[str, Winner] = {"a": "A", "b": "B", "c": "tie", "tie": "tie"}

AGAIN = {
    "single": "Your reply gave no grade that can be read. Reply with nothing but the grade from 1 to 10 in double"
    " square brackets, like [[4]]",
    "pairwise": "Your reply gave no verdict that can be read. Reply with nothing but [[A]], [[B]] or [[C]]",
}
"""What a judge is told when its reply could not be read, once."""


def grade(text: str) -> float | None:
    """The last grade in `text`, from 1 to 10; None when there is none or it is out of range.

    The last, because judges repeat the example of their prompt before they come to their own.
    """
    value = _number(_last(text, _GRADE, ("rating", "score", "grade")))
    return value if value is not None and 1 <= value <= 10 else None


def winner(text: str) -> Winner | None:
    """The last verdict in `text`; None when there is none."""
    said = _last(text, _LETTER, ("winner", "verdict"))
    return _WINNERS.get(said.strip().lower()) if isinstance(said, str) else None


def _last(text: str, bracketed: re.Pattern[str], names: tuple[str, ...]) -> Any:
    """What stands last: in double brackets, or under one of `names` in a JSON object."""
    brackets = [match for match in bracketed.finditer(text) if not _OUT_OF.search(text, 0, match.start())]
    at = brackets[-1].start() if brackets else -1
    for part in reversed(list(_JSON.finditer(text, at + 1))):
        try:
            value = msgspec.json.decode(part[0])
        except msgspec.MsgspecError:
            continue
        for name in names:
            if name in value:
                return value[name]
    return brackets[-1][1] if brackets else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
