"""The six strategies side by side: the same models, the same token budget, one table.

humanturn train ... --role user --out runs/demo/user      a user model for `trained`
python benchmarks/strategies.py --user hf:runs/demo/user --budget 60ktok --out runs/strategies [--resume]

Every strategy may take the budget, read and written tokens of all its calls together, and no more; it stops there. What
is finished by then counts. The other seats are the embedded SmolLM2-135M-Instruct, which is weak at following formats:
what fails is in the table.
"""

import argparse
import sqlite3
from collections import Counter
from itertools import pairwise
from pathlib import Path

from humanturn import jsonl, run
from humanturn.analyze import lexical
from humanturn.analyze.distances import first_turn_diversity
from humanturn.analyze.replies import Said
from humanturn.conversation import Conversation
from humanturn.errors import BudgetReachedError
from humanturn.simulate.stage import SimulateSettings, simulate
from humanturn.simulate.strategies import STRATEGIES

DEFAULTS = {"user_max_tokens": 48, "assistant_max_tokens": 64}
PROMPTED = {"user_temperature": 0.7, "user_top_p": 0.9}
"""A small chat model falls apart at the temperature at which a trained user model is most human."""
OWN = {
    "trained": {},
    "self-instruct": PROMPTED | {"user_max_tokens": 64, "assistant_max_tokens": 160, "assistant_temperature": 0.5},
    "evol-instruct": PROMPTED | {"user_max_tokens": 64},
}
COLUMNS = (
    "strategy", "jobs", "conversations", "rounds", "tokens", "per round", "words a turn", "turns refused",
    "tokens wasted", "distinct-2", "first turns",
)  # fmt: skip


def main() -> None:
    given = arguments()
    print(f"{given.budget} for each strategy, context {given.max_tokens}, seed {given.seed}, {run.now()}")
    rows = [list(COLUMNS)]
    notes = []
    for name in given.strategies:
        play(name, given)
        row, note = measured(name, given.out / name)
        rows.append(row)
        notes.append(f"{name}: {note}")
    print("\n".join("| " + " | ".join(row) + " |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]]))
    print("\n".join(notes))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--user", required=True, help="SPEC of a trained user model")
    parser.add_argument("--chat", default="embedded", help="SPEC of the chat model that plays everybody else")
    parser.add_argument("--budget", default="60ktok")
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    return parser.parse_args()


def play(name: str, given: argparse.Namespace) -> None:
    """Simulate until the budget is spent; goes on with what an earlier call left."""
    settings = SimulateSettings(
        user=given.user if name == "trained" else given.chat,
        assistant=given.chat,
        judge=given.chat,
        strategy=name,
        count=400,
        max_tokens=given.max_tokens,
        budget=given.budget,
        concurrency=given.concurrency,
        seed=given.seed,
        **DEFAULTS | OWN.get(name, PROMPTED),
    )
    try:
        simulate(settings, given.out / name, resume=True)
    except BudgetReachedError as stop:
        print(f"{name}: {stop}", flush=True)


def measured(name: str, out: Path) -> tuple[list[str], str]:
    """A row of the table, and in words why jobs ended and what was refused."""
    talks = list(jsonl.read(out / "conversations.jsonl", Conversation))
    turns = [turn for talk in talks for turn in talk.turns_of("user")]
    first = [Said("", talk.id, True, talk.turns_of("user")[0]) for talk in talks]
    rounds = sum(talk.rounds() for talk in talks)
    with sqlite3.connect(out / "store.sqlite") as store:
        tokens = "SUM(prompt_tokens + completion_tokens)"
        spent, wasted = store.execute(
            f"SELECT {tokens}, {tokens} FILTER (WHERE discarded IS NOT NULL) FROM replies"
        ).fetchone()
        asked, refused = store.execute("SELECT COUNT(*), COUNT(discarded) FROM replies WHERE role = 'user'").fetchone()
        done = dict(store.execute("SELECT stop_reason, COUNT(*) FROM jobs WHERE status = 'done' GROUP BY stop_reason"))
        why = store.execute(
            "SELECT role || '.' || discarded, COUNT(*) FROM replies WHERE discarded IS NOT NULL"
            " GROUP BY 1 ORDER BY 2 DESC"
        ).fetchall()
    diversity = first_turn_diversity(first)
    row = [
        name,
        f"{sum(done.values()):,}",
        f"{len(talks):,}",
        f"{rounds / max(1, len(talks)):.1f}",
        f"{spent:,}",
        f"{spent / max(1, rounds):,.0f}",
        f"{sum(len(lexical.words(turn)) for turn in turns) / max(1, len(turns)):.1f}",
        f"{refused / asked:.1%}",
        f"{(wasted or 0) / spent:.1%}",
        f"{distinct_pairs(turns):.2f}",
        f"{diversity.value:.3f}" if diversity else "–",
    ]
    ended = ", ".join(f"{reason} {n}" for reason, n in Counter(done).most_common())
    return row, f"ended {ended}; refused {', '.join(f'{name} {n}' for name, n in why) or 'nothing'}"


def distinct_pairs(turns: list[str], most: int = 1000) -> float:
    """Distinct-2: different pairs of neighbouring words by all pairs, over the first `most` pairs, for equal sizes."""
    pairs = [pair for turn in turns for words in [lexical.words(turn)] for pair in pairwise(words)]
    return len(set(pairs[:most])) / max(1, len(pairs[:most]))


if __name__ == "__main__":
    main()
