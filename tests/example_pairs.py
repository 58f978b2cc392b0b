"""An evaluation's directory with answers to compare, and a server over it in a process of its own."""

import json
import subprocess
import sys
from contextlib import contextmanager

MODELS = ("Zebrafish-7B", "Quokka-13B")
"""Names that stand nowhere by chance."""

RICH = """Here is the **plan**:

1. Sort the list
2. Walk over it

```python
def longest_run(items):
    # one pass, no copies
    best = None
    for element, run in groupby(items):
        length = sum(1 for _ in run)
    return best
```

| n | time |
|---|---|
| 10 | 1 ms |

> quoted, with `inline code` and a [link](https://example.org/?a=1&b=2).
"""


def write_pairs(folder, *, count=12, answer=None):
    """`count` two-turn questions answered by both MODELS; `answer(model number, question, turn)` gives the text."""
    say = answer or (lambda m, q, t: f"{RICH if t == 1 else 'Shorter now.'}\n\nvariant {'xy'[m]}{q}")
    (folder / "answers").mkdir(parents=True)
    questions = [
        {"question_id": q, "category": "coding", "turns": [f"Question number {q}: how?", "And *shorter*?"]}
        for q in range(1, count + 1)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions))
    for number, model in enumerate(MODELS):
        rows = [
            {
                "question_id": q["question_id"],
                "model_id": model,
                "choices": [{"index": 0, "turns": [say(number, q["question_id"], turn) for turn in (1, 2)]}],
            }
            for q in questions
        ]
        (folder / "answers" / f"{model}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


SERVE = """
import sys
from pathlib import Path
from humanturn.annotate.stage import serve
serve(Path(sys.argv[1]), Path(sys.argv[2]), annotators=sys.argv[4:], k=int(sys.argv[3]), port=0,
      say=lambda line: print(line, flush=True))
"""


class Links(dict):
    """Link by name, and the server's process."""

    process: subprocess.Popen


@contextmanager
def served(pairs, db, *annotators, k):
    """Links by name (`admin` among them) of a real server; it is killed when the block ends."""
    command = [sys.executable, "-c", SERVE, str(pairs), str(db), str(k), *annotators]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT)
    try:
        lines = [child.stdout.readline().strip() for _ in range(len(annotators) + 1)]
        links = Links(line.split(": ", 1) for line in lines)
        links.process = child
        yield links
    finally:
        child.kill()
        child.wait()
        if not child.stdout.closed:
            child.stdout.close()
