"""How far the work is: a bar with rate and time left on a terminal, plain lines elsewhere; always on stderr."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_EVERY_S = 10.0

Advance = Callable[[float], None]


def leads() -> bool:
    """False for all but the first of several processes that do one work (torchrun numbers them): it speaks for all."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def bar(label: str, total: float | None, unit: str = "") -> Iterator[Advance]:
    """Show progress of `label` towards `total` `unit`s; call the yielded function with each amount done."""
    if not leads():
        yield lambda amount: None
    elif sys.stderr.isatty():
        with _terminal_bar(label, total, unit) as advance:
            yield advance
    else:
        with _lines(label, total, unit) as advance:
            yield advance


@contextmanager
def _terminal_bar(label: str, total: float | None, unit: str) -> Iterator[Advance]:
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn(
            "{task.completed:,.0f}/{task.total:,.0f} " + unit if total else "{task.completed:,.0f} " + unit
        ),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
    )
    began = time.monotonic()
    with progress.Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(label, total=total, rate="")
        done = 0.0

        def advance(amount: float) -> None:
            nonlocal done
            done += amount
            shown.update(task, advance=amount, rate=_rate(done, began, unit))

        yield advance


@contextmanager
def _lines(label: str, total: float | None, unit: str) -> Iterator[Advance]:
    began = said = time.monotonic()
    done = 0.0

    def advance(amount: float) -> None:
        nonlocal done, said
        done += amount
        if time.monotonic() - said >= LINE_EVERY_S:
            said = time.monotonic()
            left = f", {(said - began) * (total - done) / done:.0f} s left" if total and done else ""
            of = f"/{total:,.0f}" if total else ""
            print(f"{label}: {done:,.0f}{of} {unit} {_rate(done, began, unit)}{left}", file=sys.stderr, flush=True)

    print(f"{label} ...", file=sys.stderr, flush=True)
    yield advance
    spent = time.monotonic() - began
    print(f"{label}: {done:,.0f} {unit} in {spent:.1f} s", file=sys.stderr, flush=True)


def _rate(done: float, began: float, unit: str) -> str:
    per_second = done / max(time.monotonic() - began, 1e-9)
    return (
        f"{per_second:,.1f} {unit}/s" if per_second >= 1 or not done else f"{1 / per_second:,.1f} s/{unit.rstrip('s')}"
    )
