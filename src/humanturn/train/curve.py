"""The loss of a training, drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from humanturn import figures, jsonl

SMOOTHED = 50
"""Points of the training curve; each is the mean of its neighbourhood."""


def draw(metrics: Path, path: Path, *, before: float | None = None, after: float | None = None) -> Path:
    """Draw the training loss of `metrics.jsonl`, and the heldout loss where it was measured, as SVG.

    Args:
        metrics: lines with `step`, `loss` and sometimes `heldout_nll`.
        path: of the SVG.
        before: heldout loss of the untrained model, nats per token.
        after: of the trained one.
    """
    lines: list[dict[str, Any]] = list(jsonl.read(metrics, dict))
    measured = [(line["step"], line["heldout_nll"]) for line in lines if "heldout_nll" in line]
    ends = ([] if before is None else [(0, before)], [] if after is None else [(lines[-1]["step"], after)])
    if measured and ends[1] and measured[-1][0] == ends[1][0][0]:
        measured.pop()
    marked = [*ends[0], *measured, *ends[1]]
    with figures.figure(path, 7.5, 3.6) as axes:
        axes.plot([line["step"] for line in lines], [line["loss"] for line in lines], color="#bbbbbb", linewidth=0.8)
        smooth = _means([(line["step"], line["loss"]) for line in lines])
        axes.plot(*zip(*smooth, strict=True), color="black", linewidth=1.6, label="training")
        if marked:
            axes.plot(
                *zip(*marked, strict=True), color="black", linestyle="--", marker="o", markersize=4, label="heldout"
            )
            axes.annotate(f"{marked[-1][1]:.3f}", marked[-1], xytext=(6, 0), textcoords="offset points", size=9)
        axes.set_xlabel("optimizer step")
        axes.set_ylabel("nats per trained token")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return path


def _means(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    size = -(-len(points) // SMOOTHED)
    groups = [points[at : at + size] for at in range(0, len(points), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
