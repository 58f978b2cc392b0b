"""Conversations between two local models: our engine, Hugging Face `generate` turn by turn, and one at a time.

python benchmarks/simulate_local.py [--conversations 32] [--context 1024] [--user SPEC] [--assistant SPEC]
python benchmarks/simulate_local.py --conversations 4 --context 256 --alone 1 --checked 2       a short run

Every contender holds the same kind of conversations: a user (an untrained chat model is told to play one) and an
assistant write in turn at temperature 1 up to their own end or --reply-tokens, until the rendered conversation reaches
--context tokens. `generate` gets its best case: all conversations in step in one left-padded batch, which leaves out
those that have ended; it reads the history anew each turn. --only runs some contenders and --results collects their
rows in a file, so that a long comparison can be held in parts.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path

import torch

from humanturn import run, template
from humanturn.conversation import Turn
from humanturn.models import spec, weights
from humanturn.models.generate import Engine, Request, Writing
from humanturn.models.model import Sampling

SIDES = ("user", "assistant")
SILENCE = "Go on."
"""Stands for an empty reply, so that every conversation lasts its length."""


class Side:
    """What one side is shown, and how it is rendered."""

    def __init__(self, side, name):
        self.name, self.folder = name, spec.local_folder(name)
        self.tokenizer = weights.tokens.load(self.folder)
        plays_user = template.opens(self.tokenizer) == "user"
        preface = (Turn("system", template.USER_MODEL_PREFACE),)
        views = {"assistant": lambda turns: turns, "user": template.as_roleplay}
        self.shown = (lambda turns: turns or preface) if side == "user" and plays_user else views[side]

    def prompt(self, turns):
        return template.prompt_ids(self.tokenizer, self.shown(turns))


def whose(turns):
    return SIDES[len(turns) % 2]


def ended(sides, turns, context):
    return whose(turns) == "user" and len(sides["assistant"].prompt(turns)) >= context if turns else False


def say(turns, text):
    turns.append(Turn(whose(turns), text.strip() or SILENCE))


async def by_engine(sides, options, count, in_flight):
    """Tokens written by `count` conversations through the API that `humanturn simulate` uses."""
    models = {side: spec.load(sides[side].name) for side in SIDES}
    sampling = Sampling(temperature=1.0, max_tokens=options.reply_tokens)
    written = []

    async def converse(number):
        turns = []
        while not ended(sides, turns, options.context):
            side = whose(turns)
            seed = run.derived_seed(options.seed, number, len(turns))
            reply = await models[side].reply(sides[side].shown(turns), sampling=sampling, seed=seed)
            written.append(reply.completion_tokens)
            say(turns, reply.text)

    async def work(numbers):
        for number in numbers:
            await converse(number)

    warm_up = [models[side].reply([Turn("user", "Hi")], sampling=Sampling(max_tokens=2), seed=0) for side in SIDES]
    await asyncio.gather(*warm_up)
    began, numbers = time.perf_counter(), iter(range(count))
    await asyncio.gather(*(work(numbers) for _ in range(in_flight)))
    spent = time.perf_counter() - began
    for model in models.values():
        await model.close()
    return sum(written), len(written), spent


def in_step(sides, options, write, count):
    """Tokens written by `count` conversations that take every turn together; `write` takes a side and its prompts."""
    talks, tokens, replies, began = [[] for _ in range(count)], 0, 0, time.perf_counter()
    while talks:
        side = whose(talks[0])
        for turns, ids in zip(talks, write(side, [sides[side].prompt(turns) for turns in talks]), strict=True):
            tokens, replies = tokens + len(ids), replies + 1
            say(turns, sides[side].tokenizer.decode(ids, skip_special_tokens=True))
        talks = [turns for turns in talks if not ended(sides, turns, options.context)]
    return tokens, replies, time.perf_counter() - began


def hugging_face(sides, reply_tokens, **how):
    """`write` by transformers' generate; the ids of each reply with the token that ended it."""
    models = {folder: weights.load(folder)[0] for folder in {side.folder for side in sides.values()}}
    stops = {side: template.stop_ids(sides[side].tokenizer) for side in SIDES}

    def write(side, prompts):
        model, longest = models[sides[side].folder], max(map(len, prompts))
        pad = stops[side][0]
        ids = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts], device=model.device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=model.device)
        rows = model.generate(
            ids, attention_mask=mask, max_new_tokens=reply_tokens, eos_token_id=stops[side], pad_token_id=pad, **how
        )[:, longest:].tolist()
        return [row[: next((n + 1 for n, t in enumerate(row) if t in stops[side]), len(row))] for row in rows]

    return write


def vllm(sides, reply_tokens):
    """`write` by vLLM, which keeps prefixes and batches as it likes."""
    from vllm import LLM, SamplingParams

    models = {f: LLM(str(f), gpu_memory_utilization=0.4) for f in {side.folder for side in sides.values()}}

    def write(side, prompts):
        stops = template.stop_ids(sides[side].tokenizer)
        how = SamplingParams(temperature=1.0, max_tokens=reply_tokens, stop_token_ids=stops)
        given = [{"prompt_token_ids": prompt} for prompt in prompts]
        return [answer.outputs[0].token_ids for answer in models[sides[side].folder].generate(given, how)]

    return write


def greedy_check(sides, options):
    """Turns that our engine, batched and with kept caches, writes as `generate` writes each alone."""
    theirs = hugging_face(sides, options.reply_tokens, do_sample=False, temperature=None, top_p=None)
    stops = {side: template.stop_ids(sides[side].tokenizer) for side in SIDES}
    loaded = {side.folder: weights.load(side.folder)[0] for side in sides.values()}
    engines = {folder: Engine(model, stops["assistant"]) for folder, model in loaded.items()}
    probe = weights.load(sides["user"].folder)[0]
    talks, compared, equal, gaps = [[Turn("user", f"Tell me {n} facts.")] for n in range(options.checked)], 0, 0, []
    sampling = Sampling(temperature=0, max_tokens=options.reply_tokens)
    while talks:
        side = whose(talks[0])
        engine = engines[sides[side].folder]
        turns = [Writing(Request(sides[side].prompt(t), sampling, 0)) for t in talks]
        for turn in turns:
            engine.ask(turn)
        while not all(turn.over for turn in turns):
            engine.step()
        for talk, turn in zip(talks, turns, strict=True):
            (ids,) = theirs(side, [turn.request.prompt])
            ids = [token for token in ids if token not in stops[side]]
            compared, equal = compared + 1, equal + (ids == turn.ids)
            if ids != turn.ids:
                gaps.append(gap_at_difference(probe, turn.request.prompt, ids, turn.ids))
            say(talk, sides[side].tokenizer.decode(turn.ids, skip_special_tokens=True))
        talks = [talk for talk in talks if not ended(sides, talk, options.context)]
    print(f"greedy output: {compared} turns compared with generate, {equal} identical in every token", flush=True)
    if gaps:
        print(f"  where they part, the two likeliest tokens lie {min(gaps):.1e} to {max(gaps):.1e} apart (logits)")


def gap_at_difference(model, prompt, one, other):
    """By how much the likeliest token leads where two replies part."""
    same = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    with torch.inference_mode():
        logits = model(torch.tensor([prompt + one[:same]], device=model.device)).logits[0, -1].float()
    first, second = logits.topk(2).values.tolist()
    return first - second


def contenders(sides, options):
    how = {"do_sample": True, "temperature": 1.0, "top_p": 1.0, "top_k": 0}
    count = options.conversations
    yield "ours", count, lambda n: asyncio.run(by_engine(sides, options, n, n))
    yield (
        "generate, batched",
        count,
        lambda n: in_step(sides, options, hugging_face(sides, options.reply_tokens, **how), n),
    )

    def one_by_one(n):
        write = hugging_face(sides, options.reply_tokens, **how)
        return [sum(column) for column in zip(*(in_step(sides, options, write, 1) for _ in range(n)), strict=True)]

    yield "generate, one at a time", options.alone, one_by_one
    yield "ours, one at a time", options.alone, lambda n: asyncio.run(by_engine(sides, options, n, 1))
    if torch.cuda.is_available():
        try:
            import vllm as _  # noqa: F401

            yield "vllm", count, lambda n: in_step(sides, options, vllm(sides, options.reply_tokens), n)
        except ImportError:
            print("vllm is not installed here")


def table(rows):
    ours = rows.get("ours")
    for name, (count, tokens, replies, spent) in rows.items():
        ratio = f"ours is {ours[1] / ours[3] / (tokens / spent):5.2f}x" if ours and name != "ours" else ""
        print(
            f"{name:24} {count:3} conversations {replies:5,} replies {tokens:7,} tokens {spent:7.1f} s"
            f"  {tokens / spent:8,.1f} tokens/s  {ratio}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--user", default="embedded")
    parser.add_argument("--assistant", default="embedded")
    parser.add_argument("--conversations", type=int, default=32)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--reply-tokens", type=int, default=96)
    parser.add_argument("--alone", type=int, default=1, help="conversations of those who hold one at a time")
    parser.add_argument("--checked", type=int, default=4, help="conversations of the greedy comparison; 0 for none")
    parser.add_argument("--only", nargs="*", help="contenders by name")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    sides = {side: Side(side, getattr(options, side)) for side in SIDES}
    rows = json.loads(options.results.read_text()) if options.results and options.results.exists() else {}
    for name, count, hold in contenders(sides, options):
        if options.only is None or name in options.only:
            rows[name] = (count, *hold(count))
            if options.results:
                options.results.write_text(json.dumps(rows))
    device = "CUDA" if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads each"
    print(f"{options.user} and {options.assistant}, context {options.context}, {device}")
    table(rows)
    if options.checked:
        greedy_check(sides, options)


if __name__ == "__main__":
    main()
