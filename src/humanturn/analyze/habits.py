"""Habits of simulated users that people do not have."""

import re
from collections.abc import Sequence

_THANKS = re.compile(
    r"\W*(?:(?:ok(?:ay)?|great|perfect|awesome|wow|cool|nice)\W+)*"
    r"(?:(?:many )?thanks?(?: you)?(?: (?:again|a lot|so much|very much))*"
    r"(?: for (?:your|the) (?:help|assistance|advice))?"
    r"|you(?:'| a)re welcome|good ?bye|bye|have a (?:great|good|nice) (?:day|one))(?:\W+(?:good ?bye|bye|again))*\W*",
    re.IGNORECASE,
)


def is_thanks(text: str) -> bool:
    """True for a turn that is nothing but thanks or a goodbye."""
    return _THANKS.fullmatch(text) is not None


def is_repetition(text: str, before: Sequence[str]) -> bool | None:
    """True when the turn says an earlier turn of either side again, word for word; None where nothing was said yet."""
    if not before:
        return None
    said = _normal(text)
    return bool(said) and any(_normal(earlier) == said for earlier in before)


def _normal(text: str) -> str:
    return " ".join(text.lower().split())
