"""Every stage of a recipe, one after the other, in one run directory."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from humanturn import jsonl, recipe, run
from humanturn.errors import SettingsChangedError
from humanturn.records import StageResult

Said = Callable[[str, StageResult], None]


def run_all(
    given: recipe.Recipe, out: Path, said: Said, elsewhere: Mapping[str, Path] | None = None
) -> dict[str, StageResult]:
    """Carry out `given` in `out`, skipping finished stages and resuming unfinished ones; write `out/report.html`.

    `said(name, result)` is called as each stage ends. `elsewhere` names stages that are carried out (or finished
    already) in directories of another run of a study; links in `out` lead there.

    Raises:
        SettingsChangedError: `out` holds a run of another recipe.
    """
    from humanturn.analyze.stage import analyze
    from humanturn.evaluate.stage import evaluate
    from humanturn.prepare.stage import prepare
    from humanturn.report.page import report
    from humanturn.simulate.stage import simulate
    from humanturn.train.stage import train

    _freeze(given, out)
    wired = given.wired(out, elsewhere)
    at = {name: out / name for name in recipe.STAGES} | dict(elsewhere or {})
    stages: dict[str, tuple[Callable[..., StageResult], Any]] = {
        "prepare": (prepare, wired.prepare),
        "user": (train, wired.user),
        "simulate": (simulate, wired.simulate),
        "assistant": (train, wired.assistant),
        "evaluate": (evaluate, wired.evaluate),
        "analyze": (analyze, wired.analyze),
    }
    results: dict[str, StageResult] = {}
    for name, (stage, settings) in stages.items():
        if settings is not None:
            results[name] = stage(settings, at[name], resume=True)
            _link(out / name, at[name])
            said(name, results[name])
    began = time.monotonic()
    fresh = any(not result.skipped for result in results.values()) or not (out / "report.html").exists()
    if fresh:
        jsonl.write_json(
            out / "manifest.json",
            {
                "versions": run.versions(),
                "finished": run.now(),
                "seed": given.seed,
                "stages": {name: {"seconds": r.seconds, "result": r.result} for name, r in results.items()},
            },
        )
        report(out)
    results["report"] = StageResult("report", {"report": str(out / "report.html")}, not fresh, time.monotonic() - began)
    said("report", results["report"])
    return results


def _link(name: Path, place: Path) -> None:
    """A link `name` to a stage's directory elsewhere, so that the run's own directory shows every stage."""
    if name != place and not name.is_symlink():
        name.symlink_to(os.path.relpath(place, name.parent), target_is_directory=True)


def _freeze(given: recipe.Recipe, out: Path) -> None:
    """Keep the recipe beside its results; refuse another one that would change them."""
    path = out / "recipe.yaml"
    if path.exists():
        before = recipe.read(path)
        changed = _differences(before.model_dump(mode="json"), given.model_dump(mode="json"), _free_keys(given))
        if changed:
            raise SettingsChangedError(
                f"{out}: holds a run of another recipe: {'; '.join(changed)}; choose another --out, or remove it"
            )
    with jsonl.replacing(path) as file:
        file.write(recipe.dump(given).encode())


def _free_keys(given: recipe.Recipe) -> set[str]:
    return {f"{name}.{key}" for name, value in given if isinstance(value, run.Settings) for key in value.free}


def _differences(before: Any, after: Any, free: set[str], at: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(before.keys() | after.keys())
        return [d for k in keys for d in _differences(before.get(k), after.get(k), free, f"{at}.{k}" if at else k)]
    if before == after or at in free:
        return []
    return [f"{at} was {yaml.safe_dump(before).split(chr(10))[0]} and is {yaml.safe_dump(after).split(chr(10))[0]}"]
