"""UltraChat. `{"id": "0", "data": ["user", "assistant", "user", ...]}`; UltraChat 200k has `messages`."""

from collections.abc import Iterator
from typing import Any

from humanturn.conversation import Conversation, Turn
from humanturn.errors import FormatError
from humanturn.formats import fields


def matches(record: dict[str, Any]) -> bool:
    """True for a record of this format."""
    data = record.get("data")
    return isinstance(data, list) and all(isinstance(turn, str) for turn in data[:1])


def read(record: dict[str, Any]) -> Iterator[Conversation]:
    """The conversation of one record; even turns are the user's."""
    turns = list[Turn]()
    for number, said in enumerate(fields.items(record, "data")):
        if not isinstance(said, str):
            raise FormatError(f"turn {number} is {fields.kind(said)}, not text")
        turns.append(Turn("assistant" if number % 2 else "user", said))
    yield Conversation(id=fields.identity(record, "id"), messages=tuple(turns), source="ultrachat")
