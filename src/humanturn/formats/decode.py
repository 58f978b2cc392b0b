"""Records out of chunks: one bad record costs that record, with its place named, and nothing else."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from humanturn.errors import FormatError
from humanturn.formats.chunks import Chunk

Record = Any
"""A decoded JSON value: a dict where all is well."""


def records(chunk: Chunk) -> Iterator[tuple[int, Record | FormatError]]:
    """Each record of a chunk with its number; a `FormatError` in place of one that is no JSON."""
    if chunk.row_group is not None:
        from humanturn.formats.parquet import rows

        yield from enumerate(rows(chunk.path, chunk.row_group), chunk.first)
        return
    if isinstance(chunk.data, bytes):
        try:
            yield from enumerate(msgspec.json.decode(chunk.data), chunk.first)
            return
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raw = msgspec.json.decode(chunk.data, type=list[msgspec.Raw])
            parts = [bytes(part) for part in raw]
    else:
        parts = chunk.data
    for number, part in enumerate(parts, chunk.first):
        if part.strip():
            yield number, one(part)


def one(part: bytes) -> Record | FormatError:
    """Decode a record; what msgspec refuses but a reader can mend (control characters, broken UTF-8, halves of
    surrogate pairs) is mended.
    """
    try:
        return msgspec.json.decode(part)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        said = str(error)
    try:
        return _whole(json.loads(part.decode("utf-8", "replace"), strict=False))
    except RecursionError:
        return FormatError("is nested too deeply")
    except ValueError:
        return FormatError(f"is no complete JSON ({said})")


def _whole(value: Any) -> Any:
    """The value with every lone surrogate replaced by U+FFFD."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value
