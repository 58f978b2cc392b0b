"""The verbs that measure: corpora side by side, and how human a user model is."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from humanturn import console

measuring = typer.Typer()

Out = Annotated[Path, typer.Option("--out", help="directory to write to")]
Resume = Annotated[bool, typer.Option("--resume", help="go on with unfinished output in --out")]


@measuring.command(
    epilog=console.example(
        "humanturn analyze human=runs/demo/prepare/train.jsonl ours=runs/demo/simulate/conversations.jsonl --out runs/t"
    )
)
def analyze(
    corpora: Annotated[list[str], typer.Argument(metavar="NAME=DATA...", help="corpora to measure side by side")],
    out: Out,
    tokenizer: Annotated[
        str | None, typer.Option(help="model SPEC whose tokens count [embedded]", metavar="SPEC")
    ] = None,
    embeddings: Annotated[Literal["wordllama"] | None, typer.Option(help="of user turns, for topic similarity")] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="sequence classifier that tells human turns; needs the next two", metavar="SPEC"),
    ] = None,
    detector_label: Annotated[str | None, typer.Option(help="its label that means a person", metavar="LABEL")] = None,
    check_detector: Annotated[
        tuple[str, str] | None, typer.Option(help="corpora to show how good it is", metavar="HUMAN MACHINE")
    ] = None,
    train_detector: Annotated[
        tuple[str, str] | None, typer.Option(help="teach one on these two corpora instead", metavar="HUMAN MACHINE")
    ] = None,
    judge: Annotated[str | None, typer.Option(help="scores complexity, relevancy, logicality", metavar="SPEC")] = None,
    scores: Annotated[
        str | None, typer.Option(help="benchmark scores of each corpus's model, to correlate", metavar="FILE")
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

    if bool(detector) != bool(check_detector) or (detector and train_detector):
        raise InputError("give --detector SPEC with --check-detector HUMAN MACHINE, or --train-detector HUMAN MACHINE")
    corpora_of_it = check_detector or train_detector
    told = corpora_of_it and {
        "human": corpora_of_it[0], "machine": corpora_of_it[1], "model": detector, "label": detector_label
    }  # fmt: skip
    given = console.given(
        tokenizer=tokenizer, user=user, heldout=heldout, seed=seed, embeddings=embeddings, detector=told, judge=judge,
        scores=scores,
    )  # fmt: skip
    console.say(
        "analyze", work(console.settings(AnalyzeSettings, corpora=console.pairs("analyze", corpora), **given), out)
    )


@measuring.command(
    epilog=console.example(
        "humanturn scorecard hf:runs/demo/user --heldout runs/demo/prepare/heldout.jsonl --sessions 10 --out runs/c"
    )
)
def scorecard(
    user: Annotated[str, typer.Argument(metavar="SPEC", help="user model")],
    heldout: Annotated[str, typer.Option(help="human conversations it was not trained on", metavar="FILE")],
    out: Out,
    baseline: Annotated[
        str | None, typer.Option(help="told to play the user [what it was trained from]", metavar="SPEC")
    ] = None,
    training: Annotated[
        str | None, typer.Option(help="what it was trained on, to look for copies", metavar="FILE")
    ] = None,
    sessions: Annotated[int | None, typer.Option(help="sessions to ask in [60]")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="longest turn; people's are cut there too [128]")] = None,
    simulated: Annotated[
        str | None, typer.Option(help="its whole simulated conversations, for their rounds", metavar="FILE")
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW=VALUE", help="exit 1 when a row is less near to people (0 to 1), or an NLL above; may repeat"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    resume: Resume = False,
) -> None:
    """How human is this user model: its turns beside other people's and a role-player's."""
    from humanturn.analyze.scorecard import ScorecardSettings, describe
    from humanturn.analyze.scorecard import scorecard as work

    given = console.given(
        baseline=baseline, training=training, simulated=simulated, sessions=sessions, max_tokens=max_tokens, seed=seed,
        fail_under=console.pairs("--fail-under", fail_under or []),
    )  # fmt: skip
    result = work(console.settings(ScorecardSettings, user=user, heldout=heldout, **given), out, resume=resume)
    print(describe(result.result))
    console.say("scorecard", result)
