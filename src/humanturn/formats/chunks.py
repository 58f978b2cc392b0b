"""Files of JSON records cut into chunks of a few megabytes, so that memory does not grow with the file.

A chunk holds whole records and knows their numbers. Cutting a JSON array without parsing it rests on one fact: inside a
JSON string a quote is always escaped, so `}, {"id":` can hardly be anything but a boundary between records, and a look
at the chunk with msgspec (1 GB/s) makes sure. Where that fails, the file is damaged: brackets are counted, and what can
be decoded is kept.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec

from humanturn.errors import FormatError
from humanturn.formats.bytestream import utf8

CHUNK = 4 << 20
"""Bytes of a chunk, unless one record alone is longer."""

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
    pieces = utf8(path)
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
    opening: re.Pattern[bytes] | None = None
    for piece in pieces:
        buffer += piece
        if len(buffer) < wanted:
            continue
        opening = opening or _opening(buffer)
        found: tuple[bytes | list[bytes], int] | None = _cut(buffer, opening)
        if found is None and len(buffer) < LONGEST:
            spans, _ = complete(buffer)
            wanted = len(buffer) * 2
            if not spans:
                continue
            found = [bytes(buffer[a:b]) for a, b in spans], spans[-1][1]
        found = found or (_apart(bytes(buffer), opening), len(buffer))
        records, end = found
        count = len(records) if isinstance(records, list) else _count(records)
        yield Chunk(str(path), number, records, read=end)
        number += count
        del buffer[:end]
        wanted = max(size, len(buffer) + size // 4)
    yield from _last(path, number, bytes(buffer), opening or _opening(buffer))


def _last(path: Path, number: int, rest: bytes, opening: re.Pattern[bytes]) -> Iterator[Chunk]:
    """The end of an array: whole, or cut off."""
    body = rest.strip(b" \t\r\n,")
    if not body or body == b"]":
        return
    whole = b"[" + body.removesuffix(b"]") + b"]"
    if _count(whole) >= 0:
        yield Chunk(str(path), number, whole, read=len(rest))
        return
    spans, end = complete(rest)
    records = [bytes(rest[a:b]) for a, b in spans]
    tail = rest[end:].strip(b" \t\r\n,")
    if tail and tail != b"]":
        records += _apart(tail, opening)
    yield Chunk(str(path), number, records, read=len(rest))


def _opening(buffer: bytearray) -> re.Pattern[bytes]:
    """Matches the boundary between two records that open with the same key as the first."""
    first = re.match(rb'\s*\{\s*("(?:[^"\\]|\\.){0,200}")', buffer)
    key = re.escape(first[1]) if first else rb'"'
    return re.compile(rb"\}\s*,?\s*(?=\{\s*" + key + rb")")


def _cut(buffer: bytearray, opening: re.Pattern[bytes], tries: int = 4) -> tuple[bytes, int] | None:
    """The longest run of whole records as an array, and where it ends in `buffer`."""
    for window in (1 << 18, len(buffer)):
        matches = list(opening.finditer(buffer, max(0, len(buffer) - window)))
        for match in matches[: -tries - 1 : -1]:
            array = b"[" + bytes(buffer[: match.start() + 1]).lstrip(b" \t\r\n,") + b"]"
            if _count(array) >= 0:
                return array, match.end()
    return None


def _count(array: bytes) -> int:
    """Number of records in a JSON array; -1 when it is none."""
    try:
        return len(msgspec.json.decode(array, type=list[msgspec.Raw]))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return -1


_BRACKETS = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+([{}\[\]])', re.DOTALL)


def complete(buffer: bytes | bytearray) -> tuple[list[tuple[int, int]], int]:
    """Spans of the complete objects in `buffer` by counting brackets outside strings, and where the last one ends."""
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
    return spans, spans[-1][1] if spans else 0


def _apart(piece: bytes, opening: re.Pattern[bytes]) -> list[bytes]:
    """Damaged text cut where records seem to begin; each part is decoded, or reported, on its own."""
    cuts = [0, *(match.end() for match in opening.finditer(piece)), len(piece)]
    parts = (piece[a:b].strip(b" \t\r\n,") for a, b in pairwise(cuts))
    return [part for part in parts if part]
