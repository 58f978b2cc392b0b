"""DevGPT: ChatGPT links shared by developers.

`{"Sources": [{"ChatgptSharing": [{"URL": ..., "Conversations": [{"Prompt", "Answer", "ListOfCode"}]}]}]}`
"""

from collections.abc import Iterator
from typing import Any

from humanturn.conversation import Conversation, Turn
from humanturn.errors import FormatError
from humanturn.formats import fields


def matches(record: dict[str, Any]) -> bool:
    """True for a file of this format, or one of its sources, or one shared conversation."""
    return any(isinstance(record.get(key), list) for key in ("Sources", "ChatgptSharing", "Conversations"))


def read(record: dict[str, Any]) -> Iterator[Conversation]:
    """Every shared conversation, code blocks put back where the answer names them."""
    for key in ("Sources", "ChatgptSharing"):
        if record.get(key) is not None:
            for inner in fields.items(record, key):
                if not isinstance(inner, dict):
                    raise FormatError(f"an entry of {key} is {fields.kind(inner)}, not an object")
                yield from read(inner)
            return
    if record.get("Conversations") is None:
        return  # a link whose page was gone
    turns = list[Turn]()
    for number, entry in enumerate(fields.items(record, "Conversations")):
        if not isinstance(entry, dict):
            raise FormatError(f"round {number} is {fields.kind(entry)}, not an object")
        turns += [Turn("user", fields.text(entry, "Prompt")), Turn("assistant", _answer(entry))]
    yield Conversation(
        id=fields.identity(record, "URL").rsplit("/", 1)[-1],
        messages=tuple(turns),
        source="devgpt",
        meta=fields.known(model=record.get("Model")),
    )


def _answer(entry: dict[str, Any]) -> str:
    answer = fields.text(entry, "Answer")
    for code in fields.items(entry, "ListOfCode") if entry.get("ListOfCode") else []:
        if isinstance(code, dict) and isinstance(code.get("ReplaceString"), str):
            block = f"```{fields.text(code, 'Type')}\n{fields.text(code, 'Content').rstrip()}\n```"
            answer = answer.replace(code["ReplaceString"], block)
    return answer
