"""The analyze stage: what corpora look like in numbers, and how well a user model predicts heldout humans."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pydantic

from humanturn import jsonl, run
from humanturn.conversation import first_sessions
from humanturn.errors import InputError
from humanturn.records import StageResult, TurnLikelihood


class Detector(run.Settings):
    """Two corpora that teach a detector, or show how good a given one is; their user turns are used."""

    human: str = pydantic.Field(description="conversations of people")
    machine: str = pydantic.Field(description="conversations whose user turns a machine wrote")
    model: str | None = pydantic.Field(
        None, description="SPEC (hf:) of a sequence classifier that is checked on them; default: one is taught on them"
    )
    label: str | None = pydantic.Field(None, description="the classifier's label that means a person")


class AnalyzeSettings(run.Settings):
    """Settings of `humanturn analyze`."""

    free: ClassVar[frozenset[str]] = frozenset({"concurrency"})

    corpora: dict[str, str] = pydantic.Field(
        {}, description="name of each corpus and its conversations: a file, a folder, ..."
    )
    tokenizer: str = pydantic.Field("embedded", description="model SPEC whose tokenizer counts lengths")
    embeddings: Literal["wordllama"] | None = pydantic.Field(
        None, description="embeddings of user turns for topic similarity; wordllama: pip install 'humanturn[topics]'"
    )
    judge: str | None = pydantic.Field(None, description="model SPEC that judges complexity, relevancy and logicality")
    judged_conversations: int = pydantic.Field(200, ge=2, description="conversations of each corpus that are judged")
    concurrency: int = pydantic.Field(16, ge=1, description="questions to the judge under way at once")
    detector: Detector | None = pydantic.Field(None, description="what a detector of human turns is taught on")
    scores: str | None = pydantic.Field(
        None,
        description='JSON file {"CORPUS": {"BENCHMARK": score}} of models trained on the corpora, to correlate with',
    )
    user: str | None = pydantic.Field(None, description="folder of a trained user model to measure on heldout humans")
    backbone: str | None = pydantic.Field(None, description="SPEC it was trained from; default: what its folder names")
    heldout: str | None = pydantic.Field(None, description="conversations it was not trained on; needed with `user`")
    heldout_sessions: int | None = pydantic.Field(
        None, ge=1, description="measure on the first N heldout sessions only"
    )
    heldout_segments: int | None = pydantic.Field(None, ge=1, description="and on the first N segments of each only")
    seed: int = 0


def analyze(settings: AnalyzeSettings, out: Path, *, resume: bool = False) -> StageResult:
    """Measure corpora side by side and, with a user model, the likelihood of heldout human turns.

    Writes `corpora.json`, with a user model `heldout_nll.json`, and with scores `correlations.json` and their heat map
    `correlations.svg`.

    Raises:
        InputError: nothing to measure, or a file or folder cannot be used.
        SettingsChangedError: `out` holds work with other settings.
    """
    from humanturn.formats import sources
    from humanturn.models import spec

    if not settings.corpora and not settings.user:
        raise InputError("nothing to analyze; give corpora as NAME=FILE, or a user model with heldout conversations")
    if settings.user and not settings.heldout:
        raise InputError("analyze.user needs analyze.heldout: conversations the user model was not trained on")
    inputs = {
        f"corpora.{name}" + (f".{number}" if number else ""): file
        for name, path in settings.corpora.items()
        for number, file in enumerate(sources.files([path]))
    }
    outputs = []
    if settings.corpora:
        inputs["tokenizer"] = spec.local_folder(settings.tokenizer) / "tokenizer.json"
        outputs.append("corpora.json")
    if settings.corpora and settings.detector:
        for name, path in (("human", settings.detector.human), ("machine", settings.detector.machine)):
            inputs |= {f"detector.{name}.{number}": file for number, file in enumerate(sources.files([path]))}
        if settings.detector.model:
            inputs["detector.model"] = spec.local_folder(settings.detector.model)
    if settings.scores:
        inputs["scores"] = Path(settings.scores)
        outputs.append("correlations.json")
    if settings.user and settings.heldout:
        inputs |= {
            "user": Path(settings.user),
            "heldout": Path(settings.heldout),
            "backbone": spec.local_folder(_backbone(settings)),
        }
        outputs.append("heldout_nll.json")
    return run.stage(
        "analyze",
        out,
        settings,
        inputs=inputs,
        outputs=tuple(outputs),
        work=lambda: _analyze(settings, inputs, out),
        resume=resume,
    )


def describe(result: Mapping[str, Any]) -> str:
    """The stage's result as plain-text tables for a terminal."""
    from humanturn.analyze import text_tables

    return text_tables.describe(result)


def _analyze(settings: AnalyzeSettings, inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
    result: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    if settings.corpora:
        from humanturn.analyze import side_by_side

        document = side_by_side.corpora(settings, inputs["tokenizer"].parent, out)
        jsonl.write_json(out / "corpora.json", document)
        result["corpora"] = rows = document["corpora"]
    if settings.scores:
        from humanturn.analyze import correlation, heatmap

        statistics = {name: {k: m.value for k, m in row["columns"].items()} for name, row in rows.items()}
        found = correlation.correlate(statistics, correlation.read_scores(Path(settings.scores)))
        jsonl.write_json(out / "correlations.json", found)
        if found.cells:
            heatmap.draw(found, out / "correlations.svg")
        result["correlated_models"] = len(found.models)
    if settings.user:
        from humanturn import heldout

        table = heldout.table(_likelihoods(settings, inputs, out), of="trained", seed=settings.seed)
        jsonl.write_json(out / "heldout_nll.json", table)
        result["heldout_nll"] = {row.name: row.parts["all"].nll.value for row in table.rows}
        result["heldout_relative"] = {d.than: d.parts["all"] for d in table.differences}
        result["heldout_sessions"] = table.sessions
    return result


def _backbone(settings: AnalyzeSettings) -> str:
    """SPEC of the backbone: as given, or as the user model's folder says."""
    from humanturn.models import weights

    if settings.backbone:
        return settings.backbone
    card = weights.card(Path(settings.user or ""))
    if card is None:
        raise InputError(f"{settings.user}: does not say what it was trained from; give analyze.backbone")
    return card.backbone


def _likelihoods(
    settings: AnalyzeSettings, inputs: Mapping[str, Path], out: Path
) -> dict[str, Sequence[TurnLikelihood]]:
    """Heldout likelihoods of the untrained backbone, of the same told to play a user, and of the user model.

    The first and the last are taken from the training's own record when it measured the same sessions.
    """
    from humanturn import formats, template, tokens
    from humanturn.analyze import reuse
    from humanturn.models import likelihood

    limits = reuse.limits(inputs["user"], settings.heldout_sessions, settings.heldout_segments)
    recorded = reuse.recorded(inputs["user"], inputs["heldout"], limits)
    conversations = first_sessions(formats.read_conversations(inputs["heldout"]), *limits)
    user_template = tokens.load(inputs["user"]).chat_template
    if recorded is None:
        recorded = {
            "before": likelihood.user_turns(
                inputs["backbone"], conversations, chat_template=user_template, label="heldout untrained"
            ),
            "after": likelihood.user_turns(inputs["user"], conversations, label="heldout trained"),
        }
    done = out / "roleplay.jsonl"  # the slow part of an interrupted run is not done twice
    if not done.exists():
        told = None if tokens.load(inputs["backbone"]).chat_template else user_template
        rows = likelihood.user_turns(
            inputs["backbone"],
            conversations,
            chat_template=told,
            prompted=template.ROLEPLAY_PREFACE,
            label="heldout role-play",
        )
        jsonl.write(done, rows)
    roleplay = list(jsonl.read(done, TurnLikelihood))
    return {"untrained": recorded["before"], "roleplay": roleplay, "trained": recorded["after"]}
