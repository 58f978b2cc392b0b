"""Read any file of conversations, whatever its format."""

from collections.abc import Iterator
from pathlib import Path

from humanturn.conversation import Conversation
from humanturn.errors import FormatError, InputError
from humanturn.formats import decode, detect, oasst, sources
from humanturn.formats.chunks import Chunk
from humanturn.records import Dropped


def read(path: Path, *, oasst_paths: oasst.Paths = "best") -> Iterator[Conversation | Dropped]:
    """Conversations of one file in its order; a record that holds none comes back as `Dropped`, with its place.

    Memory does not grow with the file.

    Raises:
        InputError: the file is missing or cannot be opened.
        FormatError: it is empty, neither JSON nor Parquet, or its compression is damaged.
    """
    for chunk in sources.chunks(path):
        yield from read_chunk(chunk, oasst_paths=oasst_paths)


def read_chunk(chunk: Chunk, *, oasst_paths: oasst.Paths = "best") -> Iterator[Conversation | Dropped]:
    """Conversations of one chunk."""
    place = f"{chunk.path}:" if chunk.unit == "line" else f"{chunk.path}, record "
    stem = Path(chunk.path).name.partition(".")[0]
    return detect.conversations(decode.records(chunk), place=place, stem=stem, paths=oasst_paths)


def read_conversations(path: Path | str) -> Iterator[Conversation]:
    """Conversations of a file, folder, glob, hub data set or `sharegpt`; the first bad record is an error.

    Raises:
        InputError: there is no such input, or no conversation in it.
        FormatError: a record cannot be read; names file and line or record.
    """
    found = False
    for file in sources.files([path]):
        for item in read(file):
            if isinstance(item, Dropped):
                raise FormatError(f"{item.reason}; mend or remove it, or let `humanturn prepare` drop it")
            found = True
            yield item
    if not found:
        raise InputError(f"{path}: holds no conversation")
