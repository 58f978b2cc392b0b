"""Who compares what, and which answer stands first."""

import sqlite3
from collections import Counter

from humanturn import run
from humanturn.errors import InputError


def assign(db: sqlite3.Connection, k: int, seed: int) -> None:
    """Give every item `k` annotators, the least busy first, and draw the order of its answers for each.

    What is assigned already stays.

    Raises:
        InputError: there are fewer than `k` annotators.
    """
    people = [int(row[0]) for row in db.execute("SELECT id FROM annotators ORDER BY id")]
    if len(people) < k:
        raise InputError(f"every item is to be seen by {k} annotators, and there are {len(people)}; add some")
    load: Counter[int] = Counter(dict.fromkeys(people, 0))
    seen: dict[int, set[int]] = {}
    for annotator, item in db.execute("SELECT annotator, item FROM assignments"):
        load[annotator] += 1
        seen.setdefault(item, set()).add(annotator)
    items = [int(row[0]) for row in db.execute("SELECT id FROM items")]
    for item in sorted(items, key=lambda item: run.derived_seed(seed, "item", item)):
        already = seen.get(item, set())
        free = [person for person in people if person not in already]
        free.sort(key=lambda person: (load[person], run.derived_seed(seed, item, person)))
        for person in free[: max(0, k - len(already))]:
            load[person] += 1
            swapped = run.derived_seed(seed, "order", item, person) & 1
            values = (person, item, load[person], swapped)
            db.execute("INSERT INTO assignments (annotator, item, place, swapped) VALUES (?, ?, ?, ?)", values)
