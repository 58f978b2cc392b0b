"""OpenAI chat messages, which is also our own format, TRL's and UltraChat 200k's.

`{"id": "...", "messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}`
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from humanturn.conversation import Conversation
from humanturn.formats import fields


def matches(record: dict[str, Any]) -> bool:
    """True for a record of this format."""
    return "messages" in record


def read(record: dict[str, Any]) -> Iterator[Conversation]:
    """The conversation of one record; content parts that are no text, tool calls and tool turns are left out."""
    turns, tools = fields.turns(fields.items(record, "messages"), "role", "content")
    meta, source, parent = record.get("meta"), record.get("source"), record.get("parent_id")
    if isinstance(meta, str):  # our own Parquet keeps it as JSON text
        meta = _decoded(meta)
    stock = "ultrachat" if "prompt_id" in record else "messages"
    yield Conversation(
        id=fields.identity(record, "id", "prompt_id", "conversation_id"),
        messages=turns,
        source=source if isinstance(source, str) else stock,
        parent_id=parent if isinstance(parent, str) else None,
        meta=(meta if isinstance(meta, dict) else {}) | fields.known(tool_turns=tools),
    )


def _decoded(meta: str) -> Any:
    try:
        return msgspec.json.decode(meta)
    except msgspec.DecodeError:
        return None
