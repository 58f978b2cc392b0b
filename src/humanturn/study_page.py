"""A study on one page: a plot for each figure that its runs have, and the tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from humanturn import figures, jsonl
from humanturn.analyze.corpus import COLUMNS

Points = list[tuple[str, Mapping[str, Any]]]
"""Names of runs, and a measurement of each."""


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
    """Heldout NLL of each run's assistant, or of its user model where the assistants have none."""
    for stage, whose in (("assistant", "assistants' turns"), ("user", "people's turns")):
        after = [(row["name"], row[stage]["nll_after"]) for row in runs if "nll_after" in row.get(stage, {})]
        if after:
            before = next(row[stage]["nll_before"]["value"] for row in runs if "nll_before" in row.get(stage, {}))
            label = f"NLL of {whose} of heldout sessions (nats/token; lower is better)"
            return _draw(after, label, out / "nll.svg", level=(before, "untrained"))
    return None


def _scores(runs: Sequence[Mapping[str, Any]], out: Path) -> Path | None:
    """Benchmark score of each run's assistant (the paper's Figure 4, Table 3)."""
    scored = [row for row in runs if "scores" in row]
    if not scored:
        return None
    points = [(row["name"], row["scores"]["assistant"]) for row in scored]
    backbone = scored[0]["scores"].get("backbone")
    level = (backbone["value"], "backbone") if backbone else None
    return _draw(points, f"score on {scored[0]['benchmark']} (1 to 10)", out / "scores.svg", level=level)


def _draw(points: Points, label: str, path: Path, level: tuple[float, str] | None) -> Path:
    """A curve over runs that are named by numbers, and else a row of points; with 95 % intervals."""
    sizes = all(name.isdigit() for name, _ in points)
    x = [int(name) if sizes else at for at, (name, _) in enumerate(points)]
    y = [measured["value"] for _, measured in points]
    reach = [
        [max(0.0, m["value"] - (m.get("low") or m["value"])) for _, m in points],
        [max(0.0, (m.get("high") or m["value"]) - m["value"]) for _, m in points],
    ]
    with figures.figure(path, 7.0, 4.2) as axes:
        axes.errorbar(
            x, y, yerr=reach, fmt="o-" if sizes else "o", color="black", capsize=4, label="with 95 % interval"
        )
        if level:
            axes.axhline(level[0], color="#777777", linestyle="--", label=level[1])
        axes.set_xticks(x, [name for name, _ in points])
        if sizes:
            axes.set_xlabel("conversations")
        else:
            axes.set_xlim(-0.5, len(points) - 0.5)
        axes.set_ylabel(label, wrap=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return path


def _inline(svg: Path) -> str:
    text = svg.read_text(encoding="utf-8")
    return text[text.index("<svg") :]
