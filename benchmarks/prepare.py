"""Preparation against FastChat's own three scripts on the same file, in the same run.

python benchmarks/prepare.py RAW.json MARKDOWN.json --fschat-python PYTHON [--tokenizer SPEC] [--big GB] [--repeats N]

RAW.json is ShareGPT with HTML answers, MARKDOWN.json the same conversations before they were rendered (RAW may hold
each several times, ids `NAME_rK`). PYTHON is an interpreter with FastChat's data scripts and what they import:

    python -m venv fschat && fschat/bin/pip install --no-deps fschat
    fschat/bin/pip install beautifulsoup4 markdownify pycld2 polyglot PyICU morfessor tqdm transformers sentencepiece

The figures on languages take their German, French, Chinese and Russian from Django's translations (pip install django).
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import prepare_quality as quality
from prepare_quality import MAX_TOKENS

from humanturn import formats, jsonl, tokens
from humanturn.prepare.stage import tokenizer_folder

OURS = """
import sys
from pathlib import Path
from humanturn.prepare.stage import PrepareSettings, prepare
near = float(sys.argv[4]) or None
prepare(PrepareSettings(inputs=(sys.argv[1],), tokenizer=sys.argv[2], near_duplicates=near), Path(sys.argv[3]))
"""
FLOOR = """
import sys, msgspec
from pathlib import Path
from humanturn import tokens
data = Path(sys.argv[1]).read_bytes()
msgspec.json.decode(data)
texts = msgspec.json.decode(Path(sys.argv[3]).read_bytes())
tokens.counter(Path(sys.argv[2]))(texts)
"""


def measured(command, **options):
    """CPU seconds of a command and all its children, wall seconds, and the peak of their memory (PSS, MB)."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began, peak, running = time.perf_counter(), [0], True
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)

    def watch():
        while running:
            peak[0] = max(peak[0], sum(pss(pid) for pid in family(process.pid)))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, said = process.communicate()
    running = False
    watcher.join()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))[:300]}\n{said.decode()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, time.perf_counter() - began, peak[0] / 1024


def family(pid):
    """The process and its descendants."""
    found, waiting = [], [pid]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def pss(pid):
    try:
        return int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)[1])
    except (OSError, TypeError):
        return 0


def fastchat(python, raw, folder, tokenizer):
    """Clean, keep English, split: CPU and wall seconds of the three scripts together."""
    clean, english, split = (folder / f"fastchat_{name}.json" for name in ("clean", "english", "split"))
    model = ["--model-name-or-path", str(tokenizer), "--max-length", str(MAX_TOKENS)]
    steps = (
        ("clean_sharegpt", raw, clean, []),
        ("optional_clean", clean, english, ["--keep-lang", "en"]),
        ("split_long_conversation", english, split, model),
    )
    spent = [
        measured([python, "-m", f"fastchat.data.{name}", "--in-file", str(a), "--out-file", str(b), *more])
        for name, a, b, more in steps
    ]
    return sum(s[0] for s in spent), sum(s[1] for s in spent), english, split


def ours(raw, folder, tokenizer, near):
    out = Path(tempfile.mkdtemp(dir=folder, prefix="ours_"))
    command = [sys.executable, "-c", OURS, str(raw), f"hf:{tokenizer}", str(out), str(near)]
    return *measured(command), out


def speed(args, folder, tokenizer):
    print(f"1. Speed, {args.raw.stat().st_size / 1e6:.1f} MB, whole processes, best of {args.repeats}")
    theirs, exact, near = [], [], []
    for _ in range(args.repeats):
        theirs.append(fastchat(args.fschat_python, args.raw, folder, tokenizer))
        exact.append(ours(args.raw, folder, tokenizer, 0))
        near.append(ours(args.raw, folder, tokenizer, 0.8))
    cpu, wall = (min(run[i] for run in theirs) for i in (0, 1))
    print(f"  FastChat clean + optional_clean + split: {cpu:.2f} CPU s, {wall:.2f} s wall")
    for name, runs in (("exact duplicates", exact), ("near-duplicates", near)):
        our_cpu, our_wall = (min(run[i] for run in runs) for i in (0, 1))
        print(f"  ours, {name}: {our_cpu:.2f} CPU s = {cpu / our_cpu:.1f}x,", end=" ")
        print(f"{our_wall:.2f} s wall = {wall / our_wall:.1f}x")
    texts = [turn.content for c in formats.read_conversations(exact[0][3] / "train.jsonl") for turn in c.messages]
    jsonl.write_json(folder / "texts.json", texts)
    floor = min(
        measured([sys.executable, "-c", FLOOR, str(args.raw), str(tokenizer), str(folder / "texts.json")])[0]
        for _ in range(args.repeats)
    )
    print(f"  floor (start Python, read, parse, load the tokenizer, count tokens): {floor:.2f} CPU s")
    parts(args.raw, folder, tokenizer)
    return theirs[-1][2:], exact[-1][3]


def parts(raw, folder, tokenizer):
    """Where one process spends its time, by function."""
    import cProfile
    import pstats

    from humanturn.prepare.stage import PrepareSettings, prepare

    settings = PrepareSettings(inputs=(str(raw),), tokenizer=f"hf:{tokenizer}", workers=1)
    profile = cProfile.Profile()
    tokens._read_fast.cache_clear()
    profile.runcall(prepare, settings, Path(tempfile.mkdtemp(dir=folder)))
    found = pstats.Stats(profile)
    spent = {f"{Path(file).stem}.{name}": row[3] for (file, _, name), row in found.stats.items()}
    names = ("html.to_markdown", "language.hear", "near.sketch", "duplicates.exact", "tokens.count",
             "tokens._read_fast", "segment.cut", "decode.records", "chunks._array",
             "turns.repair", "write.outputs")  # fmt: skip
    shares = ", ".join(f"{name} {spent.get(name, 0) / found.total_tt:.0%}" for name in names)
    print(f"  shares of one process under the profiler: {shares}")


def scale(args, folder, tokenizer):
    double = folder / "double.json"
    copies(args.raw, double, 2)
    one = min(ours(args.raw, folder, tokenizer, 0.8)[0] for _ in range(args.repeats))
    two = min(ours(double, folder, tokenizer, 0.8)[0] for _ in range(args.repeats))
    print(f"2. Twice the input costs {two / one:.2f} times the CPU ({one:.2f} s, {two:.2f} s)")
    if args.big:
        big = folder / "big.json"
        copies(args.raw, big, round(args.big * 1e9 / args.raw.stat().st_size))
        cpu, wall, peak, _ = ours(big, folder, tokenizer, 0.8)
        size = big.stat().st_size / 1e9
        print(f"  {size:.2f} GB: {cpu:.1f} CPU s, {wall:.1f} s wall, {peak:,.0f} MB of memory at most (all processes)")
        big.unlink()


def copies(raw, out, n):
    """The file n times over, each conversation with a word and an id of its own."""
    records = json.loads(raw.read_text())
    with out.open("w") as file:
        for number in range(n):
            for at, record in enumerate(records):
                said = [dict(turn) for turn in record["conversations"]]
                for turn in said:
                    turn["value"] = turn["value"].replace(" the ", f" the {number}th ") if number else turn["value"]
                file.write(("," if number or at else "[") + "\n")
                file.write(json.dumps({"id": f"{record['id']}c{number}", "conversations": said}, ensure_ascii=False))
        file.write("\n]\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path)
    parser.add_argument("markdown", type=Path)
    parser.add_argument("--fschat-python", required=True, metavar="PYTHON")
    parser.add_argument("--tokenizer", default="embedded", metavar="SPEC")
    parser.add_argument("--big", type=float, default=0, metavar="GB", help="also prepare a file of this size")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # FastChat forks first and may use both cores
    tokenizer = tokenizer_folder(args.tokenizer)
    with tempfile.TemporaryDirectory(prefix="prepare-") as name:
        folder = Path(name)
        fastchat_files, out = speed(args, folder, tokenizer)
        scale(args, folder, tokenizer)
        quality.fidelity(args)
        quality.languages(args)
        quality.segments(args, tokenizer, fastchat_files, out)


if __name__ == "__main__":
    main()
