"""A study on one page: a plot for each figure that its runs have, and the tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from humanturn import figures, jsonl
from humanturn.analyze.corpus import COLUMNS

Points = list[tuple[Mapping[str, Any], Mapping[str, Any]]]
"""Rows of runs, and a measurement of each."""


def write(document: Mapping[str, Any], out: Path) -> None:
    """Write `out/study.html` and an SVG for each plot; `document` is what `study.json` holds."""
    runs = document["runs"]
    plots = [plot for plot in (_likelihood(runs, out), _scores(runs, out)) if plot]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["cell"] = cell
    measured = {key for columns in document["corpora"].values() for key in columns}
    page = environment.get_template("study.html.j2").render(
        name=out.resolve().name,
        study=document,
        runs=runs,
        plots=[Markup(_inline(plot)) for plot in plots],  # drawn here; matplotlib escapes its texts
        columns=[column for column in COLUMNS if column.key in measured],
        categories=list(dict.fromkeys(name for row in runs for name in row.get("categories", {}))),
    )
    with jsonl.replacing(out / "study.html") as file:
        file.write(page.encode("utf-8", "replace"))


def cell(value: Mapping[str, Any] | None, digits: int = 2, scale: float = 1) -> str:
    """A figure with its interval, as text."""
    if not value:
        return "–"
    text = f"{value['value'] * scale:,.{digits}f}"
    if value.get("low") is None:
        return text
    return f"{text} [{value['low'] * scale:,.{digits}f}, {value['high'] * scale:,.{digits}f}]"


def _likelihood(runs: Sequence[Mapping[str, Any]], out: Path) -> Path | None:
    """How each run's training changed the heldout NLL of its assistant, or of its user model where those have none."""
    for stage, whose in (("assistant", "assistants' turns"), ("user", "people's turns")):
        points = [(row, row[stage]["change"]) for row in runs if "change" in row.get(stage, {})]
        if points:
            label = f"NLL of {whose} of heldout sessions,\nchange by training in % (lower is better)"
            return _draw(points, label, out / "nll.svg", level=(0.0, "untrained"), scale=100)
    return None


def _scores(runs: Sequence[Mapping[str, Any]], out: Path) -> Path | None:
    """Benchmark score of each run's assistant (the paper's Figure 4, Table 3)."""
    points = [(row, row["scores"]["assistant"]) for row in runs if "scores" in row]
    if not points:
        return None
    first = points[0][0]
    backbone = first["scores"].get("backbone")
    level = (backbone["value"], "backbone") if backbone else None
    return _draw(points, f"score on {first['benchmark']} (1 to 10)", out / "scores.svg", level=level)


def _draw(points: Points, label: str, path: Path, level: tuple[float, str] | None, scale: float = 1) -> Path:
    """A curve over conversations trained on, of runs that are named by numbers; else a row of points."""
    names = [row["name"] for row, _ in points]
    sizes = all(row["name"].isdigit() and "assistant" in row for row, _ in points)
    x = [row["assistant"]["conversations"] if sizes else at for at, (row, _) in enumerate(points)]
    ends = [[m["value"], m.get("low", m["value"]), m.get("high", m["value"])] for _, m in points]
    value, low, high = scale * np.array(ends).T
    with figures.figure(path, 7.0, 4.2) as axes:
        style = {"fmt": "o-" if sizes else "o", "color": "black", "capsize": 4}
        axes.errorbar(x, value, yerr=[value - low, high - value], label="with 95 % interval", **style)
        if level:
            axes.axhline(level[0], color="#777777", linestyle="--", label=level[1])
        axes.set_xticks(x, [f"{at:,}" for at in x] if sizes else names)
        if sizes:
            axes.set_xlabel("conversations trained on")
        else:
            axes.set_xlim(-0.5, len(points) - 0.5)
        axes.set_ylabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return path


def _inline(svg: Path) -> str:
    text = svg.read_text(encoding="utf-8")
    return text[text.index("<svg") :]
