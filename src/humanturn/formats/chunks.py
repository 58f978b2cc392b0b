"""Files of JSON records cut into chunks of a few megabytes, so that memory does not grow with the file.

A chunk holds whole records and knows their numbers. Cutting a JSON array without parsing it rests on one fact: inside a
JSON string a quote is always escaped, so `}, {"id":` can hardly be anything but a boundary between records, and a look
at the chunk with msgspec (1 GB/s) makes sure. Where that fails, the file is damaged: brackets are counted, and what can
be decoded is kept.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from humanturn.errors import FormatError
from humanturn.formats import salvage
from humanturn.formats.bytestream import utf8

CHUNK = 4 << 20
"""Bytes of a chunk, unless one record alone is longer."""


LONGEST_TREE = 5000
"""Messages of an OpenAssistant tree that are kept together."""


class Chunk(msgspec.Struct, frozen=True):
    """Whole records of one file."""

    path: str
    first: int
    """Number of the first record (JSONL: of its line), from 1."""
    data: bytes | list[bytes]
    """A JSON array, or records apart (JSONL, or a damaged file)."""
    unit: str = "record"
    """What `first` counts: `record` or `line`."""
    row_group: int | None = None
    """Of a Parquet file, whose rows are read where the chunk is worked on; `data` is empty then."""
    read: int = 0
    """Bytes of the file that this chunk took (for progress)."""


def chunks(path: Path, *, size: int = CHUNK) -> Iterator[Chunk]:
    """Cut a `.json` or `.jsonl` file, compressed or not.

    Raises:
        InputError: the file cannot be opened.
        FormatError: it is empty, no JSON, or its compression is damaged (after the chunks that could be read).
    """
    damage = list[FormatError]()
    yield from _chunks(path, _until_damage(utf8(path), damage), size)
    if damage:
        raise damage[0]


def _until_damage(pieces: Iterator[bytes], damage: list[FormatError]) -> Iterator[bytes]:
    try:
        yield from pieces
    except FormatError as error:
        damage.append(error)


def _chunks(path: Path, pieces: Iterator[bytes], size: int) -> Iterator[Chunk]:
    head = b""
    for piece in pieces:
        head += piece
        if len(head) > 1 << 16 and b"\n" in head.lstrip():
            break
    start = head.lstrip()
    if not start:
        raise FormatError(f"{path}: is empty; give a file with conversations")
    rest = _chain(start, pieces)
    if start[:1] == b"[" and not _is_lines(start):
        yield from _array(path, _drop_first(rest), size)
    elif start[:1] == b"{" and not _is_lines(start):
        yield from _array(path, rest, size)
    elif any(line.startswith((b"{", b"[")) for line in start[: 1 << 16].splitlines()):
        yield from _lines(path, _chain(head, pieces), size)
    else:
        shown = start[:24].decode("utf-8", "replace")
        raise FormatError(f"{path}: is no JSON (it starts with {shown!r}); give JSON, JSONL or Parquet")


def _chain(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _drop_first(pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield next(pieces)[1:]
    yield from pieces


def _is_lines(start: bytes) -> bool:
    """True when each line is a record of its own; False for one document over many lines."""
    line, newline, following = start.partition(b"\n")
    line = line.rstrip()
    if start[:1] == b"[":
        return bool(newline) and line.endswith(b"]") and following.lstrip()[:1] == b"["
    return line.endswith(b"}") or not newline or following[:1] == b"{"


def _lines(path: Path, pieces: Iterable[bytes], size: int) -> Iterator[Chunk]:
    number, held, length = 1, list[bytes](), 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length < size or b"\n" not in piece:
            continue
        *lines, rest = b"".join(held).split(b"\n")
        whole = whole_trees([_tree(line) for line in lines[-LONGEST_TREE:]])
        going = lines[: len(lines) - min(len(lines), LONGEST_TREE) + whole]
        staying = b"\n".join([*lines[len(going) :], rest])
        if going:
            yield Chunk(str(path), number, going, "line", read=length - len(staying))
        number, held, length = number + len(going), [staying], len(staying)
    last = b"".join(held)
    if last.strip():
        yield Chunk(str(path), number, last.split(b"\n"), "line", read=len(last))


def whole_trees(trees: Sequence[str | None]) -> int:
    """How many of these records may go before the tree that the last one belongs to may be complete.

    Flat OpenAssistant messages make conversations only together, so that a chunk must not end inside a tree.
    """
    if not trees or trees[-1] is None:
        return len(trees)
    return next((at for at in range(len(trees), 0, -1) if trees[at - 1] != trees[-1]), 0)


def _tree(line: bytes) -> str | None:
    """The tree of a flat OpenAssistant message; None for every other record."""
    if b'"message_tree_id"' not in line or b'"parent_id"' not in line:
        return None
    try:
        return msgspec.json.decode(line, type=_InTree).message_tree_id
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class _InTree(msgspec.Struct):
    message_tree_id: str


def _array(path: Path, pieces: Iterable[bytes], size: int) -> Iterator[Chunk]:
    """Records of an array (its opening bracket gone), or objects one after the other."""
    number, buffer, wanted = 1, bytearray(), size
    key, keys = b"", set[bytes]()
    for piece in pieces:
        buffer += piece
        if len(buffer) < wanted:
            continue
        key = key or salvage.first_key(buffer)
        whole = _cut(buffer, salvage.boundary(key))
        keys |= {key} if whole else set()
        found = whole or salvage.salvage(buffer, keys)
        if found is None:  # one long record, so far
            wanted = len(buffer) * 2
            continue
        records, end = found
        yield Chunk(str(path), number, records, read=end)
        number += len(records) if isinstance(records, list) else salvage.count(records)
        del buffer[:end]
        wanted = max(size, len(buffer) + size // 4)
    body = bytes(buffer.strip(salvage.BETWEEN))
    if body and body != b"]":
        array = b"[" + body.removesuffix(b"]") + b"]"
        yield Chunk(
            str(path), number, array if salvage.count(array) >= 0 else salvage.pieces(body, keys), read=len(buffer)
        )


def _cut(buffer: bytearray, opening: re.Pattern[bytes], tries: int = 4) -> tuple[bytes, int] | None:
    """The longest run of whole records as an array, and where it ends in `buffer`."""
    for window in (1 << 18, len(buffer)):
        matches = list(opening.finditer(buffer, max(0, len(buffer) - window)))
        for match in matches[: -tries - 1 : -1]:
            array = b"[" + bytes(buffer[: match.start() + 1]).lstrip(salvage.BETWEEN) + b"]"
            if salvage.count(array) >= 0:
                return array, match.end()
    return None
