import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path
from humanturn.errors import HumanturnError
from humanturn.prepare.stage import PrepareSettings, prepare
try:
    given = PrepareSettings(inputs=(sys.argv[1],), tokenizer=sys.argv[2], workers=2, max_tokens=30_000)
    prepare(given, Path(sys.argv[3]))
except HumanturnError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    rng = random.Random(0)
    words = [f"word{i}" for i in range(500)] + ["the", "and", "you"] * 100
    path = tmp_path_factory.mktemp("corpus") / "raw.json"
    with path.open("w") as file:
        for number in range(1500):
            said = [{"from": role, "value": " ".join(rng.choices(words, k=600))} for role in ("human", "gpt") * 3]
            file.write(("," if number else "[") + json.dumps({"id": f"session{number}", "conversations": said}) + "\n")
        file.write("]")
    return path


def start(corpus, tokenizer, out):
    command = [sys.executable, "-c", SCRIPT, str(corpus), f"hf:{tokenizer}", str(out)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)


def workers(process, at_least=1):
    """The worker processes, once there are that many and the spool has its first lines."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(400):
        found = [int(pid) for pid in children.read_text().split()]
        if len(found) >= at_least:
            return found
        assert process.poll() is None, "it ended before it could be interrupted"
        time.sleep(0.02)
    raise AssertionError("no workers were started")


def test_a_worker_that_dies_is_an_error_with_a_remedy(corpus, small_tokenizer, tmp_path):
    process = start(corpus, small_tokenizer, tmp_path / "out")
    os.kill(workers(process)[0], signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "HumanturnError: a worker process died" in said
    assert "--workers 1" in said
    assert not (tmp_path / "out" / "train.jsonl").exists()


def test_after_kill_9_the_same_command_prepares_it_all(corpus, small_tokenizer, tmp_path):
    out, whole = tmp_path / "out", tmp_path / "whole"
    process = start(corpus, small_tokenizer, out)
    workers(process, 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert not (out / "train.jsonl").exists()
    for folder in (out, whole):
        _, said = (again := start(corpus, small_tokenizer, folder)).communicate(timeout=120)
        assert again.returncode == 0, said
    for name in ("train.jsonl", "heldout.jsonl", "dropped.jsonl", "funnel.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    assert not list(out.glob(".spool*"))


def test_an_interrupt_leaves_no_process_and_nothing_half_written(corpus, small_tokenizer, tmp_path):
    process = start(corpus, small_tokenizer, tmp_path / "out")
    found = workers(process, 2)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode
    assert not any(Path(f"/proc/{pid}").exists() for pid in found)
    assert not (tmp_path / "out" / "train.jsonl").exists()
    assert not list((tmp_path / "out").glob(".spool*"))
