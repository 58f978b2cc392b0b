"""Rules that look at all sessions at once: duplicates, the draw, and ids that stand twice."""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from humanturn.prepare.session import Row
from humanturn.prepare.split import order

Stratum = Literal["rounds", "source", "language"]


def _rounds(row: Row) -> str:
    return next(
        (name for most, name in ((1, "1"), (2, "2"), (4, "3-4"), (8, "5-8"), (16, "9-16")) if row.rounds <= most), "17+"
    )


STRATA: dict[Stratum, Callable[[Row], str]] = {
    "rounds": _rounds,
    "source": lambda row: row.source or "",
    "language": lambda row: row.language,
}


def drop(row: Row, rule: str, reason: str) -> None:
    """Let a rule take what is left of a session."""
    if row.kept is not None:
        row.drop = msgspec.structs.replace(row.kept, rule=rule, reason=reason)


def duplicates(rows: Sequence[Row], *, prefix: bool, threshold: float | None) -> None:
    """Drop all but the longest copy of each session; among copies of one length the first stays."""
    _keep_longest(rows)
    if prefix:
        _keep_whole(rows)
    if threshold is not None:
        from humanturn.prepare import near

        alive = [row for row in rows if row.drop is None and row.sketch]
        alive.sort(key=lambda row: -row.characters)
        for row, original in zip(alive, near.originals([row.sketch for row in alive], threshold), strict=True):
            kept = alive[original]
            if kept is not row and kept.key != row.key:
                drop(row, "near_duplicate", f"shares {threshold:.0%} or more of its five-word runs with {kept.id}")


def _keep_longest(rows: Sequence[Row]) -> None:
    best = dict[bytes, Row]()
    alive = [row for row in rows if row.drop is None]
    for row in alive:
        other = best.get(row.exact)
        if other is None or row.characters > other.characters:
            best[row.exact] = row
    for row in alive:
        kept = best[row.exact]
        if kept is not row:
            drop(row, "exact_duplicate", f"says the same as {kept.id}")


def _keep_whole(rows: Sequence[Row]) -> None:
    """Drop sessions that are the beginning of another: one conversation, shared at two moments."""
    longest = dict[bytes, Row]()
    alive = [row for row in rows if row.drop is None and row.beginnings]
    for row in sorted(alive, key=lambda row: -len(row.beginnings)):
        kept = longest.setdefault(row.beginnings[-1], row)
        # Paths of one OpenAssistant tree begin alike and are not copies.
        if kept is not row and kept.key != row.key:
            drop(row, "prefix_duplicate", f"is the beginning of {kept.id}")
            continue
        for beginning in row.beginnings:
            longest.setdefault(beginning, row)


def sample(rows: Sequence[Row], size: int | None, stratify: Sequence[Stratum], *, seed: int) -> None:
    """Keep `size` sessions, each stratum in its share; a smaller draw with the same seed is inside a larger one.

    Sessions of a stratum stand in the order of a hash. The place of the i-th of n is (i + 1/2) / n, and the draw takes
    the lowest places over all strata, so that every prefix of the order holds the strata in their shares.
    """
    if size is None:
        return
    strata = dict[tuple[str, ...], list[Row]]()
    alive = [row for row in rows if row.drop is None and row.segments]
    for row in sorted(alive, key=lambda row: (order(seed, row.key), row.id)):
        strata.setdefault(tuple(STRATA[name](row) for name in stratify), []).append(row)
    places = [((i + 0.5) / len(group), row) for group in strata.values() for i, row in enumerate(group)]
    places.sort(key=lambda place: (place[0], order(seed, place[1].key), place[1].id))
    for _, row in places[size:]:
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
