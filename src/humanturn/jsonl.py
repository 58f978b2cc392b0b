"""JSON Lines files: read with line-numbered errors, append durably, write whole or not at all."""

import io
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from humanturn.errors import FormatError, HumanturnError, InputError

T = TypeVar("T")


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressing `.gz` and `.zst`.

    Raises:
        InputError: the file is missing, a directory, or not readable.
    """
    try:
        if path.suffix == ".gz":
            import gzip

            return io.BufferedReader(gzip.open(path))
        if path.suffix == ".zst":
            return io.BufferedReader(_Zstandard(path))
        return path.open("rb")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory; give a file inside it") from None
    except PermissionError:
        raise InputError(f"{path}: not readable; check its permissions") from None


class _Zstandard(io.RawIOBase):
    """A `.zst` file, frame by frame; the library's own reader takes one that is cut off for a whole one."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame: Any = None
        self._compressed = b""
        self._text = memoryview(b"")

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: Any) -> int:
        """As `RawIOBase.readinto`.

        Raises:
            EOFError: the file ends within a frame.
        """
        import zstandard

        while not self._text:
            self._compressed = self._compressed or self._file.read(1 << 16)
            if not self._compressed:
                if self._frame is None:
                    return 0
                raise EOFError("it ends before its end")
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            self._text, self._compressed = memoryview(self._frame.decompress(self._compressed)), b""
            if self._frame.eof:
                self._compressed, self._frame = self._frame.unused_data, None
        size = min(len(buffer), len(self._text))
        buffer[:size], self._text = self._text[:size], self._text[size:]
        return size


def read(path: Path, type: type[T]) -> Iterator[T]:
    """Yield one `type` per line of a JSONL file; blank lines are passed over.

    Raises:
        InputError: the file cannot be opened.
        FormatError: a line is not a `type`; names file and line.
    """
    decoder = msgspec.json.Decoder(type)
    with open_bytes(path) as file:
        for number, line in enumerate(_whole_lines(path, file), 1):
            if not line.strip():
                continue
            try:
                yield decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise FormatError(f"{path}:{number}: {error}; mend or remove the line") from None


def _whole_lines(path: Path, file: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from file
    except EOFError as error:
        raise FormatError(f"{path}: its compression is damaged ({error}); get the file again") from None


def write(path: Path, records: Iterable[Any]) -> int:
    """Write `records` as JSONL, whole or not at all; return how many there were."""
    count = 0
    encoder = msgspec.json.Encoder()
    with replacing(path) as file:
        for record in records:
            file.write(encoder.encode(record) + b"\n")
            count += 1
    return count


def write_json(path: Path, value: Any) -> None:
    """Write one readable JSON document, whole or not at all."""
    with replacing(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` when the block ends well, and vanishes when it does not.

    Raises:
        HumanturnError: the disk is full or the directory cannot be written to.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        if error.filename not in (None, str(draft), str(path), str(path.parent)):
            raise
        free = shutil.disk_usage(path.parent).free >> 20 if path.parent.exists() else 0
        raise HumanturnError(f"{path}: cannot write ({error.strerror}); {free} MB are free there") from error
    finally:
        draft.unlink(missing_ok=True)


def append(path: Path, record: Any) -> None:
    """Add one line and flush it to the operating system."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(record) + b"\n")


def repair(path: Path) -> int:
    """Cut a torn last line (a process died while writing); return how many bytes went."""
    if not path.exists():
        return 0
    data = path.read_bytes()
    keep = data.rfind(b"\n") + 1
    if keep < len(data):
        with path.open("r+b") as file:
            file.truncate(keep)
    return len(data) - keep
