"""Parquet files, row group by row group."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from humanturn.errors import FormatError, InputError
from humanturn.formats.chunks import Chunk


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
    for group in range(groups):
        count = file.metadata.row_group(group).num_rows
        yield Chunk(str(path), first, b"", row_group=group, read=path.stat().st_size // groups)
        first += count


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
