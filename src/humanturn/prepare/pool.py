"""Chunks worked on by all cores, their results in the order of the input."""

import gc
import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from humanturn import progress
from humanturn.errors import FormatError, HumanturnError
from humanturn.formats import sources
from humanturn.formats.chunks import Chunk
from humanturn.prepare.session import Row, Rules, work
from humanturn.prepare.turns import Loss

SMALL = 6 << 20
"""Bytes of input below which starting processes costs more than it saves."""

_rules: Rules | None = None
"""What the workers need; a tokenizer cannot be sent, so they inherit it from the process they are forked from."""

_Waiting = deque[tuple[Path, int, Future[list[Row]]]]


def map_chunks(files: list[Path], spool: Path, rules: Rules, workers: int) -> Iterator[tuple[Path, list[Row]]]:
    """Work on every chunk of every file; yield each chunk's spool file and rows, in the order of the input.

    A file that cannot be read to its end yields a row that says so. Only as many chunks are read ahead as keep the
    workers busy, so that memory stays flat.

    Raises:
        HumanturnError: a worker process died.
    """
    total = sum(file.stat().st_size for file in files)
    executor = _executor(rules, workers) if workers > 1 and total > SMALL else None
    waiting: _Waiting = deque()
    try:
        with progress.bar("prepare", total, "bytes") as advance:
            for number, item in enumerate(_chunks(files)):
                lines = spool / f"{number}.jsonl"
                if isinstance(item, Row):
                    waiting.append((lines, 0, _done([item])))
                elif executor is None:
                    waiting.append((lines, item.read, _done(work(item, lines, rules))))
                else:
                    waiting.append((lines, item.read, executor.submit(_in_worker, item, lines)))
                if len(waiting) > 2 * workers or executor is None:
                    yield _next(waiting, advance)
            while waiting:
                yield _next(waiting, advance)
    except BrokenProcessPool:
        raise HumanturnError("a worker process died, probably for want of memory; try again with --workers 1") from None
    finally:
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)


def _chunks(files: list[Path]) -> Iterator[Chunk | Row]:
    """Chunks of all files, and a row for each file that is damaged from some place on."""
    for file in files:
        try:
            yield from sources.chunks(file)
        except FormatError as error:
            yield Row(id=str(file), key=str(file), drop=Loss("unreadable", str(error), 0, 0, 0))


def _executor(rules: Rules, workers: int) -> ProcessPoolExecutor | None:
    """Forked workers; None where a process cannot fork, and the work is done here."""
    global _rules
    if sys.platform != "linux":
        return None
    _rules = rules
    gc.freeze()  # what is loaded stays; looking through it again and again, and copying its pages, is a waste
    context = multiprocessing.get_context("fork")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)


def _start_worker() -> None:
    gc.disable()  # records are trees without cycles
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _in_worker(chunk: Chunk, lines: Path) -> list[Row]:
    assert _rules is not None
    return work(chunk, lines, _rules)


def _next(waiting: _Waiting, advance: progress.Advance) -> tuple[Path, list[Row]]:
    lines, read, future = waiting.popleft()
    rows = future.result()
    advance(read)
    return lines, rows


def _done(rows: list[Row]) -> Future[list[Row]]:
    future = Future[list[Row]]()
    future.set_result(rows)
    return future
