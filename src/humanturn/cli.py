"""The command line: one verb per stage, and no logic of its own."""

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from humanturn import console
from humanturn.cli_analyze import measuring
from humanturn.cli_data import data
from humanturn.cli_evaluate import annotation, evaluation
from humanturn.cli_serve import using
from humanturn.cli_simulate import simulating
from humanturn.cli_train import training

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


@app.command(epilog=console.example("humanturn report runs/demo"))
def report(run_dir: Annotated[Path, typer.Argument(metavar="RUN", help="run directory")]) -> None:
    """Write RUN/report.html anew from whatever stages are there."""
    from humanturn.report.page import report as work

    path = work(run_dir)
    print(path)
    console.last_line({"report": str(path)})


app.add_typer(data)
app.add_typer(training)
app.add_typer(simulating)
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


def main() -> None:
    """The `humanturn` command."""
    sys.exit(console.run(app))


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
