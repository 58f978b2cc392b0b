"""Write conversations as ShareGPT, OpenAI messages, or Parquet; and convert between all formats."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from humanturn import jsonl
from humanturn.conversation import Conversation
from humanturn.errors import InputError
from humanturn.formats import sources
from humanturn.formats.read import read
from humanturn.records import Dropped

Format = Literal["sharegpt", "messages", "parquet"]

_FROM = {"user": "human", "assistant": "gpt", "system": "system"}
_ROWS = 1000
"""Conversations in a Parquet row group."""


def write(path: Path, conversations: Iterable[Conversation], to: Format) -> int:
    """Write `conversations` to one file, whole or not at all; return how many there were.

    `messages` is our own JSONL; `sharegpt` a JSON array, one conversation a line; `parquet` has the columns id,
    messages (list of role and content), source, parent_id, and meta as JSON text.

    Raises:
        InputError: the format is unknown, or pyarrow is needed and missing.
    """
    if to == "messages":
        return jsonl.write(path, conversations)
    if to == "sharegpt":
        return _sharegpt(path, conversations)
    if to == "parquet":
        return _parquet(path, conversations)
    raise InputError(f"{to!r} is no format to write; choose one of: {', '.join(get_args(Format))}")


def convert(inputs: Sequence[str | Path], to: Format, out: Path) -> tuple[int, int]:
    """Convert files of any format to one file; return how many conversations it holds and how many records were left
    out. Each of those is named on stderr.

    Raises:
        InputError: an input is missing or `to` unknown; or nothing could be read.
    """
    dropped = list[Dropped]()

    def readable() -> Iterator[Conversation]:
        for file in sources.files(inputs):
            for item in read(file):
                if isinstance(item, Dropped):
                    dropped.append(item)
                    print(f"left out: {item.reason}", file=sys.stderr)
                else:
                    yield item

    stream = readable()
    first = next(stream, None)
    if first is None:
        reason = f" (first: {dropped[0].reason})" if dropped else ""
        raise InputError(f"{', '.join(map(str, inputs))}: holds no conversation{reason}")
    return write(out, _chain(first, stream), to), len(dropped)


def _chain(first: Conversation, rest: Iterator[Conversation]) -> Iterator[Conversation]:
    yield first
    yield from rest


def _sharegpt(path: Path, conversations: Iterable[Conversation]) -> int:
    count = 0
    with jsonl.replacing(path) as file:
        file.write(b"[")
        for conversation in conversations:
            turns = [{"from": _FROM[turn.role], "value": turn.content} for turn in conversation.messages]
            file.write(b",\n" if count else b"\n")
            file.write(msgspec.json.encode({"id": conversation.id, "conversations": turns}))
            count += 1
        file.write(b"\n]\n")
    return count


def _parquet(path: Path, conversations: Iterable[Conversation]) -> int:
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise InputError(f"{path}: writing Parquet needs pyarrow; pip install 'humanturn[hub]'") from None
    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("messages", pa.list_(turn)),
            ("source", pa.string()),
            ("parent_id", pa.string()),
            ("meta", pa.string()),
        ]
    )
    count, stream = 0, iter(conversations)
    with jsonl.replacing(path) as file, pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := [_row(conversation) for conversation in islice(stream, _ROWS)]:
            writer.write_table(pa.Table.from_pylist(group, schema))
            count += len(group)
    return count


def _row(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "messages": [{"role": turn.role, "content": turn.content} for turn in conversation.messages],
        "source": conversation.source,
        "parent_id": conversation.parent_id,
        "meta": msgspec.json.encode(conversation.meta).decode(),
    }
