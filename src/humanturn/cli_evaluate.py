"""The verbs of the paper's section 4: judges score answers, people compare them."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from humanturn import console

evaluation = typer.Typer(invoke_without_command=True, help="Let models answer a benchmark, and judges say how well.")


@evaluation.callback()
def evaluate(
    context: typer.Context,
    model: Annotated[list[str] | None, typer.Option(metavar="NAME=SPEC", help="model to evaluate; may repeat")] = None,
    benchmark: Annotated[Literal["mini", "mt-bench", "vicuna-bench"], typer.Option()] = "mini",
    judge: Annotated[list[str] | None, typer.Option(metavar="SPEC", help="who judges; several are compared")] = None,
    mode: Annotated[Literal["single", "pairwise"], typer.Option(help="grade answers, or compare them")] = "single",
    out: Annotated[Path | None, typer.Option("--out", help="directory to write to")] = None,
    questions: Annotated[str | None, typer.Option(help="question file in FastChat's format", metavar="FILE")] = None,
    references: Annotated[str | None, typer.Option(help="reference answers", metavar="FILE")] = None,
    judge_prompts: Annotated[str | None, typer.Option(help="FastChat's, in place of ours", metavar="FILE")] = None,
    baseline: Annotated[str | None, typer.Option(help="compare each model with this one only", metavar="NAME")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="of an answer [1024]")] = None,
    budget: Annotated[str | None, typer.Option(help="cap on what is spent: 5usd or 2Mtok")] = None,
    concurrency: Annotated[int | None, typer.Option(help="requests in flight [32]")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with unfinished output in --out")] = False,
) -> None:
    """Let models answer a benchmark, and judges say how well; `evaluate import` reads FastChat's files."""
    if context.invoked_subcommand:
        return
    from humanturn.errors import InputError
    from humanturn.evaluate.stage import EvaluateSettings
    from humanturn.evaluate.stage import evaluate as work

    if not out:
        raise InputError("evaluate needs --out DIR")
    given = console.given(
        questions=questions, references=references, judge_prompts=judge_prompts, baseline=baseline,
        max_tokens=max_tokens, budget=budget, concurrency=concurrency, seed=seed, judge=tuple(judge or ()),
    )  # fmt: skip
    models = console.pairs("--model", model or [])
    settings = console.settings(EvaluateSettings, models=models, benchmark=benchmark, mode=mode, **given)
    console.say("evaluate", work(settings, out, resume=resume))


@evaluation.command("import", epilog=console.example("humanturn evaluate import runs/e"))
def import_judgments(
    paths: Annotated[list[Path], typer.Argument(metavar="DIR_OR_FILES...", help="FastChat answers and judgments")],
) -> None:
    """Tables of FastChat judgment files, nothing judged again."""
    from humanturn.evaluate.stage import describe, import_files

    found = import_files(paths)
    print(describe(found))
    console.last_line(found)


annotation = typer.Typer(help="Let people compare answers blind.", no_args_is_help=True)


@annotation.command(
    epilog=console.example(
        "humanturn annotate serve --pairs runs/score --out votes.sqlite --k 2 --annotator ann --annotator bob"
    )
)
def serve(
    pairs: Annotated[
        Path, typer.Option(help="directory of an evaluation, or one laid out as FastChat's", metavar="DIR")
    ],
    out: Annotated[Path, typer.Option("--out", help="SQLite file of the votes", metavar="DB")],
    annotator: Annotated[list[str], typer.Option(metavar="NAME", help="who gets a link; may repeat")],
    k: Annotated[int, typer.Option(help="annotators of every item")] = 3,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 8080,
    url: Annotated[str | None, typer.Option(help="what links begin with, behind another address")] = None,
    seed: Annotated[int, typer.Option(help="of who sees what, in which order")] = 0,
) -> None:
    """Serve the annotation page; prints a personal link for every annotator."""
    from humanturn.annotate.stage import serve as work

    work(pairs, out, annotators=annotator, k=k, host=host, port=port, url=url, seed=seed)


@annotation.command(epilog=console.example("humanturn annotate export --pairs runs/score --out votes.sqlite"))
def export(
    out: Annotated[Path, typer.Option("--out", help="SQLite file of the votes", metavar="DB")],
    pairs: Annotated[
        Path | None, typer.Option(help="the directory that was served, for its judges", metavar="DIR")
    ] = None,
    to: Annotated[Path | None, typer.Option(help="file for the votes [standard output]", metavar="FILE")] = None,
    form: Annotated[Literal["jsonl", "csv"], typer.Option("--format")] = "jsonl",
    plot: Annotated[Path | None, typer.Option(help="SVG of wins, ties and losses", metavar="FILE")] = None,
) -> None:
    """Write every vote, and say how far annotators and judges agree."""
    from humanturn.annotate.stage import describe
    from humanturn.annotate.stage import export as work

    summary = work(out, to, form, pairs=pairs, plot=plot)
    print(describe(summary), file=sys.stderr)  # standard output may hold the votes
    console.last_line(summary)
