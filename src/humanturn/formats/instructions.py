"""Single-round instruction sets, told apart by their fields.

Dolly `{"instruction", "context", "response", "category"}`, Alpaca `{"instruction", "input", "output"}`, Evol-Instruct
`{"instruction", "output"}` (its V2 has ShareGPT's `conversations`).
"""

from collections.abc import Iterator
from typing import Any

from humanturn.conversation import Conversation, Turn
from humanturn.formats import fields


def matches(record: dict[str, Any]) -> bool:
    """True for a record of one of these formats."""
    return "instruction" in record and ("response" in record or "output" in record)


def read(record: dict[str, Any]) -> Iterator[Conversation]:
    """Instruction and material make the user turn, the response the assistant turn."""
    if "response" in record:
        source, material, answer = "dolly", "context", "response"
    else:
        source, material, answer = ("alpaca" if "input" in record else "evol"), "input", "output"
    asked = [fields.text(record, "instruction").strip(), fields.text(record, material).strip()]
    yield Conversation(
        id=fields.identity(record, "id", "idx"),
        messages=(
            Turn("user", "\n\n".join(filter(None, asked))),
            Turn("assistant", fields.text(record, answer)),
        ),
        source=source,
        meta=fields.known(category=record.get("category")),
    )
