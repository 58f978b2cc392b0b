"""LMSYS-Chat-1M. `{"conversation_id": "...", "conversation": [{"role", "content"}], "language": ..., "model": ...}`"""

from collections.abc import Iterator
from typing import Any

from humanturn.conversation import Conversation
from humanturn.formats import fields


def matches(record: dict[str, Any]) -> bool:
    """True for a record of this format (WildChat is tried first)."""
    return isinstance(record.get("conversation"), list)


def read(record: dict[str, Any]) -> Iterator[Conversation]:
    """The conversation of one record."""
    turns, tools = fields.turns(fields.items(record, "conversation"), "role", "content")
    yield Conversation(
        id=fields.identity(record, "conversation_id", "question_id", "id"),
        messages=turns,
        source="lmsys",
        meta=fields.known(tool_turns=tools, model=record.get("model")),
    )
