"""Where an annotation lives: one SQLite file with items, annotators, who sees what in which order, and every vote.

Schema 1. `votes` holds what counts now; `log` every vote and undo ever made, for audits. A verdict is about the models
(`model_1`, `model_2`, `tie`), not about places on the screen: `swapped` says that an annotator sees `model_2` first.
"""

import hashlib
import hmac
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from humanturn.annotate.assign import assign
from humanturn.annotate.pairs import Item
from humanturn.errors import InputError

SCHEMA = 1
BUSY_S = 60.0

Choice = Literal["first", "tie", "second"]
"""What an annotator says of the two answers as shown."""

_TABLES = """
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE items (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
CREATE TABLE annotators (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, token TEXT NOT NULL UNIQUE);
CREATE TABLE assignments (
  annotator INTEGER NOT NULL REFERENCES annotators (id), item INTEGER NOT NULL REFERENCES items (id),
  place INTEGER NOT NULL, swapped INTEGER NOT NULL, PRIMARY KEY (annotator, item), UNIQUE (annotator, place));
CREATE TABLE votes (
  annotator INTEGER NOT NULL, item INTEGER NOT NULL, verdict TEXT NOT NULL
    CHECK (verdict IN ('model_1', 'model_2', 'tie')), comment TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (annotator, item), FOREIGN KEY (annotator, item) REFERENCES assignments (annotator, item));
CREATE TABLE log (
  id INTEGER PRIMARY KEY, annotator INTEGER NOT NULL, item INTEGER NOT NULL, verdict TEXT, comment TEXT,
  at REAL NOT NULL);
"""


class Shown(msgspec.Struct, frozen=True):
    """An item as one annotator sees it."""

    place: int
    """From 1, among the annotator's own."""
    item: Item
    swapped: bool
    choice: Choice | None
    """What the annotator said, if anything yet."""
    comment: str

    @property
    def answers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The two answers in the order shown."""
        both = (self.item.answer_1, self.item.answer_2)
        return (both[1], both[0]) if self.swapped else both


class Vote(msgspec.Struct, frozen=True):
    """A vote as it counts, for export."""

    item: Item
    annotator: str
    verdict: Literal["model_1", "model_2", "tie"]
    shown_first: Literal["model_1", "model_2"]
    comment: str
    at: float


class Store:
    """The annotation in `path`. Threads may share a Store; they wait in line."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if not create and not path.exists():
            raise InputError(f"{path}: no such annotation; humanturn annotate serve makes one")
        self.path = path
        self._turn = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            version = self._prepare()
        except (sqlite3.DatabaseError, OSError) as error:
            raise InputError(f"{path}: cannot be used as an annotation file ({error}); choose another") from None
        if version != SCHEMA:
            raise InputError(f"{path}: has schema {version}, and this humanturn reads {SCHEMA}; choose another file")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def set_up(self, items: Sequence[Item], annotators: Sequence[str], *, k: int, seed: int) -> None:
        """Add what is not there yet, and give every item `k` annotators, evenly; what was assigned stays.

        Raises:
            InputError: there are fewer than `k` annotators, or an item's answers changed since it was added.
        """
        with self._write() as db:
            for item in items:
                body = msgspec.json.encode(item)
                db.execute("INSERT OR IGNORE INTO items (key, body) VALUES (?, ?)", (item.key, body))
                if db.execute("SELECT body FROM items WHERE key = ?", (item.key,)).fetchone()[0] != body:
                    raise InputError(f"{self.path}: item {item.key} was added with other answers; use another --out")
            for name in annotators:
                values = (name, self._token(db, f"annotator {name}"))
                db.execute("INSERT OR IGNORE INTO annotators (name, token) VALUES (?, ?)", values)
            assign(db, k, seed)

    def links(self) -> dict[str, str]:
        """Secret token of every annotator, by name."""
        with self._read() as db:
            return dict(db.execute("SELECT name, token FROM annotators ORDER BY id").fetchall())

    def admin_token(self) -> str:
        """Secret token of the admin page."""
        with self._read() as db:
            return self._token(db, "admin")

    def annotator(self, token: str) -> int | None:
        """Whom a link belongs to."""
        with self._read() as db:
            row = db.execute("SELECT id FROM annotators WHERE token = ?", (token,)).fetchone()
        return int(row[0]) if row else None

    def progress(self, annotator: int) -> tuple[int, int]:
        """(voted, assigned)."""
        with self._read() as db:
            row = db.execute(
                "SELECT (SELECT COUNT(*) FROM votes WHERE annotator = ?1),"
                " (SELECT COUNT(*) FROM assignments WHERE annotator = ?1)",
                (annotator,),
            ).fetchone()
        return int(row[0]), int(row[1])

    def next_place(self, annotator: int, after: int = 0) -> int | None:
        """The annotator's first item without a vote after place `after`, else the first of all; None when done."""
        with self._read() as db:
            row = db.execute(
                "SELECT place FROM assignments a LEFT JOIN votes v USING (annotator, item) WHERE annotator = ?"
                " AND v.verdict IS NULL ORDER BY place <= ?, place LIMIT 1",
                (annotator, after),
            ).fetchone()
        return int(row[0]) if row else None

    def shown(self, annotator: int, place: int) -> Shown | None:
        """An annotator's own item; None when there is no such place."""
        with self._read() as db:
            row = db.execute(
                "SELECT body, swapped, verdict, comment FROM assignments a JOIN items i ON i.id = a.item"
                " LEFT JOIN votes v ON v.annotator = a.annotator AND v.item = a.item"
                " WHERE a.annotator = ? AND a.place = ?",
                (annotator, place),
            ).fetchone()
        if row is None:
            return None
        body, swapped, verdict, comment = row
        choice: Choice | None = None
        if verdict is not None:
            choice = "tie" if verdict == "tie" else "first" if (verdict == "model_2") == bool(swapped) else "second"
        return Shown(place, msgspec.json.decode(body, type=Item), bool(swapped), choice, comment or "")

    def vote(self, annotator: int, place: int, choice: Choice, comment: str) -> bool:
        """Keep a vote, in place of an earlier one on the same item; False when there is no such place."""
        with self._write() as db:
            row = self._assigned(db, annotator, place)
            if row is None:
                return False
            item, swapped = row
            verdict = "tie" if choice == "tie" else "model_2" if (choice == "first") == swapped else "model_1"
            values = (annotator, item, verdict, comment, time.time())
            db.execute(
                "INSERT OR REPLACE INTO votes (annotator, item, verdict, comment, at) VALUES (?,?,?,?,?)", values
            )
            db.execute("INSERT INTO log (annotator, item, verdict, comment, at) VALUES (?,?,?,?,?)", values)
        return True

    def undo(self, annotator: int) -> int | None:
        """Take back the annotator's last vote; its place, None when there is none."""
        with self._write() as db:
            row = db.execute(
                "SELECT item, place FROM votes JOIN assignments USING (annotator, item) WHERE annotator = ?"
                " ORDER BY at DESC, votes.rowid DESC LIMIT 1",
                (annotator,),
            ).fetchone()
            if row is None:
                return None
            db.execute("DELETE FROM votes WHERE annotator = ? AND item = ?", (annotator, row[0]))
            db.execute("INSERT INTO log (annotator, item, at) VALUES (?, ?, ?)", (annotator, row[0], time.time()))
        return int(row[1])

    def votes(self) -> list[Vote]:
        """Every vote that counts, by item and annotator."""
        with self._read() as db:
            rows = db.execute(
                "SELECT body, name, verdict, swapped, comment, at FROM votes v JOIN items i ON i.id = v.item"
                " JOIN annotators n ON n.id = v.annotator JOIN assignments USING (annotator, item) ORDER BY i.id, n.id"
            ).fetchall()
        return [
            Vote(msgspec.json.decode(body, type=Item), name, verdict, "model_2" if swapped else "model_1", comment, at)
            for body, name, verdict, swapped, comment, at in rows
        ]

    def per_annotator(self) -> list[tuple[str, int, int]]:
        """(name, voted, assigned) of everybody."""
        with self._read() as db:
            rows = db.execute(
                "SELECT name, COUNT(v.item), COUNT(a.item) FROM annotators n"
                " LEFT JOIN assignments a ON a.annotator = n.id"
                " LEFT JOIN votes v ON v.annotator = a.annotator AND v.item = a.item"
                " GROUP BY n.id ORDER BY n.id"
            )
            return [(str(name), int(voted), int(assigned)) for name, voted, assigned in rows]

    def _prepare(self) -> int:
        """Make the tables of a new file; returns the schema."""
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._db.execute(f"PRAGMA {pragma}")
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version == 0:
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")
            self._db.execute("INSERT INTO settings VALUES ('secret', ?)", (secrets.token_hex(32),))
            return SCHEMA
        return version

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            yield self._db

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, kept whole or not at all."""
        with self._turn:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @staticmethod
    def _token(db: sqlite3.Connection, whose: str) -> str:
        """A token that only the file's owner can make, the same every time."""
        secret = db.execute("SELECT value FROM settings WHERE key = 'secret'").fetchone()[0]
        return hmac.new(bytes.fromhex(secret), whose.encode(), hashlib.sha256).hexdigest()[:40]

    @staticmethod
    def _assigned(db: sqlite3.Connection, annotator: int, place: int) -> tuple[int, bool] | None:
        row = db.execute(
            "SELECT item, swapped FROM assignments WHERE annotator = ? AND place = ?", (annotator, place)
        ).fetchone()
        return (int(row[0]), bool(row[1])) if row else None
