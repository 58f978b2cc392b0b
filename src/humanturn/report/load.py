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


def run_files(run_dir: Path) -> RunFiles:
    """Everything but the conversations.

    Raises:
        InputError: a file is there but damaged.
    """
    manifests = {name: run.read_manifest(run_dir / name / "manifest.json") for name in STAGES}
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
    )


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
