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
from collections import Counter
from pathlib import Path

from markdown_it import MarkdownIt

from humanturn import formats, jsonl, template, tokens
from humanturn.conversation import Conversation
from humanturn.prepare import language
from humanturn.prepare.html import is_html, to_markdown
from humanturn.prepare.stage import tokenizer_folder

MAX_TOKENS = 2048
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
OTHER_THAN_ENGLISH = (
    """5CHGSqh_21 E3053Cw_13 HxOhjmq_14 IC4I4QH_0 MetiWpF_0 YLj5gCL_0 cIj2dFl_79 lSeiu11_43 wgCg1Ym_0"""
)
"""Sessions of sharegpt_700 that are mostly, or half, in other languages; told by reading them."""


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
        print(
            f"  ours, {name}: {our_cpu:.2f} CPU s = {cpu / our_cpu:.1f}x, {our_wall:.2f} s wall = {wall / our_wall:.1f}x"
        )
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
    tokens._fast.cache_clear()
    profile.runcall(prepare, settings, Path(tempfile.mkdtemp(dir=folder)))
    found = pstats.Stats(profile)
    spent = {f"{Path(file).stem}.{name}": row[3] for (file, _, name), row in found.stats.items()}
    names = ("html.to_markdown", "language.hear", "near.sketch", "duplicates.exact", "tokens.count", "tokens._fast",
             "segment.cut", "decode.records", "chunks._array", "turns.repair", "write.outputs")  # fmt: skip
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


def fidelity(args):
    sources = {record["id"]: record for record in json.loads(args.markdown.read_text())}
    parser, counted, page = MarkdownIt("commonmark").enable("table"), Counter(), Counter()
    for record in json.loads(args.raw.read_text()):
        source = sources.get(re.sub(r"_r\d+$", "", record["id"]))
        if source is None or not record["id"].endswith("_r0"):
            continue
        for meant, turn in zip(source["conversations"], record["conversations"], strict=True):
            if turn["from"] != "gpt":
                continue
            assert is_html(turn["value"])
            found = to_markdown(turn["value"])
            fences = [[t for t in parser.parse(text) if t.type == "fence"] for text in (meant["value"], found)]
            counted["fences"] += len(fences[0])
            for a, b in zip(*fences, strict=False):
                counted["exact"] += a.content == b.content
                counted["languages"] += a.info.split()[:1] == b.info.split()[:1]
            for name, pattern in (
                ("Copy code", "Copy code"),
                ("pager", r"\A\d+ / \d+"),
                ("counter", r"chars / \d+ words"),
            ):
                page[name] += bool(re.search(pattern, found)) and not re.search(pattern, meant["value"])
    print(f"3. {counted['fences']:,} fences: exact {counted['exact'] / counted['fences']:.4f},", end=" ")
    print(f"languages {counted['languages'] / counted['fences']:.4f}; left of the page: {dict(page)}")


def languages(args):
    other, kept, total, lost = OTHER_THAN_ENGLISH.split(), 0, 0, []
    code = []
    for conversation in formats.read_conversations(args.markdown):
        blocks = [t for turn in conversation.messages for t in MarkdownIt().parse(turn.content) if t.type == "fence"]
        code += [
            f"```{t.info}\n{t.content}```" for t in blocks if 200 <= len(t.content) <= 1500 and "```" not in t.content
        ]
        if conversation.id not in other:
            stays = is_kept(conversation.messages, "en")
            total, kept = total + 1, kept + stays
            lost += [] if stays else [conversation.id]
    print(f"  English sessions kept: {kept} of {total} = {kept / total:.4f} (lost: {', '.join(lost) or 'none'})")
    import django

    root = Path(django.__file__).parent
    for folder, name in (("de", "de"), ("fr", "fr"), ("zh_Hans", "zh"), ("ru", "ru")):
        files = [
            *root.glob(f"contrib/*/locale/{folder}/LC_MESSAGES/django.po"),
            *root.glob(f"conf/locale/{folder}/*/*.po"),
        ]
        said = [
            text
            for file in sorted(files)
            for text in translations(file)
            if len(text) > (8 if name == "zh" else 25) and text[-1] in ".!?。" and not set(text) & set("%{<")
        ]
        turns = [  # three sentences, one further on each time, and a block of code
            template.Turn(
                "assistant" if at % 2 else "user", " ".join(said[at : at + 3]) + f"\n\n{code[at % len(code)]}"
            )
            for at in range(len(said) - 2)
        ]
        told = sum(language.hear(turn.content).code == name for turn in turns)
        sessions = [turns[at : at + 4] for at in range(0, len(turns) - 3, 2)]
        right = sum(is_kept(session, name) and not is_kept(session, "en") for session in sessions)
        print(
            f"  {name} with English code: {told} of {len(turns)} turns, {right} of {len(sessions)} sessions recognized"
        )


def translations(file):
    for block in file.read_text().split("\n\n"):
        found = re.search(r'^msgstr (?:\[0\] )?((?:".*"\n?)+)', block, re.MULTILINE)
        if found and 'msgid ""\nmsgstr' not in block:
            yield "".join(re.findall(r'"(.*)"', found[1])).replace("\\n", " ").replace('\\"', '"')


def is_kept(turns, code):
    heard = [language.hear(turn.content) for turn in turns]
    return language.share_of(code, heard) >= 0.5 and language.switch(turns, heard) is None


def segments(args, tokenizer, fastchat_files, out):
    hf = tokens.load(tokenizer)
    frame = template.scaffold(hf)
    hf.chat_template = template.user_template(frame)
    cost, count = template.overhead(hf, frame), tokens.counter(tokenizer)

    def size(turns):
        roles = {"human": "user", "gpt": "assistant"}
        pairs = [(roles.get(t["from"], t["from"]), t["value"]) for t in turns]
        return cost.preface + sum(cost.per_turn[r] for r, _ in pairs) + sum(count([text for _, text in pairs]))

    print("4. Segments, all measured as the training model renders them")
    english, split = (json.loads(file.read_text()) for file in fastchat_files)
    whole = {session["id"]: session["conversations"] for session in english}
    for name, made in (("FastChat", split), ("the paper", [s for c in english for s in paper_split(c, count)])):
        report(
            name,
            [(re.sub(r"_\d+$", "", s["id"]), int(s["id"].rsplit("_", 1)[1]), s["conversations"]) for s in made],
            whole,
            size,
        )
    steps = json.loads((out / "funnel.json").read_text())["steps"]
    found = [c for side in ("train", "heldout") for c in jsonl.read(out / f"{side}.jsonl", Conversation)]
    kept = sum(t.role == "user" for c in found for t in c.messages[c.context_turns :])
    read = sum(t["from"] == "human" for r in json.loads(args.raw.read_text()) for t in r["conversations"])
    counted = sum(step["user_turns_dropped"] for step in steps)
    over = sum(len(template.encode(hf, c.messages).ids) > MAX_TOKENS for c in found)
    later = [c for c in found if c.context_turns]
    opens = sum(c.messages[0].role == "assistant" for c in later)
    print(
        f"  ours: {len(found):,} segments; human turns read {read:,}, kept {kept:,}, dropped by a counted rule {counted:,}:",
        end=" ",
    )
    print(f"lost without a reason {read - kept - counted}; over budget {over};", end=" ")
    print(f"ending with a human turn {sum(c.messages[-1].role == 'user' for c in found)};", end=" ")
    print(f"later ones that do not open with the answer before them {len(later) - opens} of {len(later):,}")


def report(name, made, whole, size):
    """The same figures for segments given as (session, index of the first turn, turns)."""
    human = sum(t["from"] == "human" for turns in whole.values() for t in turns)
    kept = {(key, first + at) for key, first, turns in made for at, t in enumerate(turns) if t["from"] == "human"}
    later = [turns for _, first, turns in made if first]
    print(
        f"  {name}: {len(made):,} segments; human turns {human:,}, lost without a reason {human - len(kept):,};",
        end=" ",
    )
    print(f"over budget {sum(size(turns) > MAX_TOKENS for _, _, turns in made if turns):,};", end=" ")
    print(
        f"ending with a human turn {sum(bool(turns) and turns[-1]['from'] == 'human' for _, _, turns in made):,};",
        end=" ",
    )
    print("later ones that do not open with the answer before them", end=" ")
    print(f"{sum(not turns or turns[0]['from'] == 'human' for turns in later):,} of {len(later):,}")


def paper_split(session, count):
    """The rule of the paper's own script, restated: a segment ends at the turn that passes the budget, which stays in it
    when it is an answer; the next begins with that answer, or with the one before the human turn."""
    turns = session["conversations"]
    sizes = count([f"### {turn['from']}: {turn['value']}\n" for turn in turns])
    start, used = 0, 0
    for at, size in enumerate(sizes):
        human = turns[at]["from"] == "human"
        if used + size > MAX_TOKENS:
            yield {"id": f"{session['id']}_{start}", "conversations": turns[start : at if human else at + 1]}
            start, used = (at - 1, size + sizes[at - 1]) if human else (at, size)
        else:
            used += size
            if at == len(sizes) - 1:
                yield {"id": f"{session['id']}_{start}", "conversations": turns[start : at if human else at + 1]}


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
        fidelity(args)
        languages(args)
        segments(args, tokenizer, fastchat_files, out)


if __name__ == "__main__":
    main()
