"""The command line: one verb per stage, and no logic of its own."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from humanturn import console
from humanturn.cli_analyze import measuring
from humanturn.cli_evaluate import annotation, evaluation
from humanturn.cli_serve import using

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TQDM_DISABLE", "1")  # our own progress is shown instead of the libraries'
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

app = typer.Typer(
    help="Train, measure and run language models of the human side of a conversation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Everywhere: --json prints a machine-readable last line, --debug shows tracebacks.  "
    "Model SPECs: embedded, hf:PATH_OR_HUB_ID, openai:MODEL[@URL], pool:FILE.yaml, scripted:FILE.",
)

Out = Annotated[Path, typer.Option("--out", help="directory to write to")]
Resume = Annotated[bool, typer.Option("--resume", help="go on with unfinished output in --out")]


@app.command(epilog=console.example("humanturn demo --out runs/demo"))
def demo(out: Out = Path("runs/demo")) -> None:
    """The whole loop on embedded defaults: real conversations, a real small model, CPU, ends with a report."""
    _run_recipe(Path(__file__).parent / "demo.yaml", [], out)


@app.command(epilog=console.example("humanturn run recipes/demo.yaml --set user.limit=40 --out runs/small"))
def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="k=v", help="change a setting; may repeat")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="run directory; default runs/RECIPE")] = None,
) -> None:
    """Every stage of a recipe, or every run of a study, resumable: what is finished is skipped, the rest goes on."""
    _run_recipe(recipe, changes or [], out or Path("runs") / recipe.stem)


@app.command(epilog=console.example("humanturn check recipes/demo.yaml"))
def check(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="k=v", help="change a setting; may repeat")
    ] = None,
) -> None:
    """Read a recipe and print it with every default, without running anything."""
    import yaml

    from humanturn import recipe as recipes

    read = recipes.read_any(recipe, changes or [])
    runs = read.runs if isinstance(read, recipes.Study) else {"": read}
    every = {name: given.model_dump(mode="json") for name, given in runs.items()}
    found = every if isinstance(read, recipes.Study) else every[""]
    print(yaml.safe_dump(found, sort_keys=False), end="")
    console.last_line(found)


@app.command(epilog=console.example("humanturn prepare sharegpt --sample 300 --out runs/p"))
def prepare(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="files, folders, globs, hf:DATASET, or sharegpt")
    ],
    out: Out,
    tokenizer: Annotated[str | None, typer.Option(help="model SPEC whose tokens count", metavar="SPEC")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="longest segment, template included [2048]")] = None,
    language: Annotated[str | None, typer.Option(help="language to keep, or 'all' [en]")] = None,
    heldout: Annotated[float | None, typer.Option(help="share of sessions never trained on [0.05]")] = None,
    sample: Annotated[int | None, typer.Option(help="sessions to draw; smaller draws are inside larger ones")] = None,
    stratify: Annotated[str | None, typer.Option(help="draw each of rounds,source,language in its share")] = None,
    near_duplicates: Annotated[
        float | None, typer.Option(help="similarity that makes a copy; 0 keeps all [0.8]")
    ] = None,
    guard: Annotated[list[str] | None, typer.Option(help="benchmark questions not to train on", metavar="FILE")] = None,
    scrub: Annotated[bool, typer.Option("--scrub", help="replace e-mails, phone and card numbers, IPs, keys")] = False,
    refusals: Annotated[bool, typer.Option("--refusals", help="drop sessions with an answer that refuses")] = False,
    seed: Annotated[int | None, typer.Option()] = None,
    workers: Annotated[int | None, typer.Option(help="processes [all cores]")] = None,
) -> None:
    """Clean raw conversations and cut them into segments that carry their context."""
    from humanturn.prepare.stage import PrepareSettings
    from humanturn.prepare.stage import prepare as work

    given = console.given(
        tokenizer=tokenizer, max_tokens=max_tokens, heldout=heldout, sample=sample, seed=seed, workers=workers,
        guard=guard, scrub=scrub, refusals=refusals, stratify=tuple(stratify.split(",")) if stratify else None,
    )  # fmt: skip
    if near_duplicates is not None:
        given["near_duplicates"] = near_duplicates or None
    if language is not None:
        given["language"] = None if language == "all" else language
    console.say("prepare", work(console.settings(PrepareSettings, inputs=tuple(inputs), **given), out))


@app.command(
    epilog=console.example(
        "humanturn train runs/demo/prepare/train.jsonl --role user --backbone embedded --limit 16 --out runs/u"
    )
)
def train(
    data: Annotated[str, typer.Argument(metavar="DATA", help="conversations (JSONL), as `prepare` writes them")],
    role: Annotated[Literal["user", "assistant"] | None, typer.Option(help="the side to learn")] = None,
    backbone: Annotated[str | None, typer.Option(help="model to start from", metavar="SPEC")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="directory to write to")] = None,
    show_mask: Annotated[
        bool, typer.Option("--show-mask", help="only show which tokens of DATA (any format) are trained")
    ] = False,
    lora: Annotated[
        int | None, typer.Option(help="train LoRA adapters of this rank, then merge them [16]", metavar="R")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="train every weight")] = False,
    qlora: Annotated[bool, typer.Option("--qlora", help="LoRA over a backbone in 4 bits (CUDA)")] = False,
    heldout: Annotated[
        str | None, typer.Option(help="conversations to measure on, before and after", metavar="FILE")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="[3]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="[2e-4 LoRA, 2e-5 full]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="conversations per step [128]")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="context length [2048]")] = None,
    limit: Annotated[int | None, typer.Option(help="learn from the first N conversations only")] = None,
    learn_ending: Annotated[
        bool, typer.Option("--learn-ending", help="a user model also learns to leave, by an empty turn")
    ] = False,
    evaluate_every: Annotated[int | None, typer.Option(help="steps between measurements on --heldout")] = None,
    report_to: Annotated[
        list[str] | None, typer.Option(help="tensorboard, trackio or wandb; may repeat", metavar="TRACKER")
    ] = None,
    precision: Annotated[
        Literal["float32", "bfloat16"] | None, typer.Option(help="of products [float32 on CPU, bfloat16 on CUDA]")
    ] = None,
    fsdp: Annotated[bool, typer.Option("--fsdp", help="under torchrun: each process holds a shard")] = False,
    seed: Annotated[int | None, typer.Option()] = None,
    resume: Resume = False,
) -> None:
    """Train the user model or the assistant; the result is a plain Hugging Face model folder."""
    from humanturn.errors import InputError
    from humanturn.train.stage import TrainSettings
    from humanturn.train.stage import train as work

    if full and (qlora or lora is not None):
        raise InputError("--lora, --qlora and --full exclude each other; give one")
    given = console.given(
        heldout=heldout, epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, max_tokens=max_tokens,
        limit=limit, seed=seed, lora_rank=lora, method="full" if full else "qlora" if qlora else None, role=role,
        backbone=backbone, learn_ending=learn_ending, evaluate_every=evaluate_every, report_to=report_to,
        parallel="fsdp" if fsdp else None, precision=precision,
    )  # fmt: skip
    settings = console.settings(TrainSettings, data=data, **given)
    if show_mask:
        _show_mask(settings)
        return
    if role is None or backbone is None or out is None:
        missing = [name for name, value in (("role", role), ("backbone", backbone), ("out", out)) if value is None]
        raise InputError(f"--{missing[0]} is missing; only --show-mask does without")
    console.say(role, work(settings, out, resume=resume))


@app.command(
    epilog=console.example(
        "humanturn simulate --user hf:runs/demo/user --assistant embedded --count 2 --rounds 2 --out runs/talk"
    )
)
def simulate(
    out: Out,
    user: Annotated[str | None, typer.Option(help="who plays the user", metavar="SPEC")] = None,
    assistant: Annotated[str | None, typer.Option(help="who answers", metavar="SPEC")] = None,
    count: Annotated[int | None, typer.Option(help="conversations")] = None,
    strategy: Annotated[
        str | None,
        typer.Option(help="trained, roleplay, self-chat, ultrachat, self-instruct or evol-instruct [trained]"),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="conversations whose first round opens ours, or opening lines", metavar="FILE")
    ] = None,
    intents: Annotated[
        str | None, typer.Option(help="what the human wants: a line each, or meta.intent", metavar="FILE")
    ] = None,
    personas: Annotated[
        str | None, typer.Option(help="people for roleplay: a line each, or 'builtin'", metavar="FILE")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="who judges, where a strategy asks [the user]", metavar="SPEC")
    ] = None,
    sdf: Annotated[bool, typer.Option("--sdf", help="self-chat: the judge keeps the best of four answers")] = False,
    max_tokens: Annotated[
        int | None, typer.Option(help="context that ends a conversation [the user model's own]")
    ] = None,
    rounds: Annotated[
        str | None, typer.Option(help="end after so many user turns, or as sessions of a file do", metavar="N|FILE")
    ] = None,
    ending: Annotated[
        Literal["learned", "context"] | None,
        typer.Option(help="learned: an empty user turn ends it [as the user was trained]"),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="counts the context when the user is a remote endpoint", metavar="SPEC")
    ] = None,
    budget: Annotated[str | None, typer.Option(help="cap on what is spent: 5usd or 2Mtok")] = None,
    price: Annotated[
        list[str] | None, typer.Option(help="USD for a million tokens read, written", metavar="SPEC=IN,OUT")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="conversations in flight [32]")] = None,
    form: Annotated[Literal["jsonl", "parquet"] | None, typer.Option("--format", help="beside the JSONL")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    resume: Resume = False,
    status: Annotated[bool, typer.Option("--status", help="only say how the simulation in --out is doing")] = False,
) -> None:
    """Let a user model talk with any assistant until its context ends each conversation."""
    from humanturn.errors import InputError
    from humanturn.simulate.stage import SimulateSettings
    from humanturn.simulate.stage import simulate as work

    if status:
        _say_status(out)
        return
    if user is None or assistant is None or count is None:
        raise InputError("simulate needs --user, --assistant and --count; only --status does without")
    given = console.given(
        strategy=strategy, seeds=seeds, max_tokens=max_tokens, tokenizer=tokenizer,
        intents=intents, personas=personas, judge=judge, sdf=sdf, ending=ending,
        rounds=int(rounds) if rounds and rounds.lstrip("-").isdigit() else rounds,
        concurrency=concurrency, seed=seed, budget=budget, format=form, prices=console.prices(price or []),
    )  # fmt: skip
    settings = console.settings(SimulateSettings, user=user, assistant=assistant, count=count, **given)
    console.say("simulate", work(settings, out, resume=resume))


def _say_status(out: Path) -> None:
    from humanturn.simulate.status import describe
    from humanturn.simulate.status import status as work

    found = work(out)
    print(describe(found))
    console.last_line(found)


app.add_typer(
    evaluation,
    name="evaluate",
    epilog=console.example(
        "humanturn evaluate --model a=embedded --judge openai:j@http://localhost:8000/v1 --max-tokens 16 --out runs/e"
    ),
)
app.add_typer(annotation, name="annotate", epilog=console.example("humanturn annotate serve --help"))
app.add_typer(using)
app.add_typer(measuring)


@app.command(epilog=console.example("humanturn report runs/demo"))
def report(run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="run directory")]) -> None:
    """Write RUN/report.html anew from whatever stages are there."""
    from humanturn.report.page import report as work

    path = work(run_dir)
    print(path)
    console.last_line({"report": str(path)})


@app.command(
    epilog=console.example(
        "humanturn convert runs/demo/simulate/conversations.jsonl --to sharegpt --out runs/talk.json"
    )
)
def convert(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="files of any format")],
    to: Annotated[Literal["sharegpt", "messages", "parquet"], typer.Option(help="format to write")],
    out: Annotated[Path, typer.Option("--out", help="file to write")],
) -> None:
    """Convert conversations between formats."""
    from humanturn.formats import convert as work

    written, left_out = work(inputs, to, out)
    print(f"{written:,} conversations written to {out}, {left_out:,} records left out")
    console.last_line({"conversations": written, "left_out": left_out, "file": str(out)})


@app.command(epilog=console.example("humanturn fetch smollm2"))
def fetch(name: Annotated[str, typer.Argument(metavar="NAME", help="what to fetch")]) -> None:
    """Download a model or data set once, check it, and print where it is."""
    from humanturn.fetch import fetch as work

    path = work(name)
    print(path)
    console.last_line({"path": str(path)})


def main() -> None:
    """The `humanturn` command."""
    sys.exit(console.run(app))


def _show_mask(settings: Any) -> None:
    import msgspec

    from humanturn.train import show

    shown, refused = show.look(settings)
    show.draw(shown, refused, settings.role)
    console.last_line(show.counts(shown) | {"shown": msgspec.to_builtins(shown), "left_out": refused})


def _run_recipe(path: Path, changes: list[str], out: Path) -> None:
    from humanturn import pipeline
    from humanturn import recipe as recipes

    given = recipes.read_any(path, changes)
    if isinstance(given, recipes.Study):
        _run_study(given, out)
        return
    began = time.monotonic()
    results = pipeline.run_all(given, out, console.say_stage)
    summary: dict[str, Any] = {
        "heldout_nll": results["analyze"].result.get("heldout_nll") if "analyze" in results else None,
        "conversations": results["simulate"].result["conversations"] if "simulate" in results else 0,
        "report": results["report"].result["report"],
        "seconds": round(time.monotonic() - began, 1),
        "skipped": [name for name, result in results.items() if result.skipped],
    }
    print(f"\nreport: {summary['report']}  ({summary['seconds']} s)")
    console.last_line(summary)


def _run_study(given: Any, out: Path) -> None:
    from humanturn import study

    began = time.monotonic()
    found = study.run_study(given, out, console.say_stage)
    page = str(out / "study.html")
    print(f"\nstudy: {page}  ({time.monotonic() - began:.1f} s)")
    console.last_line({"runs": found["runs"], "study": page, "seconds": round(time.monotonic() - began, 1)})
