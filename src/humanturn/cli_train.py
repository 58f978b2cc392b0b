"""The verb for training, and for seeing what is trained."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from humanturn import console

training = typer.Typer()

Resume = Annotated[bool, typer.Option("--resume", help="go on with unfinished output in --out")]


@training.command(
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
    row_tokens: Annotated[int | None, typer.Option(help="tokens per packed row; bounds memory [2048]")] = None,
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
        row_tokens=row_tokens, limit=limit, seed=seed, lora_rank=lora, role=role, backbone=backbone,
        method="full" if full else "qlora" if qlora else None, parallel="fsdp" if fsdp else None, precision=precision,
        learn_ending=learn_ending, evaluate_every=evaluate_every, report_to=report_to,
    )  # fmt: skip
    settings = console.settings(TrainSettings, data=data, **given)
    if show_mask:
        _show_mask(settings)
        return
    if role is None or backbone is None or out is None:
        missing = [name for name, value in (("role", role), ("backbone", backbone), ("out", out)) if value is None]
        raise InputError(f"--{missing[0]} is missing; only --show-mask does without")
    console.say(role, work(settings, out, resume=resume))


def _show_mask(settings: Any) -> None:
    import msgspec

    from humanturn.train import show

    shown, refused = show.look(settings)
    show.draw(shown, refused, settings.role)
    console.last_line(show.counts(shown) | {"shown": msgspec.to_builtins(shown), "left_out": refused})
