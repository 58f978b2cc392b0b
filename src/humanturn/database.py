"""Opening the SQLite file in which a stage keeps every reply."""

import sqlite3
from pathlib import Path
from typing import Literal

from humanturn.errors import InputError


def open_store(
    path: Path, *, holds: str, tables: str, schema: int, synchronous: Literal["FULL", "NORMAL"] = "FULL"
) -> sqlite3.Connection:
    """The database in `path` (write-ahead log), its `tables` made when it is new.

    With `FULL` every commit outlives a power failure. With `NORMAL` it outlives the death of the process at any
    instant, and costs a hundredth; a power failure may take the last commits, never the file.

    Raises:
        InputError: the file is something else, or was made with another schema.
    """
    database = sqlite3.connect(path, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(f"PRAGMA synchronous={synchronous}")
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
