"""Writing models so that a full disk or a power cut leaves what was there before, and says so."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from humanturn.errors import HumanturnError

COMPLETE = "complete"
"""A checkpoint directory with this file was written to its end."""

LAST = "config.json"
"""A model folder that has this file is whole: it is put in place after all others."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def model_folder(out: Path) -> Iterator[Path]:
    """A draft folder whose files replace those of `out` when the block ends well, and vanish when it does not."""
    draft = out / ".draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        with explained(out):
            yield draft
            flush(draft)
        for file in sorted(draft.iterdir(), key=lambda f: f.name == LAST):
            file.replace(out / file.name)
        flush_directory(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def finish(checkpoint: Path) -> None:
    """Mark a checkpoint as whole, once all of it is on the disk."""
    flush(checkpoint)
    (checkpoint / COMPLETE).touch()
    flush_directory(checkpoint)


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; torn ones are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda p: int(p.name.rpartition("-")[2]))
    for torn in [p for p in found if not (p / COMPLETE).exists()]:
        shutil.rmtree(torn)
    whole = [p for p in found if p.exists()]
    return whole[-1] if whole else None


@contextmanager
def explained(out: Path) -> Iterator[None]:
    """Errors of writing under `out`, whichever library met them, as one that says what to do.

    Raises:
        HumanturnError: there is no room left.
    """
    try:
        yield
    except Exception as error:
        if not _no_room(error):
            raise
        free = shutil.disk_usage(out).free >> 20
        raise HumanturnError(
            f"{out}: no room to write the model ({free:,} MB are free there); what was saved before is kept,"
            " make room and go on with --resume"
        ) from error


def flush(folder: Path) -> None:
    """Wait until every file under `folder` is on the disk."""
    for file in [p for p in folder.rglob("*") if p.is_file()]:
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    flush_directory(folder)


def flush_directory(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _no_room(error: BaseException | None) -> bool:
    """True when the disk, a quota or a limit on file sizes is behind `error`.

    safetensors and torch's zip writer tell it in words only.
    """
    while error is not None:
        told = re.search(r"\(os error (\d+)\)", str(error))
        number = error.errno if isinstance(error, OSError) else int(told[1]) if told else None
        if number in _NO_ROOM or "inline_container.cc" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
