"""Fields of foreign records, checked: what is read is what the format promises, or an error says what came instead."""

from collections.abc import Iterable
from typing import Any

from humanturn.conversation import Role, Turn
from humanturn.errors import FormatError

ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "system": "system",
    "developer": "system",
}

NOT_SPOKEN = frozenset({"tool", "function", "observation", "function_call", "tool_call", "function_response"})
"""Roles of what programs say to each other; counted in `meta["tool_turns"]` and left out."""


def text(record: dict[str, Any], key: str) -> str:
    """`record[key]` as text; null and absent are empty.

    Raises:
        FormatError: it is something else.
    """
    value = record.get(key)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    raise FormatError(f"its {key!r} is {kind(value)}, not text")


def items(record: dict[str, Any], key: str) -> list[Any]:
    """`record[key]` as a list.

    Raises:
        FormatError: it is something else.
    """
    value = record.get(key)
    if isinstance(value, list):
        return value
    raise FormatError(f"its {key!r} is {kind(value)}, not a list")


def turns(entries: Iterable[Any], role_key: str, text_key: str) -> tuple[tuple[Turn, ...], int]:
    """Turns out of entries like `{"from": "human", "value": "Hello"}`, and how many were said by tools.

    Raises:
        FormatError: an entry is no object, its role is unknown, or its content is no text.
    """
    found, tools = list[Turn](), 0
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise FormatError(f"turn {number} is {kind(entry)}, not an object")
        name = entry.get(role_key)
        role = ROLES.get(name) or ROLES.get(name.strip().lower()) if isinstance(name, str) else None
        if role is None:
            if isinstance(name, str) and name in NOT_SPOKEN:
                tools += 1
                continue
            raise FormatError(f"turn {number} has the unknown {role_key} {name!r}")
        content = entry.get(text_key)
        if not isinstance(content, str):
            content = parts(content, number, text_key)
        found.append(Turn(role, content))
    return tuple(found), tools


def parts(content: Any, number: int, key: str) -> str:
    """Content that is null, or a list of parts of which the text is kept."""
    if content is None:
        return ""
    if not isinstance(content, list):
        raise FormatError(f"turn {number} has a {key} that is {kind(content)}, not text")
    said = [part if isinstance(part, str) else part.get("text") for part in content if isinstance(part, str | dict)]
    return "\n\n".join(piece for piece in said if isinstance(piece, str))


def identity(record: dict[str, Any], *keys: str) -> str:
    """The first of these fields that names the record; empty when none does."""
    for key in keys:
        value = record.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return ""


def known(**meta: Any) -> dict[str, Any]:
    """Meta fields that have a value."""
    return {key: value for key, value in meta.items() if value}


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "missing"}
    return names.get(type(value), "a number")
