"""A study: several runs of one recipe that differ in a few settings, and what they came to, side by side.

Runs are carried out in the order of the file, each in its own directory. A stage whose settings and inputs are those of
an earlier run's is not carried out again: the run links to it. Each stage resumes, so the study does.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from humanturn import heldout, jsonl, pipeline, recipe, run, study_page
from humanturn.records import Measurement, StageResult, TurnLikelihood


def run_study(study: recipe.Study, out: Path, said: pipeline.Said) -> dict[str, Any]:
    """Carry out every run of `study` in `out/NAME` and compare them; resumes where it stopped.

    Writes `out/compare/` (the paper's Table 5 of every run's conversations beside the people's, correlations when three
    runs or more were judged), `out/study.json`, `out/*.svg` and `out/study.html`.

    Raises:
        SettingsChangedError: `out` holds another study.
    """
    rows, homes = [], shared_stages(study, out)
    for name, given in study.runs.items():
        results = pipeline.run_all(
            without_analysis(given),
            out / name,
            lambda stage, result, name=name: said(f"{name}: {stage}", result),  # type: ignore[misc]
            homes[name],
        )
        rows.append(_row(name, study.changes[name], results, out / name))
    compared = _compare(study, rows, out, homes)
    said("compare", compared)
    document = {"runs": rows, "corpora": _columns(compared), "versions": run.versions(), "finished": run.now()}
    jsonl.write_json(out / "study.json", document)
    study_page.write(json.loads(msgspec.json.encode(document)), out)
    return document


def without_analysis(given: recipe.Recipe) -> recipe.Recipe:
    """The recipe of a run, whose corpora are measured with those of the others at the end."""
    return given.model_copy(update={"analyze": None})


def shared_stages(study: recipe.Study, out: Path) -> dict[str, dict[str, Path]]:
    """Per run, the stages that an earlier run carries out with the same settings and inputs, and where."""
    homes: dict[str, Path] = {}
    elsewhere: dict[str, dict[str, Path]] = {}
    for name, given in study.runs.items():
        found: dict[str, Path] = {}
        for stage in recipe.STAGES[:-1]:
            settings = getattr(given.wired(out / name, found), stage)  # inputs are by now where they are made
            if settings is not None:
                home = homes.setdefault(f"{stage} {json.dumps(settings.binding(), sort_keys=True)}", out / name / stage)
                if home != out / name / stage:
                    found[stage] = home
        elsewhere[name] = found
    return elsewhere


def _row(name: str, changes: Mapping[str, Any], results: Mapping[str, StageResult], out: Path) -> dict[str, Any]:
    """What one run came to; figures of stages it does not have are absent."""
    row: dict[str, Any] = {"name": name, "changes": dict(changes)}
    if "simulate" in results:
        row["simulated"] = results["simulate"].result["conversations"]
    for stage in ("user", "assistant"):
        if stage in results:
            row[stage] = {key: results[stage].result[key] for key in ("conversations", "trained_tokens")}
            row[stage] |= _heldout(out / stage / "heldout.json")
    graded = results["evaluate"].result.get("single") if "evaluate" in results else None
    if graded:
        row["scores"] = {model: own["average"] for model, own in msgspec.to_builtins(graded["models"]).items()}
        row["categories"] = msgspec.to_builtins(graded["models"]["assistant"]["categories"])
        row["benchmark"] = results["evaluate"].result["benchmark"]
    return row


def _heldout(path: Path) -> dict[str, Measurement]:
    """NLL per token before and after training, and the paired change; intervals by resampling sessions."""
    if not path.exists():
        return {}
    found = msgspec.json.decode(path.read_bytes(), type=dict[str, Sequence[TurnLikelihood]])
    table = heldout.table(found, of="after")
    measured = {f"nll_{row.name}": row.parts["all"].nll for row in table.rows}
    return measured | {"change": table.differences[0].parts["all"]}


def _compare(
    study: recipe.Study, rows: list[dict[str, Any]], out: Path, homes: Mapping[str, Mapping[str, Path]]
) -> StageResult:
    """The conversations of every run beside the people's, and their correlation with scores when there are enough."""
    from humanturn.analyze.stage import AnalyzeSettings, analyze

    first, given = next(iter(study.runs.items()))
    corpora = {"human": str(out / first / "prepare" / "train.jsonl")}
    simulated = {name: homes[name].get("simulate", out / name / "simulate") for name in study.runs}
    files = {home / "conversations.jsonl": name for name, home in reversed(simulated.items())}  # each by its first run
    made = {path: name for path, name in reversed(files.items()) if path.exists()}
    corpora |= {name if len(made) > 1 else "simulated": str(path) for path, name in made.items()}
    settings = given.analyze or AnalyzeSettings()
    changes: dict[str, Any] = {"corpora": corpora, "seed": given.seed, "tokenizer": given.user.backbone}
    judged = {row["name"]: {row["benchmark"]: row["scores"]["assistant"]["value"]} for row in rows if "scores" in row}
    if len(judged.keys() & corpora.keys()) >= 3:
        jsonl.write_json(out / "scores.json", judged)
        changes["scores"] = str(out / "scores.json")
    return analyze(settings.model_copy(update=changes), out / "compare", resume=True)


def _columns(compared: StageResult) -> Any:
    return {name: row["columns"] for name, row in msgspec.to_builtins(compared.result.get("corpora", {})).items()}
