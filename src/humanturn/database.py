"""Opening the SQLite file in which a stage keeps every reply."""

import sqlite3
from pathlib import Path

from humanturn.errors import InputError


def open_store(path: Path, *, holds: str, tables: str, schema: int) -> sqlite3.Connection:
    """The database in `path` (write-ahead log, every commit on disk), its `tables` made when it is new.

    Raises:
        InputError: the file is something else, or was made with another schema.
    """
    database = sqlite3.connect(path, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        version = database.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path}: is no {holds} store ({error}); choose another --out") from None
    if version == 0:
        database.executescript(f"BEGIN; {tables} PRAGMA user_version={schema}; COMMIT;")
    elif version != schema:
        raise InputError(
            f"{path}: has schema {version}, and this humanturn reads {schema}; use the version that made it"
        )
    return database
