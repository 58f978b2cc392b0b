"""How a simulation is doing, read from its store while it runs."""

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from humanturn.errors import InputError
from humanturn.simulate.store import SCHEMA

RECENT_S = 60.0
"""The rate is what was done in this time."""


def status(out: Path) -> dict[str, Any]:
    """Jobs by status, replies, tokens, dollars, rates and time left of the simulation in `out`.

    Reads only; the run goes on undisturbed, and what is counted is all on disk.

    Raises:
        InputError: there is no simulation in `out`.
    """
    path = out / "store.sqlite"
    if not path.exists():
        raise InputError(f"{out}: holds no simulation; give the --out of one")
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        db.execute("BEGIN")  # every count of the same instant
        if db.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
            raise InputError(f"{path}: was made by another version of humanturn")
        return _read(db, time.time())
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    finally:
        db.close()


def describe(found: Mapping[str, Any]) -> str:
    """The status as text for a terminal."""
    jobs, reached = found["jobs"], found["usd"]
    lines = ["jobs: " + (", ".join(f"{name} {n:,}" for name, n in jobs.items()) or "none")]
    money = f", {reached:,.4f} USD" if reached else ""
    lines.append(f"replies: {found['replies']:,}; {found['tokens']:,} tokens{money}")
    for row in found["spent"]:
        paid = f", {row['usd']:,.4f} USD" if row["usd"] else ""
        lines.append(
            f"  {row['role']}, {row['model']}: {row['replies']:,} replies, {row['prompt_tokens']:,} tokens read,"
            f" {row['completion_tokens']:,} written{paid}"
        )
    if found["lost_calls"]:
        lines.append(f"lost calls: {found['lost_calls']:,}, at most {found['lost_tokens']:,} tokens")
    if found["guard_rates"]:
        rates = ", ".join(f"{name} {rate:.1%}" for name, rate in found["guard_rates"].items())
        lines.append(f"discarded: {rates}")
    if found["idle_s"] is not None:
        left = f", about {found['seconds_left']:,.0f} s left" if found["seconds_left"] is not None else ""
        rate = f"{found['replies_per_s']:,.1f} replies/s, {found['tokens_per_s']:,.0f} tokens/s"
        lines.append(f"last reply {found['idle_s']:,.0f} s ago; {rate}{left}")
    return "\n".join(lines)


def _read(db: sqlite3.Connection, now: float) -> dict[str, Any]:
    def rows(query: str, *given: Any) -> list[Any]:
        return db.execute(query, given).fetchall()

    spent = rows(
        "SELECT role, model, COUNT(*), SUM(prompt_tokens), SUM(completion_tokens), SUM(usd) FROM replies"
        " GROUP BY role, model ORDER BY role DESC, model"
    )
    keys = ("role", "model", "replies", "prompt_tokens", "completion_tokens", "usd")
    jobs = dict(rows("SELECT status, COUNT(*) FROM jobs GROUP BY status"))
    lost = rows("SELECT COUNT(*), SUM(prompt_tokens + completion_tokens), SUM(usd) FROM lost")[0]
    total = sum(row[2] for row in spent)
    first, last = rows("SELECT MIN(at), MAX(at) FROM replies")[0]
    recent, tokens = rows(
        "SELECT COUNT(*), SUM(prompt_tokens + completion_tokens) FROM replies WHERE at > ?", now - RECENT_S
    )[0]
    seconds = max(1e-3, min(RECENT_S, now - first)) if total else 1.0
    return {
        "jobs": jobs,
        "replies": total,
        "tokens": sum(row[3] + row[4] for row in spent),
        "usd": sum(row[5] or 0.0 for row in spent) + (lost[2] or 0.0),
        "spent": [dict(zip(keys, row, strict=True)) for row in spent],
        "lost_calls": lost[0],
        "lost_tokens": lost[1] or 0,
        "stop_reasons": dict(rows("SELECT stop_reason, COUNT(*) FROM jobs WHERE status = 'done' GROUP BY 1")),
        "errors": dict(rows("SELECT error, COUNT(*) FROM jobs WHERE status = 'failed' GROUP BY 1")),
        "guard_rates": _guard_rates(rows("SELECT role, discarded, COUNT(*) FROM replies GROUP BY 1, 2")),
        "replies_per_s": recent / seconds,
        "tokens_per_s": (tokens or 0) / seconds,
        "idle_s": now - last if total else None,
        "seconds_left": _seconds_left(rows, jobs, recent / seconds),
    }


def _guard_rates(counts: list[tuple[str, str | None, int]]) -> dict[str, float]:
    asked: dict[str, int] = {}
    for role, _, n in counts:
        asked[role] = asked.get(role, 0) + n
    return {f"{role}.{name}": n / asked[role] for role, name, n in counts if name}


def _seconds_left(rows: Any, jobs: Mapping[str, int], replies_per_s: float) -> float | None:
    """The replies that open jobs will still need, going by finished ones; None before there is anything to go by."""
    if not jobs.get("done") or not jobs.get("open") or not replies_per_s:
        return None
    by_status = dict(rows("SELECT status, COUNT(*) FROM replies JOIN jobs ON jobs.id = replies.job GROUP BY status"))
    each = by_status.get("done", 0) / jobs["done"]
    needed = max(0.0, jobs.get("open", 0) * each - by_status.get("open", 0))
    return float(needed / replies_per_s)
