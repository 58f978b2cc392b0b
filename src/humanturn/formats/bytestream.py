"""Files as UTF-8 bytes: decompressed, without byte order mark, whatever encoding they came in."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from humanturn.errors import FormatError
from humanturn.jsonl import open_bytes

READ = 1 << 20
"""Bytes asked for at a time."""

_MARKS = (
    (codecs.BOM_UTF8, None),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def utf8(path: Path) -> Iterator[bytes]:
    """The file's text in pieces of about a megabyte.

    Raises:
        InputError: the file is missing or cannot be opened.
        FormatError: a compressed file is damaged.
    """
    try:
        with open_bytes(path) as file:
            # Of a damaged archive, unbuffered reading hands out what comes before the damage.
            raw = getattr(file, "raw", file)
            read = getattr(raw, "read1", raw.read)
            first = read(READ)
            encoding, first = _encoding(first)
            decode = codecs.getincrementaldecoder(encoding)("replace") if encoding else None
            piece = first
            while piece:
                yield decode.decode(piece).encode("utf-8", "replace") if decode else piece
                piece = read(READ)
    except (EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise FormatError(f"{path}: its compression is damaged ({error}); what came before was kept") from None
    except Exception as error:
        if type(error).__name__ != "ZstdError" and type(error).__module__ != "zlib":
            raise
        raise FormatError(f"{path}: its compression is damaged ({error}); what came before was kept") from None


def _encoding(first: bytes) -> tuple[str | None, bytes]:
    """The encoding when it is not UTF-8, and the bytes that follow a UTF-8 mark."""
    for mark, encoding in _MARKS:
        if first.startswith(mark):
            return (encoding, first) if encoding else (None, first[len(mark) :])
    # JSON opens with two ASCII characters, so zeros beside them are UTF-16 without a mark.
    zeros = [byte == 0 for byte in first[:4]]
    if zeros == [False, True, False, True]:
        return "utf-16-le", first
    if zeros == [True, False, True, False]:
        return "utf-16-be", first
    return None, first
