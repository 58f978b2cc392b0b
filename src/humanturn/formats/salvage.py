"""Records told apart in text that is no JSON: a file cut off, or damaged somewhere."""

import re
from functools import lru_cache
from itertools import pairwise

import msgspec

BETWEEN = b" \t\r\n,"
"""What stands between records."""

LONGEST = 256 << 20
"""Bytes without the end of a record after which a file counts as damaged there."""

_BEGINS = re.compile(rb'\}\s*,?\s*\{\s*("(?:[^"\\]|\\.){0,60}")')
_BRACKETS = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+([{}\[\]])', re.DOTALL)


def salvage(buffer: bytearray, keys: set[bytes]) -> tuple[list[bytes], int] | None:
    """What can be told apart of a buffer that is no run of records, and where it ends; None to read on."""
    spans = complete(buffer)
    if spans:
        return pieces(bytes(buffer[: spans[-1][1]]), keys), spans[-1][1]
    return (pieces(bytes(buffer), keys), len(buffer)) if len(buffer) > LONGEST else None


def pieces(damaged: bytes, keys: set[bytes]) -> list[bytes]:
    """Records told apart by counting brackets; where those do not add up, by how records begin.

    Args:
        damaged: the text.
        keys: what sound records of the file open with, as far as known; more may be added.
    """
    spans = complete(damaged)
    cuts = [0, *(edge for span in spans for edge in span), len(damaged)]
    parts = [damaged[a:b].strip(BETWEEN) for a, b in pairwise(cuts)]
    if parts[-1].endswith(b"]") and parts[-1].count(b"[") < parts[-1].count(b"]"):
        parts[-1] = parts[-1].removesuffix(b"]").rstrip(BETWEEN)  # the array's own
    sound = [count(b"[" + part + b"]") >= 0 for part in parts]
    keys |= {first_key(part) for part, is_sound in zip(parts, sound, strict=True) if is_sound and part[:1] == b"{"}
    found = list[bytes]()
    for part, is_sound in zip(parts, sound, strict=True):
        if part:
            found += [part] if is_sound else _apart(part, keys)
    return found


def _apart(damaged: bytes, keys: set[bytes]) -> list[bytes]:
    """Damaged text cut wherever a record seems to begin; each part is decoded, or reported, on its own.

    Records begin with one key, turns inside them with another. Where no sound record told which, the one that leaves
    most text in sound parts is right.
    """
    best, sound = [damaged], 0
    for key in keys or dict.fromkeys(_BEGINS.findall(damaged)):
        cuts = [0, *(match.end() for match in boundary(key).finditer(damaged)), len(damaged)]
        parts = [part for a, b in pairwise(cuts) if (part := damaged[a:b].strip(BETWEEN))]
        size = sum(len(part) for part in parts if count(b"[" + part + b"]") == 1)
        if size > sound:
            best, sound = parts, size
    return best


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


def first_key(record: bytes | bytearray) -> bytes:
    """The key that an object opens with, in its quotes."""
    first = re.match(rb'\s*\{\s*("(?:[^"\\]|\\.){0,200}")', record)
    return first[1] if first else b'"'


@lru_cache(maxsize=64)
def boundary(key: bytes) -> re.Pattern[bytes]:
    """Matches what stands between two records of which the second opens with `key`."""
    return re.compile(rb"\}\s*,?\s*(?=\{\s*" + re.escape(key) + rb")")


def count(array: bytes) -> int:
    """Number of records in a JSON array; -1 when it is none."""
    try:
        return len(msgspec.json.decode(array, type=list[msgspec.Raw]))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return -1
