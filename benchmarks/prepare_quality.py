"""What preparation keeps and what it breaks: figures 3 and 4 of benchmarks/prepare.py, which runs them."""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt

from humanturn import formats, jsonl, scaffold, template, tokens
from humanturn.conversation import Conversation
from humanturn.prepare import language
from humanturn.prepare.html import is_html, to_markdown
from humanturn.records import Dropped

MAX_TOKENS = 2048
OTHER_THAN_ENGLISH = (
    """5CHGSqh_21 E3053Cw_13 HxOhjmq_14 IC4I4QH_0 MetiWpF_0 YLj5gCL_0 cIj2dFl_79 lSeiu11_43 wgCg1Ym_0"""
)
"""Sessions of sharegpt_700 that are mostly, or half, in other languages; told by reading them."""


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
    frame = scaffold.read_off(hf)
    hf.chat_template = scaffold.chat_template(frame)
    cost, count = scaffold.overhead(hf, frame), tokens.counter(tokenizer)

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
    ours(args, out, hf)


def ours(args, out, hf):
    steps = json.loads((out / "funnel.json").read_text())["steps"]
    found = [c for side in ("train", "heldout") for c in jsonl.read(out / f"{side}.jsonl", Conversation)]
    kept = sum(turn.role == "user" for c in found for turn in c.messages[c.context_turns :])
    read = sum(turn["from"] == "human" for r in json.loads(args.raw.read_text()) for turn in r["conversations"])
    counted = sum(step["user_turns_dropped"] for step in steps)
    broken = {d.id for d in jsonl.read(out / "dropped.jsonl", Dropped) if d.rule == "too_long"}
    wrong = later = 0
    for before, after in pairwise(found):
        if after.context_turns:
            opening, later = after.messages[0], later + 1
            # Where the answer was cut, or its human turn was too long to keep, it stands nowhere else in full.
            alone = before.meta.get("answer_cut") or after.id.partition("#")[0] in broken
            same = before.messages[-1].content.endswith(opening.content) and opening.content
            wrong += opening.role != "assistant" or not (same or alone)
    line(
        "ours", len(found), read, read - kept - counted,
        sum(len(template.encode(hf, c.messages).ids) > MAX_TOKENS for c in found),
        sum(c.messages[-1].role == "user" for c in found), wrong, later,
    )  # fmt: skip
    print(f"    ({kept:,} human turns kept, {counted:,} dropped by counted rules)")


def line(name, made, human, lost, over, ending, wrong, later):
    print(
        f"  {name}: {made:,} segments; human turns {human:,}, lost without a reason {lost:,}; over budget {over:,};"
        f" ending with a human turn {ending:,}; later ones that do not open with the answer before them"
        f" {wrong:,} of {later:,}"
    )


def report(name, made, whole, size):
    """The same figures for segments given as (session, index of the first turn, turns)."""
    human = sum(t["from"] == "human" for turns in whole.values() for t in turns)
    kept = {(key, first + at) for key, first, turns in made for at, t in enumerate(turns) if t["from"] == "human"}
    later = [turns for _, first, turns in made if first]
    line(
        name, len(made), human, human - len(kept),
        sum(size(turns) > MAX_TOKENS for _, _, turns in made if turns),
        sum(bool(turns) and turns[-1]["from"] == "human" for _, _, turns in made),
        sum(not turns or turns[0]["from"] == "human" for turns in later), len(later),
    )  # fmt: skip


def paper_split(session, count):
    """The rule of the paper's own script, restated: a segment ends at the turn that passes the budget, which stays in
    it when it is an answer; the next begins with that answer, or with the one before the human turn."""
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
