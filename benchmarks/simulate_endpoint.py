"""Simulation against an endpoint of 64 slots and replies of 150 to 400 ms, beside the paper's loop on the same server.

python benchmarks/simulate_endpoint.py [--conversations 448] [--in-flight 96]

The paper's loop is a pool of processes, each of which takes a conversation from its start to its end with blocking
calls, counts its whole history anew each turn, and appends it to one file when it has ended.
"""

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

SLOTS = 64
CONTEXT = 2048
USER_TOKENS, ANSWER_TOKENS = 256, 512


@contextlib.contextmanager
def slot_server():
    script = Path(__file__).with_name("slot_server.py")
    process = subprocess.Popen([sys.executable, script, "--slots", str(SLOTS)], stdout=subprocess.PIPE, text=True)
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    return json.loads(connection.getresponse().read())


def busy_share(log, began, ended):
    """Share of the slots' time that was used between two times of day."""
    used, busy, at = 0.0, 0, began
    for moment, now_busy in log:
        if moment > ended:
            break
        if moment > began:
            used += busy * (moment - at)
            at = moment
        busy = now_busy
    return (used + busy * (ended - at)) / (SLOTS * (ended - began))


def measured(name, log, ends, replies, cpu_s, memory_mb, wall_s):
    """Print a row; ramp-up ends when every slot is busy for the first time, the tail begins with the last 64."""
    full = next((moment for moment, busy in log if busy == SLOTS), log[0][0])
    share = busy_share(log, full, sorted(ends)[-SLOTS]) if len(ends) > SLOTS else float("nan")
    print(
        f"{name:28} {len(ends):5,} conversations {replies:7,} replies {wall_s:6.1f} s  slots busy {share:6.1%}"
        f"  CPU {1000 * cpu_s / replies:6.2f} ms/reply  memory {memory_mb:6,.0f} MB",
        flush=True,
    )


def ours(port, conversations, in_flight, rounds=None):
    """`humanturn simulate` as anybody starts it; its CPU time and peak memory are the operating system's count."""
    get(port, "/reset")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        url = f"http://127.0.0.1:{port}/v1"
        words = [
            sys.executable, "-m", "humanturn", "simulate", "--user", f"openai:user@{url}",
            "--assistant", f"openai:assistant@{url}", "--tokenizer", "embedded", "--count", str(conversations),
            "--max-tokens", str(CONTEXT), "--concurrency", str(in_flight), "--out", str(out),
        ]  # fmt: skip
        began = time.time()
        process = subprocess.Popen(
            words + (["--rounds", str(rounds)] if rounds else []), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.time() - began
        assert status == 0, "humanturn simulate failed"
        with sqlite3.connect(out / "store.sqlite") as store:
            assert store.execute("SELECT COUNT(*) FROM jobs WHERE status != 'done'").fetchone() == (0,)
            ends = [row[0] for row in store.execute("SELECT MAX(at) FROM replies GROUP BY job")]
            replies = store.execute("SELECT COUNT(*) FROM replies").fetchone()[0]
    name = f"humanturn, {in_flight:,} in flight"
    measured(name, get(port, "/log"), ends, replies, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, wall)


def paper(port, conversations, processes):
    get(port, "/reset")
    count_tokens()  # loaded once, before the processes fork
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "conversations.jsonl"
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            working = pool.starmap_async(talk, [(port, i, path) for i in range(conversations)], chunksize=1)
            working.wait(15)
            mapped = [psutil.Process(child.pid).memory_full_info().pss for child in multiprocessing.active_children()]
            replies = sum(working.get())
            pool.close()
            pool.join()
        wall, after = time.time() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        ends = [json.loads(line)["ended"] for line in path.read_text().splitlines()]
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    memory = sum(mapped) / 2**20
    measured(f"the paper's loop, {processes} processes", get(port, "/log"), ends, replies, cpu, memory, wall)
    each = memory / processes
    print(f"{'':28} {each:.1f} MB for each conversation in flight; 2,000 would take {2000 * each:,.0f} MB")


def talk(port, seed, path):
    """One conversation, start to end; returns its replies."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    count = count_tokens()
    turns = []
    while True:
        used = sum(count([turn["content"] for turn in turns])) + 8 * len(turns)
        side = "assistant" if len(turns) % 2 else "user"
        if side == "user" and used + 16 > CONTEXT:
            break
        most = USER_TOKENS if side == "user" else ANSWER_TOKENS
        asked = {"model": side, "messages": turns, "max_tokens": most, "seed": seed * 1000 + len(turns)}
        connection.request("POST", "/v1/chat/completions", json.dumps(asked), {"Content-Type": "application/json"})
        said = json.loads(connection.getresponse().read())["choices"][0]["message"]["content"]
        turns.append({"role": side, "content": said})
    with path.open("a") as file:
        file.write(json.dumps({"messages": turns, "ended": time.time()}) + "\n")
    return len(turns)


def count_tokens():
    from humanturn import tokens
    from humanturn.models.spec import local_folder

    return tokens.counter(local_folder("embedded"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--conversations", type=int, default=448)
    parser.add_argument("--in-flight", type=int, default=96)
    parser.add_argument("--many", type=int, default=2000, help="conversations in flight of the memory figure; 0: none")
    given = parser.parse_args()
    with slot_server() as port:
        ours(port, given.conversations, given.in_flight)
        paper(port, given.conversations, SLOTS)
        if given.many:
            ours(port, given.many, given.many, rounds=3)
