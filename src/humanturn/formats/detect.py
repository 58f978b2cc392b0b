"""Which format a record is in, told by its content: one folder, even one file, may mix them."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import msgspec

from humanturn.conversation import Conversation
from humanturn.errors import FormatError
from humanturn.formats import (
    baize,
    devgpt,
    fields,
    hh,
    instructions,
    lmsys,
    messages,
    oasst,
    sharegpt,
    ultrachat,
    wildchat,
)
from humanturn.records import Dropped

Reader = Callable[[dict[str, Any]], Iterator[Conversation]]

FORMATS: tuple[tuple[Callable[[dict[str, Any]], bool], Reader], ...] = (
    (sharegpt.matches, sharegpt.read),
    (messages.matches, messages.read),
    (wildchat.matches, wildchat.read),
    (lmsys.matches, lmsys.read),
    (oasst.matches, oasst.read),
    (hh.matches, hh.read),
    (baize.matches, baize.read),
    (instructions.matches, instructions.read),
    (ultrachat.matches, ultrachat.read),
    (devgpt.matches, devgpt.read),
)
"""Tried in this order; the first that matches reads the record."""

NAMES = "ShareGPT, messages, WildChat, LMSYS, OASST, hh-rlhf, Dolly, Alpaca, Evol, Baize, UltraChat, DevGPT"

UNREADABLE = "unreadable"
"""Rule under which records that cannot be read are dropped."""


def conversations(
    numbered: Iterable[tuple[int, Any]], *, place: str, stem: str, paths: oasst.Paths = "best"
) -> Iterator[Conversation | Dropped]:
    """Conversations of decoded records; each record that holds none comes back as `Dropped`, with its place.

    Args:
        numbered: records with their numbers in the file, or `FormatError`s in their place.
        place: what to put before the number to name a record, such as `file.json, record `.
        stem: start of the ids of records that bring none.
        paths: which paths of an OpenAssistant tree to read.
    """
    flat = list[tuple[int, dict[str, Any]]]()
    for number, record in numbered:
        if isinstance(record, dict) and oasst.matches_message(record):
            flat.append((number, record))
        else:
            yield from _read(number, record, f"{place}{number}", f"{stem}-{number}", paths)
    if flat:
        yield from _read_flat(flat, place, stem, paths)


def _read(number: int, record: Any, where: str, name: str, paths: oasst.Paths) -> Iterator[Conversation | Dropped]:
    found = 0
    try:
        if isinstance(record, FormatError):
            raise record
        if not isinstance(record, dict):
            raise FormatError(f"is {fields.kind(record)}, not an object")
        for conversation in _reader(record, paths)(record):
            found += 1
            if not conversation.id:
                numbered = name if found == 1 else f"{name}-{found}"
                yield msgspec.structs.replace(conversation, id=numbered)
            else:
                yield conversation
        if not found:
            raise FormatError("holds no conversation")
    except FormatError as error:
        given = fields.identity(record, "id", "conversation_id") if isinstance(record, dict) else ""
        yield Dropped(given or name, UNREADABLE, f"{where}: {error}")


def _reader(record: dict[str, Any], paths: oasst.Paths) -> Reader:
    for matches, read in FORMATS:
        if matches(record):
            return partial(oasst.read, paths=paths) if read is oasst.read else read
    shown = ", ".join(list(map(str, record))[:6]) or "none"
    raise FormatError(f"is in no known format (its fields: {shown[:120]}); known are {NAMES}")


def _read_flat(
    flat: list[tuple[int, dict[str, Any]]], place: str, stem: str, paths: oasst.Paths
) -> Iterator[Conversation | Dropped]:
    """Flat OpenAssistant messages, tree by tree."""
    trees = dict[str, list[tuple[int, dict[str, Any]]]]()
    for number, message in flat:
        trees.setdefault(str(message["message_tree_id"]), []).append((number, message))
    for name, messages_ in trees.items():
        first = messages_[0][0]
        for tree in oasst.trees([message for _, message in messages_]):
            if isinstance(tree, list):
                reason = f"{place}{first}: {len(tree)} messages whose parents are not there"
                yield Dropped(name, UNREADABLE, reason, "oasst", len(tree))
            else:
                yield from _read(first, tree, f"{place}{first}", f"{stem}-{first}", paths)
