"""A whole MT-Bench evaluation of two real models with a local judge, killed twice and resumed; then judges that fail.

python benchmarks/evaluate.py ASSISTANT_FOLDER OUT [MAX_TOKENS]

First two local models answer and are compared by a judge that prefers length; the run is killed (SIGKILL) once among
the answers and once among the judgments, and what was on disk is compared with what is asked afterwards. Then the
recorded answers are judged again: by a judge whose replies are garbage one time in five, and by one that always prefers
the answer it is shown first.
"""

import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from judge_server import judge_server  # noqa: E402

QUESTIONS, TURNS, ORDERS = 80, 2, 2


def longer(body: dict) -> str:
    """Prefers the longer conversation; a tie when both are nearly as long."""
    shown = body["messages"][1]["content"].partition("=== Conversation with assistant A ===")[2]
    first, second = shown.split("=== End of A ===\n\n=== Conversation with assistant B ===")
    second = second.removesuffix("=== End of B ===")
    if abs(len(first) - len(second)) < 20:
        return "There is little between them. [[C]]"
    return "The longer one says more. " + ("[[A]]" if len(first) > len(second) else "[[B]]")


def often_garbage(body: dict) -> str:
    """As `longer`, but one reply in five holds no verdict: by a hash of the request, so that runs repeat."""
    drawn = hashlib.sha256(json.dumps([body["messages"], body["seed"]]).encode()).digest()[0]
    return "As a judge I would rather not say [A]." if drawn < 51 else longer(body)


def replaying(folder: Path, judge):
    """Models that say what was recorded in `folder`; who is no model there, judges."""
    told = {}
    for path in (folder / "answers").glob("*.jsonl"):
        for row in map(json.loads, path.read_text().splitlines()):
            told[path.stem, row["question_id"]] = row["choices"][0]["turns"]
    questions = map(json.loads, (folder / "questions.jsonl").read_text().splitlines())
    ids = {question["turns"][0]: question["question_id"] for question in questions}

    def say(body: dict) -> str:
        if body["model"] == "judge":
            return judge(body)
        return told[body["model"], ids[body["messages"][0]["content"]]][len(body["messages"]) // 2]

    return say


def command(models: dict[str, str], url: str, out: Path, max_tokens: int) -> list[str]:
    named = [part for name, spec in models.items() for part in ("--model", f"{name}={spec}")]
    return [
        *(sys.executable, "-m", "humanturn", "evaluate", *named, "--benchmark", "mt-bench", "--mode", "pairwise"),
        *("--judge", f"openai:judge@{url}", "--max-tokens", str(max_tokens), "--out", str(out)),
    ]


def stored(out: Path) -> tuple[set, set]:
    """Answers (with the time they were kept) and judgments on disk."""
    if not (out / "store.sqlite").exists():
        return set(), set()
    db = sqlite3.connect(out / "store.sqlite")
    try:
        answers = set(db.execute("SELECT model, question, turn, at FROM answers"))
        return answers, set(db.execute("SELECT question, turn, first, second, attempt, at FROM judgments"))
    except sqlite3.OperationalError:  # not made yet
        return set(), set()
    finally:
        db.close()


def kill_when(child: subprocess.Popen, out: Path, answers: int, judgments: int) -> tuple[set, set]:
    """Kill -9 once so much is on disk; returns what is."""
    while child.poll() is None:
        found = stored(out)
        if len(found[0]) >= answers and len(found[1]) >= judgments:
            child.send_signal(signal.SIGKILL)
            child.wait()
            return stored(out)
        time.sleep(0.05)
    raise SystemExit(f"it ended before it was killed, with status {child.returncode}")


def interrupted(assistant: str, out: Path, max_tokens: int) -> None:
    began = time.monotonic()
    with judge_server(longer, latency=0.5) as server:
        line = [*command({"a": "embedded", "b": f"hf:{assistant}"}, server.url, out, max_tokens), "--resume"]
        kept = [
            kill_when(subprocess.Popen(line, stderr=subprocess.DEVNULL), out, 40, 0),
            kill_when(subprocess.Popen(line, stderr=subprocess.DEVNULL), out, 2 * QUESTIONS * TURNS, 100),
        ]
        subprocess.run(line, check=True)
        asked, distinct = server.asked.total(), len(server.asked)
    answers, judgments = stored(out)
    print(f"killed with {len(kept[0][0])} answers on disk, again with {len(kept[1][1])} judgments; then finished")
    print(f"  answers: {len(answers)} of {2 * QUESTIONS * TURNS}; kept over the kills: {kept[0][0] <= answers}")
    print(f"  judgments: {len(judgments)} of {QUESTIONS * TURNS * ORDERS}; kept: {kept[1][1] <= judgments}")
    print(
        f"  the judge got {asked} requests, {distinct} different; in flight at the kill at most 32: {asked - distinct}"
    )
    print(f"  {time.monotonic() - began:.0f} s")
    assert kept[0][0] <= answers and kept[1][1] <= judgments and asked - distinct <= 32


def judged_by(name: str, judge, recorded: Path, out: Path) -> None:
    with judge_server(replaying(recorded, judge)) as server:
        models = {model: f"openai:{model}@{server.url}" for model in "ab"}
        print(f"a judge that {name}", flush=True)
        subprocess.run(command(models, server.url, out, 64), check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    target = Path(sys.argv[2])
    interrupted(sys.argv[1], target / "evaluate", int(sys.argv[3]) if len(sys.argv) > 3 else 64)
    judged_by("returns garbage one time in five", often_garbage, target / "evaluate", target / "garbage")
    judged_by("always prefers the first", lambda body: "A it is. [[A]]", target / "evaluate", target / "first")
