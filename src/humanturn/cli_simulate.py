"""The verb for simulating, and for seeing how far it is."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from humanturn import console

simulating = typer.Typer()

Out = Annotated[Path, typer.Option("--out", help="directory to write to")]
Resume = Annotated[bool, typer.Option("--resume", help="go on with unfinished output in --out")]


@simulating.command(
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
    console.say("simulate", work(settings, out, resume=resume, retry_failed=resume))


def _say_status(out: Path) -> None:
    from humanturn.simulate.status import describe
    from humanturn.simulate.status import status as work

    found = work(out)
    print(describe(found))
    console.last_line(found)
