"""Parquet files, row group by row group."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from humanturn.errors import FormatError, InputError
from humanturn.formats.chunks import Chunk, whole_trees


def chunks(path: Path) -> Iterator[Chunk]:
    """One chunk per row group; its rows are read by whoever works on it.

    Raises:
        FormatError: the file is damaged or empty.
        InputError: pyarrow is not installed.
    """
    file = _open(path)
    first, groups = 1, file.metadata.num_row_groups
    if not file.metadata.num_rows:
        raise FormatError(f"{path}: is empty; give a file with conversations")
    if {"message_tree_id", "parent_id", "text"} <= set(file.schema_arrow.names):
        yield from _trees(path, file)
        return
    for group in range(groups):
        count = file.metadata.row_group(group).num_rows
        yield Chunk(str(path), first, b"", row_group=group, read=path.stat().st_size // groups)
        first += count


def _trees(path: Path, file: Any) -> Iterator[Chunk]:
    """Flat OpenAssistant messages, no tree in two chunks; row groups know nothing of trees."""
    first, held, total = 1, list[dict[str, Any]](), file.metadata.num_rows
    for batch in file.iter_batches(batch_size=4096):
        held += batch.to_pylist()
        whole = whole_trees([row["message_tree_id"] for row in held])
        going, held = held[:whole], held[whole:]
        if going:
            yield Chunk(str(path), first, _encoded(going), read=path.stat().st_size * len(going) // total)
        first += len(going)
    if held:
        yield Chunk(str(path), first, _encoded(held), read=path.stat().st_size * len(held) // total)


def _encoded(rows: list[dict[str, Any]]) -> list[bytes]:
    return [msgspec.json.encode(row) for row in rows]


def rows(path: str, row_group: int) -> Iterator[dict[str, Any]]:
    """Rows of one row group as Python values."""
    file = _open(Path(path))
    for batch in file.iter_batches(batch_size=256, row_groups=[row_group]):
        yield from batch.to_pylist()


def _open(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(f"{path}: reading Parquet needs pyarrow; pip install 'humanturn[hub]'") from None
    try:
        return pyarrow.parquet.ParquetFile(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (pyarrow.ArrowException, OSError) as error:
        said = str(error).splitlines()[0]
        raise FormatError(f"{path}: is no readable Parquet file ({said}); fetch it again") from None
