"""`report.html`: everything a run found out, on one page that needs no network.

Stages that did not run are absent. Words that a model or a person wrote are never HTML: the template escapes them, and
the conversation browser shows them as text nodes.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from humanturn import __version__, jsonl, run
from humanturn.errors import InputError
from humanturn.report import cards, conversations, curves, forest, load, radar, verdicts, words

TEMPLATES = Path(__file__).parent / "templates"


def report(run_dir: Path) -> Path:
    """Write `run_dir/report.html` from whatever stages are there, and return its path.

    Dataset cards (`README.md`) go beside prepared and simulated data.

    Raises:
        InputError: the directory is missing, holds no stage, or one of its files is damaged.
    """
    if not run_dir.is_dir():
        raise InputError(f"{run_dir}: no such directory; give the directory of a run")
    found = load.run_files(run_dir)
    if not found.stages:
        raise InputError(f"{run_dir}: holds no stage of a run (no manifest.json in it or below); run a stage first")
    simulated = conversations.summarize(run_dir)
    page = _environment().get_template("report.html.j2").render(_context(run_dir, found, simulated))
    path = run_dir / "report.html"
    with jsonl.replacing(path) as file:
        file.write(page.encode("utf-8", "replace"))
    cards.write(run_dir, found, simulated)
    return path


def _context(run_dir: Path, found: load.RunFiles, simulated: conversations.Summary | None) -> dict[str, Any]:
    script = (TEMPLATES / "browser.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "name": run_dir.resolve().name,
        "made": run.now(),
        "version": __version__,
        "run": found,
        "funnel": load.funnel_rows(found.funnel) if found.funnel else None,
        "curves": {name: curves.loss(points, words.STAGES[name]) for name, points in found.metrics.items() if points},
        "forest": forest.differences(found.heldout) if found.heldout else None,
        "radar": radar.scorecard(found.scorecard["rows"]) if found.scorecard else None,
        "charts": {name: _chart(evaluation.scores) for name, evaluation in found.evaluations.items()},
        "radar_models": radar.MOST_MODELS,
        "people_charts": {name: verdicts.bars(s["pairs"], "mean_score") for name, s in found.people.items()},
        "simulated": simulated,
        "labels": {c["key"]: c["label"] for c in found.corpora["columns"]} if found.corpora else {},
        "words": words,
        "style": Markup((TEMPLATES / "style.css").read_text()),
        "script": Markup(script),
        "script_sha256": digest,
    }


def _chart(scores: Mapping[str, Any]) -> Markup | None:
    """Of grades the radar of categories, of comparisons the bars."""
    if scores.get("pairwise"):
        return verdicts.bars(scores["pairwise"]["pairs"], "win_rate")
    return radar.grades(scores["single"])


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": words.number, "share": words.share, "duration": words.duration}
    environment.globals |= {"measured": _measured}
    return environment


def _measured(value: Mapping[str, Any] | None, digits: int = 2, percent: bool = False, signed: bool = False) -> Markup:
    """A Measurement as a table cell's content: the figure, and its interval in small print."""
    if value is None:
        return Markup('<span class="none">not measured</span>')
    figure = words.figure(value["value"], digits, percent=percent, signed=signed)
    if value.get("low") is None:
        return Markup('<span class="figure">{}</span>').format(figure)
    low, high = (
        words.figure(value[end], digits, percent=percent, signed=signed, unit=False) for end in ("low", "high")
    )
    return Markup('<span class="figure">{}</span> <small class="interval">[{}, {}]</small>').format(figure, low, high)
