"""The figures of an evaluation: averages by turn, a radar of categories, verdicts. Told apart without colour."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from humanturn import figures

COLOURS = ("#0b4f8a", "#b3470f", "#2f6b2f", "#6d3a8c", "#555555", "#8a1538")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "X")
MOST_MODELS = len(COLOURS)
"""Models on one radar; with more, lines cannot be told apart."""


def draw(result: Mapping[str, Any], out: Path) -> list[Path]:
    """Draw what `result` holds into `out` as SVG; returns the files."""
    made = []
    if result.get("single"):
        made.append(_averages(result["single"], out / "averages.svg"))
        if len(result["single"]["categories"]) >= 3:
            made.append(_radar(result["single"], out / "radar.svg"))
    if result.get("pairwise"):
        made.append(figures.verdict_bars(result["pairwise"]["pairs"], "win_rate", out / "verdicts.svg"))
    return made


def _radar(table: Mapping[str, Any], path: Path) -> Path:
    """Mean grade by category, a closed line for each model (the paper's Table 4 as a picture)."""
    import math

    names = table["categories"]
    angles = [2 * math.pi * i / len(names) for i in range(len(names))]
    shown = list(table["models"].items())[:MOST_MODELS]
    with figures.figure(path, 6.4, 5.6 + 0.22 * len(shown), projection="polar") as axes:
        axes.set_theta_offset(math.pi / 2)
        axes.set_theta_direction(-1)
        for number, (model, row) in enumerate(shown):
            values = [figures.value(row["categories"].get(name)) for name in names]
            axes.plot(
                [*angles, angles[0]],
                [*values, values[0]],
                color=COLOURS[number],
                linestyle=DASHES[number],
                marker=MARKERS[number],
                markersize=5,
                linewidth=1.6,
                label=f"{model} ({figures.value(row['average']):.2f})",
            )
        axes.set_ylim(0, 10)
        axes.set_yticks([2, 4, 6, 8, 10])
        axes.set_rlabel_position(180 / len(names))
        for label in axes.get_yticklabels():
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.8})
            label.set_zorder(5)
        axes.tick_params(axis="x", pad=6)
        axes.set_xticks(angles, names)
        for label, angle in zip(axes.get_xticklabels(), angles, strict=True):
            side = round(math.sin(angle), 3)
            label.set_horizontalalignment("center" if side == 0 else "left" if side > 0 else "right")
        axes.grid(color="#bbbbbb", linewidth=0.6)
        axes.set_title("Mean grade by category", pad=22)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=min(2, len(shown)), frameon=False)
    return path


def _averages(table: Mapping[str, Any], path: Path) -> Path:
    """Mean grades overall and by turn with their intervals, a row for each model."""
    models = list(table["models"].items())[::-1]
    turns = sorted({turn for _, row in models for turn in row["turns"]})
    series = [("average", "o", "black"), *((t, MARKERS[int(t) % 6], "white") for t in turns if len(turns) > 1)]
    apart = 0.6 / len(series)
    with figures.figure(path, 7, 1.3 + 0.28 * len(models) * (len(series) + 0.6)) as axes:
        for number, (key, marker, fill) in enumerate(series):
            measured = [
                figures.measured(row["average"] if key == "average" else row["turns"].get(key)) for _, row in models
            ]
            places = [i + 0.3 - apart * (number + 0.5) for i in range(len(models))]
            kept = [(m, y) for m, y in zip(measured, places, strict=True) if m and m.n]
            arms = [[m.value - (m.low or m.value) for m, _ in kept], [(m.high or m.value) - m.value for m, _ in kept]]
            axes.errorbar(
                [m.value for m, _ in kept],
                [y for _, y in kept],
                xerr=arms,
                fmt=marker,
                color="black",
                markerfacecolor=fill,
                capsize=3,
                linewidth=1.1,
                label="both turns" if key == "average" and len(turns) > 1 else f"turn {key}" if key in turns else "all",
            )
            for m, y in kept:
                axes.annotate(
                    f"{m.value:.2f}", (m.high or m.value, y), (6, 0), textcoords="offset points", va="center", size=8
                )
        axes.set_yticks(range(len(models)), [name for name, _ in models])
        axes.set_ylim(-0.5, len(models) - 0.5)
        axes.set_xlim(0.5, 11)
        axes.set_xticks(range(1, 11))
        axes.set_xlabel("grade, 1 to 10, with 95 % interval over questions")
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        if len(series) > 1:
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(series), frameon=False)
    return path
