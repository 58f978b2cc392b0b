"""Read what the stages of a run left, as the page needs it."""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from humanturn import jsonl, run
from humanturn.errors import InputError
from humanturn.report.words import STAGES

T = TypeVar("T")


class Point(msgspec.Struct, frozen=True):
    """One line of `metrics.jsonl`."""

    step: int
    loss: float
    trained_tokens: int = 0
    learning_rate: float | None = None
    heldout_nll: float | None = None


class Spent(msgspec.Struct, frozen=True):
    """One model's row of `ledger.json`."""

    role: str
    model: str
    replies: int
    prompt_tokens: int
    completion_tokens: int
    discarded: int = 0
    usd: float | None = None


class Evaluation(msgspec.Struct, frozen=True):
    """What an evaluation left."""

    scores: dict[str, Any]
    ledger: list[Spent] = []


class RunFiles(msgspec.Struct):
    """What there is of a run; what there is not, is empty or None."""

    stages: dict[str, run.Manifest]
    metrics: dict[str, list[Point]]
    recipe: str | None = None
    funnel: dict[str, Any] | None = None
    corpora: dict[str, Any] | None = None
    heldout: dict[str, Any] | None = None
    scorecard: dict[str, Any] | None = None
    correlations: dict[str, Any] | None = None
    ledger: list[Spent] = []
    evaluations: dict[str, Evaluation] = {}
    """By directory: a run may hold grades and comparisons, or several benchmarks."""
    people: dict[str, dict[str, Any]] = {}
    """Summaries of annotations that were exported, by the name of the file of votes."""


def run_files(run_dir: Path) -> RunFiles:
    """Everything but the conversations.

    Raises:
        InputError: a file is there but damaged.
    """
    manifests = {name: run.read_manifest(run_dir / name / "manifest.json") for name in STAGES}
    manifests |= {name: manifest for name, manifest in _others(run_dir).items() if manifest.stage == "evaluate"}
    recipe = run_dir / "recipe.yaml"
    return RunFiles(
        stages={name: manifest for name, manifest in manifests.items() if manifest},
        metrics={name: _metrics(run_dir / name / "metrics.jsonl") for name in ("user", "assistant")},
        recipe=recipe.read_text(encoding="utf-8", errors="replace") if recipe.exists() else None,
        funnel=_json(run_dir / "prepare" / "funnel.json", dict[str, Any]),
        corpora=_json(run_dir / "analyze" / "corpora.json", dict[str, Any]),
        heldout=_json(run_dir / "analyze" / "heldout_nll.json", dict[str, Any]),
        correlations=_json(run_dir / "analyze" / "correlations.json", dict[str, Any]),
        scorecard=_json(run_dir / "scorecard" / "scorecard.json", dict[str, Any]),
        ledger=_json(run_dir / "simulate" / "ledger.json", list[Spent]) or [],
        evaluations=_evaluations(run_dir, [name for name, manifest in manifests.items() if manifest]),
        people=_people(run_dir / "annotate"),
    )


def _others(run_dir: Path) -> dict[str, run.Manifest]:
    """Manifests of the directories that have not the name of a stage."""
    found = {
        path.parent.name: run.read_manifest(path)
        for path in sorted(run_dir.glob("*/manifest.json"))
        if path.parent.name not in STAGES
    }
    return {name: manifest for name, manifest in found.items() if manifest}


def _evaluations(run_dir: Path, names: list[str]) -> dict[str, Evaluation]:
    found = {}
    for name in names:
        scores = _json(run_dir / name / "scores.json", dict[str, Any])
        if scores:
            found[name] = Evaluation(scores, _json(run_dir / name / "ledger.json", list[Spent]) or [])
    return found


def _people(folder: Path) -> dict[str, dict[str, Any]]:
    found = {path: _json(path, dict[str, Any]) for path in sorted(folder.glob("*.summary.json"))}
    return {path.name.removesuffix(".summary.json"): summary for path, summary in found.items() if summary}


def funnel_rows(funnel: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of the funnel, each with the share of the first step's sessions and turns that is left."""
    steps: list[dict[str, Any]] = funnel.get("steps", [])
    if not steps:
        return []
    first = steps[0]
    sessions = first["sessions_left"] + first["sessions_dropped"]
    return [{**step, "share": step["sessions_left"] / sessions if sessions else 0.0} for step in steps]


def _metrics(path: Path) -> list[Point]:
    return list(jsonl.read(path, Point)) if path.exists() else []


def _json(path: Path, type: type[T]) -> T | None:
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=type)
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: damaged ({error}); run its stage again") from None
