"""How well heldout turns are predicted before, during and after training."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from humanturn import heldout, jsonl
from humanturn.conversation import Conversation
from humanturn.models import likelihood
from humanturn.records import TurnLikelihood
from humanturn.text_table import aligned
from humanturn.train import distributed

NAMES = {"all": "all", "first": "first turns", "follow_up": "follow-ups"}


def score(
    model: Any, tokenizer: Any, conversations: Sequence[Conversation], *, role: str, label: str
) -> list[TurnLikelihood]:
    """Likelihood of every turn of `role`, by all processes together; the same whatever their number.

    `model` may be wrapped in adapters, and sharded.
    """
    causal = inner(model)
    sharded = distributed.is_sharded(causal)
    shown = distributed.InStep(causal) if sharded else causal
    learning = causal.training
    causal.eval()

    def mine(some: Sequence[Conversation]) -> list[TurnLikelihood]:
        found = likelihood.score(shown, tokenizer, some, role=role, label=label) if some else []
        if sharded:
            shown.finish()
        return found

    try:
        return distributed.together(mine, conversations)
    finally:
        causal.train(learning)


def inner(model: Any) -> Any:
    """The causal language model inside its adapters."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def kept(path: Path, work: Callable[[], list[TurnLikelihood]]) -> list[TurnLikelihood]:
    """The likelihoods in `path`, measured by `work` when they are not there yet."""
    if not distributed.tell(path.exists()):
        rows = work()
        if distributed.rank() == 0:
            jsonl.write(path, rows)
        distributed.wait()
    return list(jsonl.read(path, TurnLikelihood))


def now(rows: Sequence[TurnLikelihood], role: str) -> dict[str, float]:
    """What a line of `metrics.jsonl` says of a measurement: nats per token, perplexity and bits per byte, by part."""
    (row,) = _table({"now": rows}, role).rows
    return {
        f"heldout_{name}" + ("" if part == "all" else f"_{part}"): value.value
        for part, found in row.parts.items()
        for name, value in (
            ("nll", found.nll),
            ("perplexity", found.perplexity),
            ("bits_per_byte", found.bits_per_byte),
        )
    }


def compare(before: Sequence[TurnLikelihood], after: Sequence[TurnLikelihood], role: str) -> dict[str, Any]:
    """The heldout table of a training, for its manifest: `rows` before and after, and the `differences`."""
    table: dict[str, Any] = msgspec.to_builtins(_table({"before": before, "after": after}, role))
    return table


def text(table: Mapping[str, Any], role: str) -> str:
    """The table for a terminal."""
    lines = [["", f"{role} turns", "before", "after", "change", "95 % interval", "perplexity", "bits/byte"]]
    before, after = (row["parts"] for row in table["rows"])
    for part, change in table["differences"][0]["parts"].items():
        then, now_ = before[part], after[part]
        interval = f"{change['low']:+.1%} to {change['high']:+.1%}" if change.get("low") is not None else ""
        lines.append(
            [
                NAMES[part],
                f"{now_['turns']:,}",
                f"{then['nll']['value']:.4f}",
                f"{now_['nll']['value']:.4f}",
                f"{change['value']:+.1%}",
                interval,
                f"{then['perplexity']['value']:.2f} > {now_['perplexity']['value']:.2f}",
                f"{then['bits_per_byte']['value']:.3f} > {now_['bits_per_byte']['value']:.3f}",
            ]
        )
    return f"  heldout NLL per {role} token, {table['sessions']:,} sessions:\n" + aligned(lines)


def _table(rows: dict[str, Sequence[TurnLikelihood]], role: str) -> heldout.Table:
    table = heldout.table(rows, of=list(rows)[-1])
    if role == "user":
        return table
    # Which answer is a session's first is not told apart: all there is to say is said by all of them.
    return msgspec.structs.replace(
        table,
        rows=[msgspec.structs.replace(row, parts={"all": row.parts["all"]}) for row in table.rows],
        differences=[msgspec.structs.replace(d, parts={"all": d.parts["all"]}) for d in table.differences],
    )
