"""The verbs for data: clean it, convert it, fetch it."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from humanturn import console

data = typer.Typer()

Out = Annotated[Path, typer.Option("--out", help="directory to write to")]


@data.command(epilog=console.example("humanturn prepare sharegpt --sample 300 --out runs/p"))
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


@data.command(
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


@data.command(epilog=console.example("humanturn fetch smollm2"))
def fetch(name: Annotated[str, typer.Argument(metavar="NAME", help="what to fetch")]) -> None:
    """Download a model or data set once, check it, and print where it is."""
    from humanturn.fetch import fetch as work

    path = work(name)
    print(path)
    console.last_line({"path": str(path)})
