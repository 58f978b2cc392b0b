"""The command line: one verb per stage, and no logic of its own."""

import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

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
    "Model SPECs: embedded, hf:PATH_OR_HUB_ID, openai:MODEL[@URL], scripted:FILE.",
)

Out = Annotated[Path, typer.Option("--out", help="directory to write to")]
Resume = Annotated[bool, typer.Option("--resume", help="go on with unfinished output in --out")]


INTERRUPTED = 130
RESUMABLE = ("train", "simulate")
DESCRIBED = ("prepare", "train", "simulate", "analyze")
"""Stages whose module has `describe(result)`: the result as text for a terminal."""


def _example(command: str) -> str:
    return f"Example:  {command}"


@app.command(epilog=_example("humanturn demo --out runs/demo"))
def demo(out: Out = Path("runs/demo")) -> None:
    """The whole loop on embedded defaults: real conversations, a real small model, CPU, ends with a report."""
    _run_recipe(Path(__file__).parent / "demo.yaml", [], out)


@app.command(epilog=_example("humanturn run recipes/demo.yaml --set user.limit=40 --out runs/small"))
def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="k=v", help="change a setting; may repeat")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="run directory; default runs/RECIPE")] = None,
) -> None:
    """Every stage of a recipe, resumable: finished stages are skipped, an unfinished one goes on."""
    _run_recipe(recipe, changes or [], out or Path("runs") / recipe.stem)


@app.command(epilog=_example("humanturn check recipes/demo.yaml"))
def check(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.yaml")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="k=v", help="change a setting; may repeat")
    ] = None,
) -> None:
    """Read a recipe and print it with every default, without running anything."""
    import yaml

    from humanturn import recipe as recipes

    found = recipes.read(recipe, changes or []).model_dump(mode="json")
    print(yaml.safe_dump(found, sort_keys=False), end="")
    _last_line(found)


@app.command(epilog=_example("humanturn prepare sharegpt --sample 300 --out runs/data"))
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
    seed: Annotated[int | None, typer.Option()] = None,
    workers: Annotated[int | None, typer.Option(help="processes [all cores]")] = None,
) -> None:
    """Clean raw conversations and cut them into segments that carry their context."""
    from humanturn.prepare.stage import PrepareSettings
    from humanturn.prepare.stage import prepare as work

    given = _given(
        tokenizer=tokenizer, max_tokens=max_tokens, heldout=heldout, sample=sample, seed=seed, workers=workers
    )
    if language is not None:
        given["language"] = None if language == "all" else language
    _say("prepare", work(_settings(PrepareSettings, inputs=tuple(inputs), **given), out))


@app.command(
    epilog=_example(
        "humanturn train runs/demo/prepare/train.jsonl --role user --backbone embedded --limit 16 --out runs/u"
    )
)
def train(
    data: Annotated[str, typer.Argument(metavar="DATA", help="conversations (JSONL), as `prepare` writes them")],
    role: Annotated[Literal["user", "assistant"], typer.Option(help="the side to learn")],
    backbone: Annotated[str, typer.Option(help="model to start from", metavar="SPEC")],
    out: Out,
    lora: Annotated[
        int | None, typer.Option(help="train LoRA adapters of this rank, then merge them [16]", metavar="R")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="train every weight")] = False,
    heldout: Annotated[
        str | None, typer.Option(help="conversations to measure on, before and after", metavar="FILE")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="[3]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="[2e-4 LoRA, 2e-5 full]")] = None,
    batch_size: Annotated[int | None, typer.Option(help="conversations per step [128]")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="context length [2048]")] = None,
    limit: Annotated[int | None, typer.Option(help="learn from the first N conversations only")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    resume: Resume = False,
) -> None:
    """Train the user model or the assistant; the result is a plain Hugging Face model folder."""
    from humanturn.errors import InputError
    from humanturn.train.stage import TrainSettings
    from humanturn.train.stage import train as work

    if full and lora is not None:
        raise InputError("--lora and --full exclude each other; give one")
    given = _given(
        heldout=heldout, epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, max_tokens=max_tokens,
        limit=limit, seed=seed, lora_rank=lora, method="full" if full else None,
    )  # fmt: skip
    _say(role, work(_settings(TrainSettings, data=data, role=role, backbone=backbone, **given), out, resume=resume))


@app.command(
    epilog=_example(
        "humanturn simulate --user hf:runs/demo/user --assistant embedded --count 2 --rounds 2 --out runs/talk"
    )
)
def simulate(
    user: Annotated[str, typer.Option(help="who plays the user", metavar="SPEC")],
    assistant: Annotated[str, typer.Option(help="who answers", metavar="SPEC")],
    count: Annotated[int, typer.Option(help="conversations")],
    out: Out,
    strategy: Annotated[
        str | None, typer.Option(help="trained, or roleplay: a chat model told to be a user [trained]")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="conversations whose first round opens ours", metavar="FILE")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="context that ends a conversation [the user model's own]")
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="end after this many user turns, if the context allows")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="counts the context when the user is a remote endpoint", metavar="SPEC")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="conversations in flight [32]")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    resume: Resume = False,
) -> None:
    """Let a user model talk with any assistant until its context ends each conversation."""
    from humanturn.simulate.stage import SimulateSettings
    from humanturn.simulate.stage import simulate as work

    given = _given(
        strategy=strategy, seeds=seeds, max_tokens=max_tokens, rounds=rounds, tokenizer=tokenizer,
        concurrency=concurrency, seed=seed,
    )  # fmt: skip
    settings = _settings(SimulateSettings, user=user, assistant=assistant, count=count, **given)
    _say("simulate", work(settings, out, resume=resume))


@app.command(
    epilog=_example(
        "humanturn analyze human=runs/demo/prepare/train.jsonl ours=runs/demo/simulate/conversations.jsonl --out runs/t"
    )
)
def analyze(
    corpora: Annotated[list[str], typer.Argument(metavar="NAME=DATA...", help="corpora to measure side by side")],
    out: Out,
    tokenizer: Annotated[
        str | None, typer.Option(help="model SPEC whose tokens count [embedded]", metavar="SPEC")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="trained user model to measure on heldout humans", metavar="FOLDER")
    ] = None,
    heldout: Annotated[str | None, typer.Option(help="conversations it never saw", metavar="FILE")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Measure corpora side by side (the paper's Table 5), and how well a user model predicts heldout humans."""
    from humanturn.analyze.stage import AnalyzeSettings
    from humanturn.analyze.stage import analyze as work
    from humanturn.errors import InputError

    named = dict(corpus.partition("=")[::2] for corpus in corpora)
    if "" in named.values() or "" in named:
        bad = next(corpus for corpus in corpora if not all(corpus.partition("=")[::2]))
        raise InputError(f"analyze takes NAME=DATA, not {bad!r}")
    given = _given(tokenizer=tokenizer, user=user, heldout=heldout, seed=seed)
    _say("analyze", work(_settings(AnalyzeSettings, corpora=named, **given), out))


@app.command(epilog=_example("humanturn report runs/demo"))
def report(run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="run directory")]) -> None:
    """Write RUN/report.html anew from whatever stages are there."""
    from humanturn.report.page import report as work

    path = work(run_dir)
    print(path)
    _last_line({"report": str(path)})


@app.command(
    epilog=_example("humanturn convert runs/demo/simulate/conversations.jsonl --to sharegpt --out runs/talk.json")
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
    _last_line({"conversations": written, "left_out": left_out, "file": str(out)})


@app.command(epilog=_example("humanturn fetch smollm2"))
def fetch(name: Annotated[str, typer.Argument(metavar="NAME", help="what to fetch")]) -> None:
    """Download a model or data set once, check it, and print where it is."""
    from humanturn.fetch import fetch as work

    path = work(name)
    print(path)
    _last_line({"path": str(path)})


def main() -> None:
    """Run the command line; errors are one sentence, and the exit status says their kind."""
    arguments = sys.argv[1:]
    global _json
    _json = "--json" in arguments
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a not in ("--json", "--debug")]
    sys.exit(_exit_code(arguments, debug))


_json = False


def _exit_code(arguments: list[str], debug: bool) -> int:
    from typer.exceptions import Exit, TyperException

    from humanturn.errors import HumanturnError

    try:
        stopped: Any = app(arguments, prog_name="humanturn", standalone_mode=False)
        if stopped == INTERRUPTED:  # what Typer makes of Ctrl-C
            _say_how_to_go_on(arguments)
        return stopped if isinstance(stopped, int) else 0
    except Exit as stop:
        return stop.exit_code
    except TyperException as error:
        print(f"error: {error.format_message()} (humanturn {arguments[0]} --help)", file=sys.stderr)
        return 2
    except HumanturnError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if debug:
            raise
        print(f"error: {type(error).__name__}: {error} (add --debug for the traceback)", file=sys.stderr)
        return 1


def _say_how_to_go_on(arguments: list[str]) -> None:
    again = arguments
    if arguments[0] in RESUMABLE and "--resume" not in arguments:
        again = [*arguments, "--resume"]
    print(f"\nstopped; what is finished is kept. To go on: humanturn {shlex.join(again)}", file=sys.stderr)


def _run_recipe(path: Path, changes: list[str], out: Path) -> None:
    from humanturn import pipeline, recipe

    began = time.monotonic()
    results = pipeline.run_all(recipe.read(path, changes), out, _say_stage)
    summary: dict[str, Any] = {
        "heldout_nll": results["analyze"].result.get("heldout_nll") if "analyze" in results else None,
        "conversations": results["simulate"].result["conversations"] if "simulate" in results else 0,
        "report": results["report"].result["report"],
        "seconds": round(time.monotonic() - began, 1),
        "skipped": [name for name, result in results.items() if result.skipped],
    }
    print(f"\nreport: {summary['report']}  ({summary['seconds']} s)")
    _last_line(summary)


def _say(name: str, result: Any) -> None:
    """Print what one stage did, and its summary as the last line with --json."""
    _say_stage(name, result)
    _last_line(result.result | {"seconds": result.seconds, "skipped": result.skipped})


def _say_stage(name: str, result: Any) -> None:
    import importlib

    print(f"{name}: {'finished before, skipped' if result.skipped else f'done in {result.seconds:.1f} s'}", flush=True)
    if result.stage in DESCRIBED:
        print(importlib.import_module(f"humanturn.{result.stage}.stage").describe(result.result) + "\n", flush=True)


def _last_line(value: dict[str, Any]) -> None:
    if _json:
        print(json.dumps(value))


def _given(**values: Any) -> dict[str, Any]:
    """The options that were given; the others keep the stage's defaults."""
    return {name: value for name, value in values.items() if value is not None}


def _settings(kind: Any, **values: Any) -> Any:
    """Settings of a stage from options, with errors in the words of the options."""
    import pydantic

    from humanturn.errors import InputError

    try:
        return kind(**values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else "the settings"
        raise InputError(f"{option} {first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}") from None
