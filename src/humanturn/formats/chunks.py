"""Files of JSON records cut into chunks of a few megabytes, so that memory does not grow with the file.

A chunk holds whole records and knows their numbers. Cutting a JSON array without parsing it rests on one fact: inside a
JSON string a quote is always escaped, so `}, {"id":` can hardly be anything but a boundary between records, and a look
at the chunk with msgspec (1 GB/s) makes sure. Where that fails, the file is damaged: brackets are counted, and what can
be decoded is kept.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import msgspec

from humanturn.errors import FormatError
from humanturn.formats.bytestream import utf8

CHUNK = 4 << 20
"""Bytes of a chunk, unless one record alone is longer."""

_BETWEEN = b" \t\r\n,"
"""What stands between records."""

LONGEST = 256 << 20
"""Bytes without the end of a record after which a file counts as damaged there."""


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
        block, _, rest = b"".join(held).rpartition(b"\n")
        lines = block.split(b"\n")
        yield Chunk(str(path), number, lines, "line", read=len(block) + 1)
        number, held, length = number + len(lines), [rest], len(rest)
    last = b"".join(held)
    if last.strip():
        yield Chunk(str(path), number, last.split(b"\n"), "line", read=len(last))


def _array(path: Path, pieces: Iterable[bytes], size: int) -> Iterator[Chunk]:
    """Records of an array (its opening bracket gone), or objects one after the other."""
    number, buffer, wanted = 1, bytearray(), size
    key, keys = b"", set[bytes]()
    for piece in pieces:
        buffer += piece
        if len(buffer) < wanted:
            continue
        key = key or _first_key(buffer)
        whole = _cut(buffer, _boundary(key))
        keys |= {key} if whole else set()
        found = whole or _salvage(buffer, keys)
        if found is None:  # one long record, so far
            wanted = len(buffer) * 2
            continue
        records, end = found
        yield Chunk(str(path), number, records, read=end)
        number += len(records) if isinstance(records, list) else _count(records)
        del buffer[:end]
        wanted = max(size, len(buffer) + size // 4)
    body = bytes(buffer.strip(_BETWEEN))
    if body and body != b"]":
        array = b"[" + body.removesuffix(b"]") + b"]"
        yield Chunk(str(path), number, array if _count(array) >= 0 else _pieces(body, keys), read=len(buffer))


def _salvage(buffer: bytearray, keys: set[bytes]) -> tuple[list[bytes], int] | None:
    """What can be told apart of a buffer that is no run of records, and where it ends; None to read on."""
    spans = complete(buffer)
    if spans:
        return _pieces(bytes(buffer[: spans[-1][1]]), keys), spans[-1][1]
    return (_pieces(bytes(buffer), keys), len(buffer)) if len(buffer) > LONGEST else None


def _pieces(damaged: bytes, keys: set[bytes]) -> list[bytes]:
    """Records told apart by counting brackets; where those do not add up, by how records begin.

    Args:
        damaged: the text.
        keys: what sound records of the file open with, as far as known; more may be added.
    """
    spans = complete(damaged)
    cuts = [0, *(edge for span in spans for edge in span), len(damaged)]
    parts = [damaged[a:b].strip(_BETWEEN) for a, b in pairwise(cuts)]
    if parts[-1].endswith(b"]") and parts[-1].count(b"[") < parts[-1].count(b"]"):
        parts[-1] = parts[-1].removesuffix(b"]").rstrip(_BETWEEN)  # the array's own
    sound = [_count(b"[" + part + b"]") >= 0 for part in parts]
    keys |= {_first_key(part) for part, is_sound in zip(parts, sound, strict=True) if is_sound and part[:1] == b"{"}
    found = list[bytes]()
    for part, is_sound in zip(parts, sound, strict=True):
        if part:
            found += [part] if is_sound else _apart(part, keys)
    return found


def _first_key(record: bytes | bytearray) -> bytes:
    """The key that an object opens with, in its quotes."""
    first = re.match(rb'\s*\{\s*("(?:[^"\\]|\\.){0,200}")', record)
    return first[1] if first else b'"'


@lru_cache(maxsize=64)
def _boundary(key: bytes) -> re.Pattern[bytes]:
    """Matches what stands between two records of which the second opens with `key`."""
    return re.compile(rb"\}\s*,?\s*(?=\{\s*" + re.escape(key) + rb")")


def _cut(buffer: bytearray, opening: re.Pattern[bytes], tries: int = 4) -> tuple[bytes, int] | None:
    """The longest run of whole records as an array, and where it ends in `buffer`."""
    for window in (1 << 18, len(buffer)):
        matches = list(opening.finditer(buffer, max(0, len(buffer) - window)))
        for match in matches[: -tries - 1 : -1]:
            array = b"[" + bytes(buffer[: match.start() + 1]).lstrip(_BETWEEN) + b"]"
            if _count(array) >= 0:
                return array, match.end()
    return None


def _count(array: bytes) -> int:
    """Number of records in a JSON array; -1 when it is none."""
    try:
        return len(msgspec.json.decode(array, type=list[msgspec.Raw]))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return -1


_BEGINS = re.compile(rb'\}\s*,?\s*\{\s*("(?:[^"\\]|\\.){0,60}")')
_BRACKETS = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+([{}\[\]])', re.DOTALL)


def complete(buffer: bytes | bytearray) -> list[tuple[int, int]]:
    """Spans of the complete objects and arrays in `buffer`, by counting brackets outside strings."""
    spans, depth, start, cursor = list[tuple[int, int]](), 0, 0, 0
    while match := _BRACKETS.match(buffer, cursor):
        cursor = match.end()
        if match[1] in b"{[":
            if depth == 0:
                start = cursor - 1
            depth += 1
        elif depth:
            depth -= 1
            if depth == 0:
                spans.append((start, cursor))
    return spans


def _apart(damaged: bytes, keys: set[bytes]) -> list[bytes]:
    """Damaged text cut wherever a record seems to begin; each part is decoded, or reported, on its own.

    Records begin with one key, turns inside them with another. Where no sound record told which, the one that leaves
    most text in sound parts is right.
    """
    best, sound = [damaged], 0
    for key in keys or dict.fromkeys(_BEGINS.findall(damaged)):
        cuts = [0, *(match.end() for match in _boundary(key).finditer(damaged)), len(damaged)]
        parts = [part for a, b in pairwise(cuts) if (part := damaged[a:b].strip(_BETWEEN))]
        size = sum(len(part) for part in parts if _count(b"[" + part + b"]") == 1)
        if size > sound:
            best, sound = parts, size
    return best
