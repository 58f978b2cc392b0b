"""Simulations killed with SIGKILL at random instants and resumed, compared with one that nobody disturbed.

python tests/faults/kill_simulation.py --kills 200

Half of the kills fall anywhere in the life of a process, its start included; half while replies are coming in, where
they hurt most. A simulation that ends in spite of them is compared, and another one begun.
"""

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[1]))

from chat_server import ChatServer, chat_server
from humanturn import jsonl
from humanturn.conversation import Conversation
from humanturn.simulate.stage import SimulateSettings, simulate

IN_FLIGHT = 3

SIMULATE = """
import sys
from pathlib import Path
from humanturn.simulate import stage
stage.simulate(stage.SimulateSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2]), resume=True)
"""


class Tally(msgspec.Struct):
    """What the kills did."""

    kills: int = 0
    ended: int = 0
    """Simulations carried to their end through kills."""
    different: int = 0
    """Of those, how many differ from the undisturbed one."""
    kept: int = 0
    """Replies in their stores."""
    lost: int = 0
    """Replies the server delivered, or tried to, that no store has: those in flight at a kill."""
    dropped: int = 0
    """Replies that a process nobody killed was paid for and did not keep."""
    twice: int = 0
    """Replies of a turn and attempt that are in a store twice."""


def kill_many(folder: Path, kills: int, seed: int, tokenizer: str, conversations: int) -> Tally:
    """Kill simulations in `folder` `kills` times in all."""
    chance, tally = random.Random(seed), Tally()
    with chat_server(latency=0.02) as server:
        given = SimulateSettings(
            user=server.spec, assistant=server.spec, tokenizer=tokenizer, count=conversations, max_tokens=200,
            user_max_tokens=64, concurrency=IN_FLIGHT,
        )  # fmt: skip
        simulate(given, folder / "whole")
        whole = talks(folder / "whole")
        while tally.kills < kills:
            server.paid.clear()
            torn = folder / f"torn{tally.ended}"
            while tally.kills < kills and _killed(given, torn, chance):
                tally.kills += 1
            time.sleep(0.2)  # what was in flight arrives
            before = sum(server.paid.values()) - replies(torn)
            simulate(given, torn, resume=True)
            _count(server, torn, tally)
            tally.dropped += sum(server.paid.values()) - replies(torn) - before
            tally.different += talks(torn) != whole
            shutil.rmtree(torn)
    return tally


def talks(out: Path) -> list[Conversation]:
    return list(jsonl.read(out / "conversations.jsonl", Conversation))


def replies(out: Path) -> int:
    path = out / "store.sqlite"
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as store:
            return store.execute("SELECT COUNT(*) FROM replies").fetchone()[0]
    except sqlite3.OperationalError:  # the tables are being made
        return 0


def _killed(given: SimulateSettings, out: Path, chance: random.Random) -> bool:
    """Start a process that goes on, and kill it; False when it was done before."""
    before = replies(out)
    words = [sys.executable, "-c", SIMULATE, given.model_dump_json(), str(out)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0, 1.5))
    else:
        while process.poll() is None and replies(out) <= before:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.15))
    os.kill(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def _count(server: ChatServer, out: Path, tally: Tally) -> None:
    with sqlite3.connect(out / "store.sqlite") as store:
        kept, steps = store.execute(
            "SELECT COUNT(*), COUNT(DISTINCT job || '/' || position || '/' || attempt) FROM replies"
        ).fetchone()
    tally.ended += 1
    tally.kept += kept
    tally.twice += kept - steps
    tally.lost += sum(server.paid.values()) - kept


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--conversations", type=int, default=60)
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        found = kill_many(Path(place), options.kills, options.seed, "embedded", options.conversations)
    print(
        f"{found.kills} kills, {found.ended} simulations of {options.conversations} conversations carried to their end"
        f" in {time.monotonic() - began:.0f} s: {found.different} differ from the undisturbed one;"
        f" {found.kept:,} replies kept, {found.twice} of them twice; {found.lost} were in flight when a kill came"
        f" (at most {IN_FLIGHT} a kill), {found.dropped} were dropped otherwise"
    )
    sys.exit(bool(found.different or found.twice or found.dropped or found.lost > IN_FLIGHT * found.kills))
