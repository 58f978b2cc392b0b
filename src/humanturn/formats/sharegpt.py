"""ShareGPT, raw (assistant turns are HTML) and V3 (Markdown, cut into pieces whose ids end in the first turn's index).

`{"id": "QWJhYvA_0", "conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}`
"""

import re
from collections.abc import Iterator
from typing import Any

from humanturn.conversation import Conversation
from humanturn.formats import fields

_PIECE = re.compile(r"([A-Za-z0-9]{7})_(\d{1,6})")


def matches(record: dict[str, Any]) -> bool:
    """True for a record of this format."""
    return "conversations" in record


def read(record: dict[str, Any]) -> Iterator[Conversation]:
    """The conversation of one record; pieces of one session share `parent_id`, later ones have their place in
    `meta.piece`.
    """
    entries = fields.items(record, "conversations")
    openai = bool(entries) and isinstance(entries[0], dict) and "role" in entries[0]
    turns, tools = fields.turns(entries, *(("role", "content") if openai else ("from", "value")))
    name = fields.identity(record, "id", "idx", "conversation_id")
    piece = _PIECE.fullmatch(name)
    at = int(piece[2]) if piece else 0
    carried = at > 0 and bool(turns) and turns[0].role == "assistant"  # it ended the piece before
    yield Conversation(
        id=name,
        messages=turns,
        source="sharegpt",
        parent_id=piece[1] if piece else None,
        meta=fields.known(
            tool_turns=tools, model=record.get("model"), piece=at or None, context_turns=1 if carried else None
        ),
    )
