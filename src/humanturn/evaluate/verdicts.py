"""What a judge's reply says, by contract: `[[7]]`, `[[A]]`, or a JSON object. Anything else says nothing."""

import re
from typing import Any, Literal

import msgspec

Winner = Literal["A", "B", "tie"]

_GRADE = re.compile(r"\[\[\s*(\d+(?:\.\d+)?)\s*(?:/\s*10\s*)?\]\]")
_LETTER = re.compile(r"\[\[\s*(A|B|C|tie)\s*\]\]", re.IGNORECASE)
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
    found = _GRADE.findall(text)
    value = float(found[-1]) if found else _number(_field(text, ("rating", "score", "grade")))
    return value if value is not None and 1 <= value <= 10 else None


def winner(text: str) -> Winner | None:
    """The last verdict in `text`; None when there is none."""
    found = _LETTER.findall(text)
    said = found[-1] if found else _field(text, ("winner", "verdict"))
    return _WINNERS.get(said.strip().lower()) if isinstance(said, str) else None


def _field(text: str, names: tuple[str, ...]) -> Any:
    """The first of `names` in the last JSON object of `text` that has one."""
    for part in reversed(_JSON.findall(text)):
        try:
            value = msgspec.json.decode(part)
        except msgspec.MsgspecError:
            continue
        for name in names:
            if name in value:
                return value[name]
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
