r"""Anthropic hh-rlhf. `{"chosen": "\n\nHuman: ...\n\nAssistant: ...", "rejected": "..."}`; the chosen side is read."""

import re
from collections.abc import Iterator
from typing import Any

from humanturn.conversation import Conversation, Turn
from humanturn.errors import FormatError
from humanturn.formats import fields

_TAG = re.compile(r"(?:\A|\n\n)(Human|Assistant):[ ]?")


def matches(record: dict[str, Any]) -> bool:
    """True for a record of this format."""
    chosen = record.get("chosen")
    return isinstance(chosen, str) and "rejected" in record


def read(record: dict[str, Any]) -> Iterator[Conversation]:
    """The conversation of the chosen side."""
    _, *tagged = _TAG.split(fields.text(record, "chosen").lstrip("\n"))
    if not tagged:
        raise FormatError("its 'chosen' has no 'Human:' turn")
    turns = tuple(
        Turn("user" if tag == "Human" else "assistant", said)
        for tag, said in zip(tagged[::2], tagged[1::2], strict=True)
    )
    yield Conversation(id=fields.identity(record, "id"), messages=turns, source="hh")
