"""Baize self-chat. `{"topic": "...", "input": "header line\\n[|Human|] ...\\n[|AI|] ...\\n[|Human|] "}`"""

import re
from collections.abc import Iterator
from typing import Any

from humanturn.conversation import Conversation, Turn
from humanturn.errors import FormatError
from humanturn.formats import fields

_TAG = re.compile(r"\s*\[\|(Human|AI)\|\][ ]?")


def matches(record: dict[str, Any]) -> bool:
    """True for a record of this format."""
    said = record.get("input")
    return isinstance(said, str) and "[|Human|]" in said


def read(record: dict[str, Any]) -> Iterator[Conversation]:
    """The conversation of one record, without its header line and the empty human tag at its end."""
    _, *tagged = _TAG.split(fields.text(record, "input"))
    if not tagged:
        raise FormatError("its 'input' has no [|Human|] turn")
    turns = [
        Turn("user" if tag == "Human" else "assistant", said)
        for tag, said in zip(tagged[::2], tagged[1::2], strict=True)
    ]
    if turns[-1].role == "user" and not turns[-1].content.strip():
        turns.pop()
    yield Conversation(
        id=fields.identity(record, "id"),
        messages=tuple(turns),
        source="baize",
        meta=fields.known(topic=record.get("topic")),
    )
