"""Write what is kept, what was dropped, and the funnel between them."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import msgspec

from humanturn import jsonl
from humanturn.conversation import Conversation
from humanturn.errors import InputError
from humanturn.prepare import funnel
from humanturn.prepare.privacy import KINDS
from humanturn.prepare.session import Row
from humanturn.prepare.split import is_heldout
from humanturn.records import Dropped

Rows = Sequence[tuple[Path, Row]]
"""Sessions in the order of the input, each with the spool file that holds its segments."""


def outputs(rows: Rows, out: Path, *, heldout: float, seed: int) -> dict[str, Any]:
    """Write all four files; return the summary.

    Raises:
        InputError: no session is left; `dropped.jsonl` and `funnel.json` say why.
    """
    kept = [(spool, row) for spool, row in rows if row.drop is None and row.segments]
    sides = _segments(kept, out, heldout, seed) if kept else {"train": [], "heldout": []}
    jsonl.write(out / "dropped.jsonl", _dropped(row for _, row in rows))
    summary = _funnel([row for _, row in rows], sides)
    jsonl.write_json(out / "funnel.json", summary)
    if not kept:
        took = {step["rule"]: step["sessions_dropped"] for step in summary["steps"] if step["sessions_dropped"]}
        lost = (loss for _, row in rows for loss in (*row.losses, *([row.drop] if row.drop else row.late_losses)))
        first = next((loss.reason for loss in lost if took.get(loss.rule)), "the input holds no record")
        counted = ", ".join(f"{rule} {n}" for rule, n in took.items())
        raise InputError(f"{out}: no session is left of {len(rows)} ({counted}); the first: {first}")
    return _compact(summary)


def _segments(kept: Rows, out: Path, heldout: float, seed: int) -> dict[str, list[Row]]:
    """Write the segments of every session to its side of the split; return which session went where."""
    sides: dict[str, list[Row]] = {"train": [], "heldout": []}
    with jsonl.replacing(out / "train.jsonl") as train, jsonl.replacing(out / "heldout.jsonl") as held:
        for spool, group in groupby(kept, key=lambda pair: pair[0]):
            data = spool.read_bytes()
            for _, row in group:
                side = "heldout" if is_heldout(seed, row.user or row.key, heldout) else "train"
                sides[side].append(row)
                (train if side == "train" else held).write(_lines(row, data))
    return sides


def _lines(row: Row, data: bytes) -> bytes:
    lines = data[row.offset : row.offset + row.size]
    if row.new_id == row.id:
        return lines
    renamed = bytearray()
    for line in lines.splitlines():
        segment = msgspec.json.decode(line, type=Conversation)
        parent = row.new_id if segment.parent_id == row.id else segment.parent_id
        name = row.new_id + segment.id[len(row.id) :]
        renamed += msgspec.json.encode(msgspec.structs.replace(segment, id=name, parent_id=parent)) + b"\n"
    return bytes(renamed)


def _dropped(rows: Iterator[Row]) -> Iterator[Dropped]:
    for row in rows:
        for loss in row.losses + (row.late_losses if row.drop is None else []):
            yield Dropped(row.id, loss.rule, loss.reason, row.source, loss.turns)
        if row.drop:
            yield Dropped(row.id, row.drop.rule, row.drop.reason, row.source, row.drop.turns)


def _funnel(rows: Sequence[Row], sides: dict[str, list[Row]]) -> dict[str, Any]:
    counted = funnel.Funnel()
    for row in rows:
        counted.take(row)
        for loss in row.losses:
            counted.lose(loss)
        if row.drop:
            counted.lose(row.drop, sessions=1)
            continue
        for number, loss in enumerate(row.late_losses):
            counted.lose(loss, sessions=int(not row.segments and number == 0))
    kept = [row for side in sides.values() for row in side]
    segments = sum(row.segments for row in kept)
    from_user = sum(row.starting_with_user for row in kept)
    return {
        "steps": counted.steps(),
        "segments": {side: funnel.segments(found) for side, found in sides.items()}
        | {
            "starting_with_user": from_user,
            "starting_with_assistant": segments - from_user,
            "truncated_context": sum(row.truncated_context for row in kept),
            "truncated_answers": sum(row.truncated_answers for row in kept),
        },
        "scrubbed": {kind: sum(row.scrubbed.get(kind, 0) for row in kept) for kind in KINDS},
        "renamed_ids": sum(row.new_id != row.id for row in kept),
    }


def _compact(summary: dict[str, Any]) -> dict[str, Any]:
    steps = summary["steps"]
    return {
        "sessions": steps[0]["sessions_left"],
        "sessions_kept": steps[-1]["sessions_left"],
        "dropped": {step["rule"]: step["sessions_dropped"] for step in steps if step["sessions_dropped"]},
        "steps": steps,
        "segments": summary["segments"],
    }
