"""ShareGPT, raw (assistant turns are HTML) and V3 (Markdown, cut into pieces whose ids end in the first turn's index).

`{"id": "QWJhYvA_0", "conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}`
"""

import re
from collections.abc import Iterator
from typing import Any

from humanturn.conversation import Conversation
from humanturn.formats import fields

_PIECE = re.compile(r"(.{5,})_\d{1,6}")


def matches(record: dict[str, Any]) -> bool:
    """True for a record of this format."""
    return "conversations" in record


def read(record: dict[str, Any]) -> Iterator[Conversation]:
    """The conversation of one record; pieces of one session share `parent_id`."""
    entries = fields.items(record, "conversations")
    openai = bool(entries) and isinstance(entries[0], dict) and "role" in entries[0]
    turns, tools = fields.turns(entries, *(("role", "content") if openai else ("from", "value")))
    name = fields.identity(record, "id", "idx", "conversation_id")
    piece = _PIECE.fullmatch(name)
    yield Conversation(
        id=name,
        messages=turns,
        source="sharegpt",
        parent_id=piece[1] if piece else None,
        meta=fields.known(tool_turns=tools, model=record.get("model")),
    )
