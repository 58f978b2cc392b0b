"""Where a simulation lives: one SQLite file that holds every paid reply before the next one is asked for.

Schema 1. `jobs`: one row per conversation to be, with its opening turns (JSON), its status (`open`, `done`, `failed`)
and why it ended. `replies`: one row per reply received, in the order received; `discarded` names the guard that
refused it, and is NULL for the turns of the conversation.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from humanturn.conversation import Conversation, Role, Turn
from humanturn.database import open_store
from humanturn.records import Reply

SCHEMA = 1

_TABLES = """
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY, seed INTEGER NOT NULL, opening TEXT NOT NULL, source TEXT,
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'failed')), stop_reason TEXT, error TEXT);
CREATE TABLE replies (
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES jobs (id),
  position INTEGER NOT NULL, attempt INTEGER NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL, discarded TEXT,
  model TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  finish_reason TEXT NOT NULL, seconds REAL NOT NULL,
  UNIQUE (job, position, attempt));
"""


class Job(msgspec.Struct, frozen=True):
    """A conversation to be simulated."""

    id: int
    seed: int
    opening: tuple[Turn, ...] = ()
    source: str | None = None
    """Id of the conversation it was seeded with."""


class Store:
    """The simulation in `path`; made when it is not there."""

    def __init__(self, path: Path) -> None:
        self._db = open_store(path, holds="simulation", tables=_TABLES, schema=SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add_jobs(self, jobs: Iterable[Job]) -> None:
        """Add the jobs that are not there yet."""
        rows = [(j.id, j.seed, msgspec.json.encode(j.opening).decode(), j.source) for j in jobs]
        with self._db:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR IGNORE INTO jobs (id, seed, opening, source) VALUES (?, ?, ?, ?)", rows)

    def jobs(self, status: str) -> list[Job]:
        """Jobs of one status, in order."""
        rows = self._db.execute("SELECT id, seed, opening, source FROM jobs WHERE status = ? ORDER BY id", (status,))
        return [
            Job(i, s, msgspec.json.decode(opening, type=tuple[Turn, ...]), source) for i, s, opening, source in rows
        ]

    def turns(self, job: Job) -> list[Turn]:
        """The conversation so far: its opening and every accepted reply."""
        rows = self._db.execute(
            "SELECT role, content FROM replies WHERE job = ? AND discarded IS NULL ORDER BY position", (job.id,)
        )
        return [*job.opening, *(Turn(role, content) for role, content in rows)]

    def attempts(self, job: Job, position: int) -> int:
        """How many replies have been received for one position, discarded ones included."""
        row = self._db.execute("SELECT COUNT(*) FROM replies WHERE job = ? AND position = ?", (job.id, position))
        return int(row.fetchone()[0])

    def commit(self, job: Job, position: int, attempt: int, role: Role, reply: Reply, discarded: str | None) -> None:
        """Keep a reply for good; it is on disk when this returns."""
        self._db.execute(
            "INSERT INTO replies (job, position, attempt, role, content, discarded, model, prompt_tokens,"
            " completion_tokens, finish_reason, seconds) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (job.id, position, attempt, role, reply.text, discarded, *_spent(reply)),
        )

    def finish(self, job: Job, stop_reason: str) -> None:
        """The conversation is over."""
        self._db.execute("UPDATE jobs SET status = 'done', stop_reason = ? WHERE id = ?", (stop_reason, job.id))

    def fail(self, job: Job, error: str) -> None:
        """The conversation cannot go on; what was said is kept."""
        self._db.execute("UPDATE jobs SET status = 'failed', error = ? WHERE id = ?", (error, job.id))

    def reopen_failed(self) -> int:
        """Let failed conversations go on; returns how many."""
        return self._db.execute("UPDATE jobs SET status = 'open', error = NULL WHERE status = 'failed'").rowcount

    def conversations(self, strategy: str) -> Iterator[Conversation]:
        """Finished conversations with at least one round, in job order."""
        for job in self.jobs("done"):
            turns = self.turns(job)
            while turns and turns[-1].role != "assistant":
                turns.pop()
            if turns:
                yield Conversation(
                    id=f"sim-{job.id:06d}", messages=tuple(turns), source="simulated", meta=self._meta(job, strategy)
                )

    def summary(self) -> dict[str, Any]:
        """Counts of jobs, stop reasons, guard events and tokens, for the ledger and the manifest."""
        count = self._db.execute
        spent = count(
            "SELECT role, model, COUNT(*), SUM(prompt_tokens), SUM(completion_tokens), SUM(discarded IS NOT NULL)"
            " FROM replies GROUP BY role, model ORDER BY role, model"
        )
        keys = ("role", "model", "replies", "prompt_tokens", "completion_tokens", "discarded")
        return {
            "jobs": dict(count("SELECT status, COUNT(*) FROM jobs GROUP BY status").fetchall()),
            "stop_reasons": dict(
                count("SELECT stop_reason, COUNT(*) FROM jobs WHERE status = 'done' GROUP BY stop_reason").fetchall()
            ),
            "guards": dict(
                count(
                    "SELECT discarded, COUNT(*) FROM replies WHERE discarded IS NOT NULL GROUP BY discarded"
                ).fetchall()
            ),
            "errors": dict(count("SELECT error, COUNT(*) FROM jobs WHERE status = 'failed' GROUP BY error").fetchall()),
            "spent": [dict(zip(keys, row, strict=True)) for row in spent],
        }

    def _meta(self, job: Job, strategy: str) -> dict[str, Any]:
        reason = self._db.execute("SELECT stop_reason FROM jobs WHERE id = ?", (job.id,)).fetchone()[0]
        rows = self._db.execute(
            "SELECT role, discarded, finish_reason, model FROM replies WHERE job = ? ORDER BY position, attempt",
            (job.id,),
        ).fetchall()
        guards = [discarded for _, discarded, _, _ in rows if discarded]
        meta: dict[str, Any] = {
            "strategy": strategy,
            "stop_reason": reason,
            "seed": job.seed,
            "models": {role: model for role, _, _, model in rows},
            "cut_answers": sum(role == "assistant" and end == "length" for role, _, end, _ in rows),
            "events": {name: guards.count(name) for name in dict.fromkeys(guards)},
        }
        return meta | ({"seeded_by": job.source, "opening_turns": len(job.opening)} if job.opening else {})


def _spent(reply: Reply) -> tuple[str, int, int, str, float]:
    return reply.model, reply.prompt_tokens, reply.completion_tokens, reply.finish_reason, reply.seconds


def openings(seeds: Sequence[Conversation]) -> list[tuple[str, tuple[Turn, ...]]]:
    """(id, opening turns) of every seed: its first round, or its first user turn when nobody answered (section 5.2)."""
    found = []
    for seed in seeds:
        first = next((n for n, turn in enumerate(seed.messages) if turn.role == "user"), None)
        if first is not None:
            answered = first + 1 < len(seed.messages) and seed.messages[first + 1].role == "assistant"
            found.append((seed.id, seed.messages[first : first + 1 + answered]))
    return found
