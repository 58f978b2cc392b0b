"""Where an evaluation lives: one SQLite file that holds every answer and every judge's reply once it is received.

Schema 1. `answers`: a turn of a model's answer to a question. `judgments`: a judge's reply about one answer (`second`
empty) or about two in the order shown; `verdict` is the grade or `A`, `B`, `tie`, and NULL when the reply could not be
read. `error` holds why an endpoint refused for good; then there is no text.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from humanturn.database import open_store
from humanturn.records import Reply

SCHEMA = 1

_REPLY = """text TEXT NOT NULL, finish_reason TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
  completion_tokens INTEGER NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL, error TEXT"""
_TABLES = f"""
CREATE TABLE answers (
  model TEXT NOT NULL, question TEXT NOT NULL, turn INTEGER NOT NULL, {_REPLY}, PRIMARY KEY (model, question, turn));
CREATE TABLE judgments (
  judge TEXT NOT NULL, question TEXT NOT NULL, turn INTEGER NOT NULL, first TEXT NOT NULL, second TEXT NOT NULL,
  repeat INTEGER NOT NULL, attempt INTEGER NOT NULL, prompt TEXT NOT NULL, asked TEXT NOT NULL, verdict TEXT, {_REPLY},
  PRIMARY KEY (judge, question, turn, first, second, repeat, attempt));
"""
_REPLY_COLUMNS = "text, finish_reason, prompt_tokens, completion_tokens, seconds, at, error"

ATTEMPTS = 2
"""Replies asked of a judge before its judgment counts as unparsed."""


class Asked(msgspec.Struct, frozen=True):
    """Identity of a judgment."""

    judge: str
    question: str
    """JSON of the question's id: 81 and "81" are two questions."""
    turn: int
    first: str
    second: str
    """Empty when one answer is graded."""
    repeat: int


class Judged(msgspec.Struct, frozen=True):
    """A judge's reply as stored."""

    asked: Asked
    attempt: int
    prompt: str
    user_prompt: str
    verdict: str | None
    text: str
    at: float
    error: str | None


class AnswerTurn(msgspec.Struct, frozen=True):
    """One turn of a model's answer as stored."""

    text: str
    finish_reason: str
    at: float
    error: str | None


class Store:
    """The evaluation in `path`; made when it is not there."""

    def __init__(self, path: Path) -> None:
        self._db = open_store(path, holds="evaluation", tables=_TABLES, schema=SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def forget_refusals(self) -> None:
        """Let what an endpoint refused for good be asked again."""
        self._db.execute("DELETE FROM answers WHERE error IS NOT NULL")
        self._db.execute("DELETE FROM judgments WHERE error IS NOT NULL")

    def refusal(self) -> str | None:
        """Why an endpoint refused an answer, if one did."""
        row = self._db.execute("SELECT error FROM answers WHERE error IS NOT NULL LIMIT 1").fetchone()
        return str(row[0]) if row else None

    def answer(self, model: str, question: str) -> list[AnswerTurn]:
        """Turns of the answer so far."""
        rows = self._db.execute(
            "SELECT text, finish_reason, at, error FROM answers WHERE model = ? AND question = ? ORDER BY turn",
            (model, question),
        )
        return [AnswerTurn(*row) for row in rows]

    def keep_answer(self, model: str, question: str, turn: int, reply: Reply, error: str | None = None) -> None:
        """Keep a turn for good; it is on disk when this returns."""
        self._db.execute(
            f"INSERT INTO answers (model, question, turn, {_REPLY_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)",
            (model, question, turn, *_columns(reply, error)),
        )

    def judgment(self, asked: Asked) -> list[Judged]:
        """A judge's replies to one request, in order; the last is the one that counts."""
        where = " AND ".join(f"{name} = ?" for name in Asked.__struct_fields__)
        return list(self._judged(f"WHERE {where} ORDER BY attempt", msgspec.structs.astuple(asked)))

    def final_judgments(self) -> Iterator[Judged]:
        """Of every request the reply that counts, in the order of requests."""
        return self._judged(
            "j WHERE attempt = (SELECT MAX(attempt) FROM judgments WHERE judge = j.judge AND question = j.question"
            " AND turn = j.turn AND first = j.first AND second = j.second AND repeat = j.repeat) ORDER BY rowid"
        )

    def keep_judgment(
        self,
        asked: Asked,
        attempt: int,
        asked_with: tuple[str, str],
        verdict: str | None,
        reply: Reply,
        error: str | None = None,
    ) -> None:
        """Keep a judge's reply for good; `asked_with` is the name of the prompt and its text."""
        self._db.execute(
            "INSERT INTO judgments (judge, question, turn, first, second, repeat, attempt, prompt, asked, verdict,"
            f" {_REPLY_COLUMNS}) VALUES ({','.join('?' * 17)})",
            (*msgspec.structs.astuple(asked), attempt, *asked_with, verdict, *_columns(reply, error)),
        )

    def spent(self) -> list[dict[str, Any]]:
        """Replies and tokens by role and name; `discarded` counts replies of judges that could not be read."""
        rows = self._db.execute(
            "SELECT 'answer', model, COUNT(*), SUM(prompt_tokens), SUM(completion_tokens), 0, SUM(seconds)"
            " FROM answers GROUP BY model UNION ALL SELECT 'judge', judge, COUNT(*), SUM(prompt_tokens),"
            " SUM(completion_tokens), SUM(verdict IS NULL), SUM(seconds) FROM judgments GROUP BY judge"
        )
        keys = ("role", "model", "replies", "prompt_tokens", "completion_tokens", "discarded", "seconds")
        return [dict(zip(keys, row, strict=True)) for row in rows]

    def _judged(self, rest: str, values: tuple[Any, ...] = ()) -> Iterator[Judged]:
        rows = self._db.execute(
            "SELECT judge, question, turn, first, second, repeat, attempt, prompt, asked, verdict, text, at, error"
            f" FROM judgments {rest}",
            values,
        )
        for row in rows:
            yield Judged(Asked(*row[:6]), *row[6:])


def _columns(reply: Reply, error: str | None) -> tuple[Any, ...]:
    return (
        *(reply.text, reply.finish_reason, reply.prompt_tokens, reply.completion_tokens, reply.seconds),
        *(time.time(), error),
    )
