"""Where a simulation lives: one SQLite file that holds every paid reply before the next one is asked for.

Schema 2. `jobs`: one row per conversation to be. `opening` holds the turns it begins with (JSON); `source`, `intent`,
`persona`, `rounds` and `category` what else it was given; `status` is `open`, `done` or `failed`, `stop_reason` why it
ended (`termination.REASONS`). `conversations` is NULL when the job's replies are its conversation, turn by turn; else
it holds what was made of them (JSON, a list of conversations, each a list of turns; `[]` when all was discarded).

`replies`: one row per reply received, in the order received. `position` is the index of the turn, or the number of the
step in strategies that do not speak turn by turn; `role` is the seat that spoke: `user`, `assistant` or `judge`;
`discarded` names the guard or rule that refused the reply, and is NULL for replies that were kept; `usd` is what it
cost at the prices of the day (NULL: unknown), `at` when it was kept (Unix time).

`lost`: one row per call that brought no reply though it may be charged (the answer was cut off, came too late or made
no sense), with the most tokens it can have taken.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from humanturn.conversation import Conversation, Turn
from humanturn.database import open_store
from humanturn.records import Reply
from humanturn.simulate.ledger import Lost

SCHEMA = 2
PAGE = 256
"""Jobs read at a time."""

Seat = Literal["user", "assistant", "judge"]
"""Who was asked."""

_TABLES = """
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY, seed INTEGER NOT NULL, opening TEXT NOT NULL, source TEXT,
  intent TEXT, persona TEXT, rounds INTEGER, category TEXT,
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'failed')), stop_reason TEXT, error TEXT,
  conversations TEXT);
CREATE TABLE replies (
  id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES jobs (id),
  position INTEGER NOT NULL, attempt INTEGER NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'judge')), content TEXT NOT NULL, discarded TEXT,
  model TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
  finish_reason TEXT NOT NULL, seconds REAL NOT NULL,
  usd REAL, at REAL NOT NULL DEFAULT ((julianday('now') - 2440587.5) * 86400),
  UNIQUE (job, position, attempt));
CREATE TABLE lost (
  id INTEGER PRIMARY KEY, model TEXT NOT NULL, cause TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL, usd REAL, at REAL NOT NULL DEFAULT ((julianday('now') - 2440587.5) * 86400));
"""

Talk = tuple[Turn, ...]


class Job(msgspec.Struct, frozen=True):
    """A conversation to be simulated."""

    id: int
    seed: int
    opening: Talk = ()
    source: str | None = None
    """Id of the conversation it was seeded with."""
    intent: str | None = None
    """What its human wants."""
    persona: str | None = None
    """Who its human is."""
    rounds: int | None = None
    """The rounds it ends after."""
    category: str | None = None
    """Category of the conversation it was seeded with, where the source tells one."""


class Store:
    """The simulation in `path`; made when it is not there."""

    def __init__(self, path: Path) -> None:
        self._db = open_store(path, holds="simulation", tables=_TABLES, schema=SCHEMA, synchronous="NORMAL")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add_jobs(self, jobs: Iterable[Job]) -> None:
        """Add the jobs that are not there yet."""
        rows = ((j.id, j.seed, _json(j.opening), j.source, j.intent, j.persona, j.rounds, j.category) for j in jobs)
        with self._db:
            self._db.execute("BEGIN")
            self._db.executemany(
                "INSERT OR IGNORE INTO jobs (id, seed, opening, source, intent, persona, rounds, category)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def jobs(self, status: str, first: int = 0, stop: int | None = None) -> Iterator[Job]:
        """Jobs of one status from `first` to `stop`, in order, a page at a time: there may be millions."""
        while True:
            rows = self._db.execute(
                "SELECT id, seed, opening, source, intent, persona, rounds, category FROM jobs"
                " WHERE id >= ? AND id < ? AND status = ? ORDER BY id LIMIT ?",
                (first, 2**62 if stop is None else stop, status, PAGE),
            ).fetchall()
            for number, seed, opening, *given in rows:
                yield Job(number, seed, msgspec.json.decode(opening, type=Talk), *given)
            if len(rows) < PAGE:
                return
            first = rows[-1][0] + 1

    def count(self, status: str) -> int:
        """How many jobs have this status."""
        return int(self._db.execute("SELECT COUNT(*) FROM jobs WHERE status = ?", (status,)).fetchone()[0])

    def spent(self) -> list[tuple[str, int, int, float | None]]:
        """(model, prompt tokens, completion tokens, dollars or None where no price was known), lost calls included."""
        return self._db.execute(
            "SELECT model, SUM(prompt_tokens), SUM(completion_tokens), SUM(usd) FROM (SELECT model, prompt_tokens,"
            " completion_tokens, usd FROM replies UNION ALL SELECT model, prompt_tokens, completion_tokens, usd"
            " FROM lost) GROUP BY model, usd IS NULL"
        ).fetchall()

    def replies(self, job: int) -> dict[tuple[int, int], tuple[Reply, str | None]]:
        """Every reply the job has received, with what refused it, by (position, attempt)."""
        rows = self._db.execute(
            "SELECT position, attempt, discarded, content, model, prompt_tokens, completion_tokens, finish_reason,"
            " seconds, usd FROM replies WHERE job = ?",
            (job,),
        )
        return {(position, attempt): (Reply(*reply), discarded) for position, attempt, discarded, *reply in rows}

    def commit(self, job: Job, position: int, attempt: int, role: Seat, reply: Reply, discarded: str | None) -> None:
        """Keep a reply for good; it is on disk when this returns."""
        self._db.execute(
            "INSERT INTO replies (job, position, attempt, role, content, discarded, model, prompt_tokens,"
            " completion_tokens, finish_reason, seconds, usd) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (job.id, position, attempt, role, reply.text, discarded, *_spent(reply)),
        )

    def lose(self, lost: Lost) -> None:
        """Keep a call that brought no reply and may be charged all the same."""
        self._db.execute(
            "INSERT INTO lost (model, cause, prompt_tokens, completion_tokens, usd) VALUES (?, ?, ?, ?, ?)",
            (lost.model, lost.cause, lost.prompt_tokens, lost.completion_tokens, lost.usd),
        )

    def finish(
        self,
        job: int,
        stop_reason: str,
        conversations: Sequence[Talk] | None = None,
        filtered: Mapping[int, str] | None = None,
    ) -> None:
        """The job is over.

        Args:
            job: its id.
            stop_reason: why.
            conversations: what was made of its replies; None when they are its conversation, turn by turn.
            filtered: what takes a kept reply out of the conversation after all, by position.
        """
        made = None if conversations is None else _json(conversations)
        with self._db:
            self._db.execute("BEGIN")
            self._db.executemany(
                "UPDATE replies SET discarded = ? WHERE job = ? AND position = ? AND discarded IS NULL",
                [(cause, job, position) for position, cause in (filtered or {}).items()],
            )
            self._db.execute(
                "UPDATE jobs SET status = 'done', stop_reason = ?, conversations = ? WHERE id = ?",
                (stop_reason, made, job),
            )

    def fail(self, job: Job, error: str) -> None:
        """The conversation cannot go on; what was said is kept."""
        self._db.execute("UPDATE jobs SET status = 'failed', error = ? WHERE id = ?", (error, job.id))

    def reopen_failed(self) -> int:
        """Let failed conversations go on; returns how many."""
        return self._db.execute("UPDATE jobs SET status = 'open', error = NULL WHERE status = 'failed'").rowcount

    def first_kept(self, jobs: range) -> list[tuple[int, str]]:
        """(id, text of the first reply) of those finished jobs whose first reply was kept; in order."""
        rows = self._db.execute(
            "SELECT jobs.id, content FROM jobs JOIN replies ON job = jobs.id WHERE status = 'done' AND position = 0"
            " AND discarded IS NULL AND jobs.id >= ? AND jobs.id < ? AND (jobs.id - ?) % ? = 0 ORDER BY jobs.id",
            (jobs.start, jobs.stop, jobs.start, jobs.step),
        )
        return list(rows)

    def talks(self) -> Iterator[tuple[Job, list[Talk]]]:
        """What came of the finished jobs, in order; each conversation ends with an answer, and is no mere opening."""
        for job in self.jobs("done"):
            made = self._db.execute("SELECT conversations FROM jobs WHERE id = ?", (job.id,)).fetchone()[0]
            talks = msgspec.json.decode(made, type=list[Talk]) if made is not None else [self._said(job)]
            given = 0 if made is not None else len(job.opening)
            yield job, [talk for talk in map(_ended, talks) if len(talk) > given]

    def conversations(self, strategy: str) -> Iterator[Conversation]:
        """Finished conversations with at least one round, in job order."""
        for job, talks in self.talks():
            meta = self._meta(job, strategy) if talks else {}
            for number, talk in enumerate(talks):
                name = f"sim-{job.id:06d}" + (f"-{number + 1}" if number else "")
                yield Conversation(id=name, messages=talk, source="simulated", meta=meta)

    def summary(self) -> dict[str, Any]:
        """Counts of jobs, stop reasons, guard events and tokens, for the ledger and the manifest."""
        count = self._db.execute
        spent = count(
            "SELECT role, model, COUNT(*), SUM(prompt_tokens), SUM(completion_tokens), SUM(discarded IS NOT NULL)"
            ", SUM(usd) FROM replies GROUP BY role, model ORDER BY role, model"
        )
        lost = count(
            "SELECT model, COUNT(*), SUM(prompt_tokens), SUM(completion_tokens), SUM(usd)"
            " FROM lost GROUP BY model ORDER BY model"
        )
        keys = ("role", "model", "replies", "prompt_tokens", "completion_tokens", "discarded", "usd")
        lost_keys = ("model", "calls", "prompt_tokens", "completion_tokens", "usd")
        refused = count(
            "SELECT role, discarded, COUNT(*) FROM replies WHERE discarded IS NOT NULL GROUP BY role, discarded"
        ).fetchall()
        asked = dict(count("SELECT role, COUNT(*) FROM replies GROUP BY role").fetchall())
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
            "guard_rates": {f"{role}.{name}": n / asked[role] for role, name, n in refused},
            "errors": dict(count("SELECT error, COUNT(*) FROM jobs WHERE status = 'failed' GROUP BY error").fetchall()),
            "spent": [dict(zip(keys, row, strict=True)) for row in spent],
            "lost": [dict(zip(lost_keys, row, strict=True)) for row in lost],
        }

    def _said(self, job: Job) -> Talk:
        rows = self._db.execute(
            "SELECT role, content FROM replies WHERE job = ? AND discarded IS NULL AND role != 'judge'"
            " ORDER BY position",
            (job.id,),
        )
        return (*job.opening, *(Turn(role, content) for role, content in rows))

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
        given = {"intent": job.intent, "persona": job.persona, "rounds": job.rounds, "category": job.category}
        opened = {"seeded_by": job.source, "opening_turns": len(job.opening)} if job.opening else {}
        return meta | {name: value for name, value in given.items() if value is not None} | opened


def _ended(talk: Talk) -> Talk:
    """The conversation up to its last answer."""
    end = len(talk)
    while end and talk[end - 1].role != "assistant":
        end -= 1
    return talk[:end]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _spent(reply: Reply) -> tuple[str, int, int, str, float, float | None]:
    return reply.model, reply.prompt_tokens, reply.completion_tokens, reply.finish_reason, reply.seconds, reply.usd
