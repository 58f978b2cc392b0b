"""Training against TRL's SFTTrainer on the same conversations, in the same run.

python benchmarks/train.py [DATA.jsonl] --trl-python PYTHON [--conversations N] [--steps N] [--roles user assistant]
                           [--methods full lora] [--contenders ours trl trl-defaults] [--model SPEC] [--repeats N]

DATA.jsonl is what `humanturn prepare --max-tokens 2048` writes; without it the packaged ShareGPT data set is prepared.
Both sides get the same token ids and labels, made by our masks; an optimizer step learns from all of them. Every
contender is a process of its own, whose peak memory is read when it has ended; the time is that of all
optimizer steps but the first, in which memory is touched for the first time. `trl` is SFTTrainer tuned for the machine
(packing bfd, no gradient checkpointing, float32 on CPU; on CUDA bfloat16 products, the best attention there is, and
learned weights in float32); `trl-defaults` is what a newcomer gets. PYTHON is an interpreter with TRL beside the torch
and transformers of this one:

    python -m venv trl && trl/bin/pip install --no-deps trl datasets dill xxhash multiprocess pandas aiohttp
    python -c "import site; print(site.getsitepackages()[0])" > trl/lib/python3.11/site-packages/ours.pth
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONTEXT = 2048
RANK = 16


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--trl-python", metavar="PYTHON")
    parser.add_argument("--conversations", type=int, default=8, help="all of them in every optimizer step")
    parser.add_argument("--steps", type=int, default=2, help="optimizer steps, the first untimed")
    parser.add_argument("--roles", nargs="+", default=["user", "assistant"])
    parser.add_argument("--methods", nargs="+", default=["full", "lora"])
    parser.add_argument("--contenders", nargs="+", default=["ours", "trl", "trl-defaults"])
    parser.add_argument("--model", default="embedded", metavar="SPEC", help="embedded, hf:PATH, or random-8b (CUDA)")
    parser.add_argument("--repeats", type=int, default=1, help="medians over so many runs of each, in turn")
    parser.add_argument("--contend", nargs=2, metavar=("NAME", "PLAN"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contend:
        contend(*args.contend)
        return
    with tempfile.TemporaryDirectory(prefix="train-") as name:
        for role in args.roles:
            plan = prepare(args, role, Path(name))
            for method in args.methods:
                compare(args, plan | {"method": method}, Path(name))


def prepare(args, role, folder):
    """What every contender is given: token ids, labels, and the order of the steps."""
    import numpy as np

    from humanturn import scaffold
    from humanturn.conversation import Conversation
    from humanturn.jsonl import read
    from humanturn.models import spec
    from humanturn.tokens import load
    from humanturn.train import masking

    data = args.data or packaged(folder)
    backbone = random_llama(folder) if args.model == "random-8b" else spec.local_folder(args.model)
    tokenizer = load(backbone)
    if role == "user":
        tokenizer.chat_template = scaffold.trained_template(tokenizer, "user")
    count = args.conversations
    conversations = list(itertools.islice(read(data, Conversation), 50 * count))
    chosen = [conversations[i] for i in np.random.default_rng(0).permutation(len(conversations))[:count]]
    masked = masking.mask(tokenizer, chosen, role=role, max_tokens=CONTEXT)
    whole = uncut(tokenizer, chosen, role)
    examples = [{"input_ids": i.tolist(), "labels": np.where(t, i, -100).tolist()} for i, t in whole]
    trained = sum(int(t.sum()) for _, t in whole)
    assert trained == sum(int(s.trained.sum()) for s in masked.sequences), "both sides learn the same tokens"
    kept = sum(len(s.ids) for s in masked.sequences)
    total = sum(len(i) for i, _ in whole)
    print(
        f"{role}: {count} conversations, {total:,} tokens, {kept:,} of them up to the last of {trained:,} trained ones"
    )
    return {"role": role, "backbone": str(backbone), "examples": examples, "steps": args.steps, "tokens": total}


def uncut(tokenizer, conversations, role):
    """Ids and masks of whole conversations, as a trainer that does not cut tails is given them."""
    from humanturn.train import masking

    told = [masking.tell(c, role, learn_ending=False, intent_dropped=0.5, seed=0) for c in conversations]
    whole = [masking.encode(tokenizer, one, name=c.id) for one, c in zip(told, conversations, strict=True)]
    return [(sequence.ids[:CONTEXT], sequence.trained[:CONTEXT]) for sequence in whole]


def packaged(folder):
    """ShareGPT from PyPI, prepared."""
    from humanturn.prepare.stage import PrepareSettings
    from humanturn.prepare.stage import prepare as work

    work(PrepareSettings(inputs=("sharegpt",), max_tokens=CONTEXT), folder / "prepared")
    return folder / "prepared" / "train.jsonl"


def random_llama(folder):
    """Weights of Llama 3's 8B shape, drawn at random, under the embedded tokenizer."""
    import torch
    import transformers

    from humanturn.models.embedded import folder as embedded

    out = folder / "random-8b"
    if not out.exists():
        shape = transformers.LlamaConfig(
            vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
            num_key_value_heads=8, max_position_embeddings=8192, rope_theta=500000.0,
        )  # fmt: skip
        with torch.device("cuda"):
            transformers.LlamaForCausalLM(shape).to(torch.bfloat16).save_pretrained(out)
        transformers.AutoTokenizer.from_pretrained(embedded()).save_pretrained(out)
    return out


def compare(args, plan, folder):
    path = folder / "plan.json"
    path.write_text(json.dumps(plan))
    pythons = {name: sys.executable if name == "ours" else args.trl_python for name in args.contenders}
    if None in pythons.values():
        sys.exit("give --trl-python, or --contenders ours")
    runs = {name: [] for name in pythons}
    for _ in range(args.repeats):  # in turn, so that a slow minute of the machine is everybody's
        for name, python in pythons.items():
            runs[name].append(measured([python, __file__, "--contend", name, str(path)]))
    found = {}
    for name, of_one in runs.items():
        medians = {key: statistics.median(run[key] for run in of_one) for key in ("rate", "cpu", "peak")}
        found[name] = row = of_one[0] | medians
        spread = ", ".join(f"{run['rate']:.3f}" for run in of_one)
        extra = f", {row['mfu']:.0%} of the peak model FLOPs" if row.get("mfu") else ""
        estimate = f" (estimated {row['estimate']:.2f})" if "estimate" in row else ""
        print(
            f"  {plan['method']:4} {name:12} {row['rate']:.3f} conversations/s, {row['cpu']:.0f} CPU s,"
            f" {row['peak']:.2f} GB at most{estimate},"
            f" losses {', '.join(f'{loss:.5f}' for loss in row['losses'])}{extra}"
            + (f" (runs: {spread} conversations/s)" if len(of_one) > 1 else ""),
            flush=True,
        )
    for name in found.keys() - {"ours"} if "ours" in found else ():
        rate, peak = found["ours"]["rate"] / found[name]["rate"], found["ours"]["peak"] / found[name]["peak"]
        print(
            f"  {plan['role']}, {plan['method']}: {rate:.2f}x the conversations/s of {name} at {peak:.2f} of its memory"
        )
    if {"ours", "trl"} <= found.keys():
        first = [found[name]["losses"][0] for name in ("ours", "trl")]
        agree = "agree" if abs(first[0] - first[1]) < 2e-4 * first[1] else "DO NOT AGREE"
        print(f"  loss of the first step, same weights, same labels: {first[0]:.6f} and {first[1]:.6f} {agree}")


def measured(command):
    """The last line that a contender prints, with the peak of its memory (resident, or CUDA's), GB.

    The system is asked once, at the end: a process whose pages are counted while it runs, runs slower.
    """
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        process = subprocess.Popen(command, stdout=said, stderr=complained)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        complained.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command)}\n{complained.read()[-3000:]}")
        result = json.loads(said.read().splitlines()[-1])
    return {"peak": used.ru_maxrss * 1024 / 1e9} | result


def contend(name, plan_path):
    """Train by `plan`, print what came of it."""
    import torch

    plan = json.loads(Path(plan_path).read_text())
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as out:
        result = ours(plan, Path(out)) if name == "ours" else trl(plan, Path(out), tuned=name == "trl")
    timed = result.pop("seconds")
    steps = plan["steps"] - 1
    result["rate"] = steps * len(plan["examples"]) / timed
    if torch.cuda.is_available():
        result["peak"] = torch.cuda.max_memory_allocated() / 1e9
        result["mfu"] = flops(plan) * steps / timed / PEAK_FLOPS
    print(json.dumps(result))


PEAK_FLOPS = 989e12
"""bfloat16, dense, of an H100 or H200."""


def flops(plan):
    """Multiplications and additions of the model as it is, whole conversations forward and backward: 6 per weight and
    token (4 under LoRA, whose frozen weights get no gradient), and attention's."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(plan["backbone"])
    width, layers = config.hidden_size, config.num_hidden_layers
    values = config.num_key_value_heads * config.head_dim
    weights = layers * width * (2 * width + 2 * values + 3 * config.intermediate_size) + width * config.vocab_size
    per_weight = 6 if plan["method"] == "full" else 4
    attention = sum(6 * layers * width * len(e["input_ids"]) ** 2 for e in plan["examples"])
    return per_weight * weights * plan["tokens"] + attention


class Clock:
    """Seconds from the end of the first step to the end of the last."""

    def __init__(self):
        self.ends = []

    def tick(self):
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append((time.perf_counter(), time.process_time()))

    @property
    def spent(self):
        """Wall and CPU seconds."""
        (wall, cpu), (last_wall, last_cpu) = self.ends[1], self.ends[-1]  # the tick before is the start
        return {"seconds": last_wall - wall, "cpu": last_cpu - cpu}


def ours(plan, out):
    """The stage's own parts, from tokens on."""
    import numpy as np
    import psutil
    import torch

    from humanturn import jsonl
    from humanturn.models import packed, weights
    from humanturn.train import adapters, memory, trainer

    sequences = [
        packed.TokenSequence(np.array(e["input_ids"], np.int32), np.array(e["labels"]) != -100).cut()
        for e in plan["examples"]
    ]
    order = [list(range(len(sequences)))] * plan["steps"]
    cuda = torch.cuda.is_available()
    model, _ = weights.load(
        Path(plan["backbone"]), attention=packed.register_attention("bfloat16" if cuda else "float32"),
        dtype="float32" if plan["method"] == "full" else "auto",
    )  # fmt: skip
    model = adapters.adapt(model, plan["method"], rank=RANK, seed=0)
    data = trainer.Steps(sequences, order, CONTEXT)
    held = torch.cuda.memory_allocated() if cuda else psutil.Process().memory_info().rss
    room = memory.choose(model, row_tokens=data.longest_row(), bfloat16=cuda)
    clock = Clock()
    trainer.fit(
        model, data, out=out, learning_rate=2e-5, warmup=0.0, weight_decay=0.0, checkpoint_every=10**6,
        room=room, seed=0, bfloat16=cuda, advance=lambda tokens: clock.tick(),
    )  # fmt: skip
    losses = [line["loss"] for line in jsonl.read(out / "metrics.jsonl", dict)]
    return {"losses": losses, **clock.spent, "estimate": (room.needed.total + held) / 1e9}


def trl(plan, out, *, tuned):
    """SFTTrainer over the same tokens and labels, the same conversations in each optimizer step."""
    import datasets
    import peft
    import torch
    import transformers
    import trl as library

    cuda = torch.cuda.is_available()
    clock = Clock()

    class Tick(transformers.TrainerCallback):
        def on_train_begin(self, args, state, control, **_):
            clock.tick()

        def on_step_end(self, args, state, control, **_):
            clock.tick()

    rows = datasets.Dataset.from_list(plan["examples"])
    per_step = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": -(-len(rows) // 8)}
    given, model = per_step, None
    if tuned:
        packed = len(library.pack_dataset(rows, CONTEXT, "bfd"))
        given = {"packing": True, "packing_strategy": "bfd", "gradient_checkpointing": False, "bf16": cuda}
        given |= {"per_device_train_batch_size": 1, "gradient_accumulation_steps": packed}
        flash = cuda and transformers.utils.is_flash_attn_2_available()
        dtype = torch.bfloat16 if cuda and plan["method"] == "lora" else torch.float32
        model = {"attn_implementation": "flash_attention_2" if flash else "sdpa", "dtype": dtype}
    config = library.SFTConfig(
        output_dir=str(out), max_steps=plan["steps"], learning_rate=2e-5, lr_scheduler_type="cosine", logging_steps=1,
        save_strategy="no", report_to="none", max_length=CONTEXT, disable_tqdm=True, seed=0, model_init_kwargs=model,
        use_cpu=not cuda, **given,
    )  # fmt: skip
    lora = peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = library.SFTTrainer(
        model=plan["backbone"], args=config, train_dataset=rows, callbacks=[Tick()],
        peft_config=lora if plan["method"] == "lora" else None,
    )  # fmt: skip
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return {"losses": losses, **clock.spent}


if __name__ == "__main__":
    main()
