"""Rules that look at all sessions at once: duplicates, the draw, and ids that stand twice."""

from collections.abc import Callable, Sequence

import msgspec

from humanturn.prepare.session import Row
from humanturn.prepare.split import order


def drop(row: Row, rule: str, reason: str) -> None:
    """Let a rule take what is left of a session."""
    if row.kept is not None:
        row.drop = msgspec.structs.replace(row.kept, rule=rule, reason=reason)


def duplicates(rows: Sequence[Row], *, prefix: bool) -> None:
    """Drop all but the longest copy of each session; among copies of one length the first stays."""
    _keep_longest(rows, "exact_duplicate", lambda row: row.exact, "says the same as")
    if prefix:
        _keep_longest(rows, "prefix_duplicate", lambda row: row.prefix, "begins with the same two turns as")


def _keep_longest(rows: Sequence[Row], rule: str, key: Callable[[Row], bytes], how: str) -> None:
    best = dict[bytes, Row]()
    alive = [row for row in rows if row.drop is None]
    for row in alive:
        other = best.get(key(row))
        if other is None or row.characters > other.characters:
            best[key(row)] = row
    for row in alive:
        kept = best[key(row)]
        # Paths of one OpenAssistant tree begin alike and are not copies.
        if kept is not row and (rule == "exact_duplicate" or kept.key != row.key):
            drop(row, rule, f"{how} {kept.id}")


def sample(rows: Sequence[Row], size: int | None, *, seed: int) -> None:
    """Keep the `size` sessions that come first in the order of drawing."""
    if size is None:
        return
    alive = sorted((row for row in rows if row.drop is None), key=lambda row: order(seed, row.key))
    for row in alive[size:]:
        drop(row, "sample", f"not among the {size} sessions drawn")


def rename(rows: Sequence[Row]) -> None:
    """Give sessions whose id stands earlier already an id of their own."""
    seen = set[str]()
    for row in rows:
        if row.drop is None:
            row.new_id, number = row.id, 2
            while row.new_id in seen:
                row.new_id, number = f"{row.id}~{number}", number + 1
            seen.add(row.new_id)
