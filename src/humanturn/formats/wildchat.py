"""WildChat-1M. `{"conversation_hash": "...", "conversation": [{"role", "content", "hashed_ip"}], "language": ...}`"""

from collections.abc import Iterator
from typing import Any

from humanturn.conversation import Conversation
from humanturn.formats import fields


def matches(record: dict[str, Any]) -> bool:
    """True for a record of this format."""
    entries = record.get("conversation")
    if not isinstance(entries, list):
        return False
    first = entries[0] if entries and isinstance(entries[0], dict) else {}
    return "conversation_hash" in record or "turn_identifier" in first or "hashed_ip" in first


def read(record: dict[str, Any]) -> Iterator[Conversation]:
    """The conversation of one record; the hashed address stands for the user."""
    entries = fields.items(record, "conversation")
    turns, tools = fields.turns(entries, "role", "content")
    user = record.get("hashed_ip") or next((e["hashed_ip"] for e in entries if e.get("hashed_ip")), None)
    yield Conversation(
        id=fields.identity(record, "conversation_hash", "conversation_id"),
        messages=turns,
        source="wildchat",
        meta=fields.known(tool_turns=tools, model=record.get("model"), user=user),
    )
