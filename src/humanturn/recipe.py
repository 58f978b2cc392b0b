"""A recipe: the settings of every stage in one YAML file, and on the command line `--set stage.key=value`."""

import copy
import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec
import pydantic
import yaml

from humanturn import run
from humanturn.analyze.stage import AnalyzeSettings
from humanturn.errors import InputError, RecipeError
from humanturn.evaluate.stage import EvaluateSettings
from humanturn.prepare.stage import PrepareSettings
from humanturn.simulate.stage import SimulateSettings
from humanturn.train.stage import TrainSettings

S = TypeVar("S", bound=run.Settings)


STAGES = ("prepare", "user", "simulate", "assistant", "evaluate", "analyze")
"""The stages of a run, in order; each works in the directory of its name."""
RESERVED = {*STAGES, "compare"}
"""Directories of a run or a study, which no run of a study may be called by."""
PREPARED = "prepare"
"""As `assistant.heldout`: measure the assistant on the heldout sessions of the run's own prepare stage."""


class Recipe(run.Settings):
    """Settings of a whole run. A stage set to null is left out, and so is what depends on it.

    What one stage hands to the next (`user.data`, `simulate.user`, ...) is filled in by the run, and `seed`,
    `max_tokens` and the tokenizer hold for every stage that does not name its own.
    """

    seed: int = 0
    max_tokens: int = pydantic.Field(2048, ge=128, description="context of every stage that does not name its own")
    prepare: PrepareSettings
    user: TrainSettings = TrainSettings(role="user")
    simulate: SimulateSettings | None = SimulateSettings()
    assistant: TrainSettings | None = TrainSettings(role="assistant")
    evaluate: EvaluateSettings | None = pydantic.Field(
        None, description="a judge compares the backbone with the trained assistant; needs evaluate.judge"
    )
    analyze: AnalyzeSettings | None = AnalyzeSettings()

    def wired(self, out: Path, elsewhere: Mapping[str, Path] | None = None) -> Self:
        """The recipe with every stage's inputs filled in for a run in `out`.

        Args:
            out: the run's directory; a stage works in the directory there that has its name.
            elsewhere: stages that another run of the study carries out, and their directories.
        """
        at = {name: out / name for name in STAGES} | dict(elsewhere or {})
        prepare = _filled(self.prepare, seed=self.seed, max_tokens=self.max_tokens, tokenizer=self.user.backbone)
        heldout = str(at["prepare"] / "heldout.jsonl") if prepare.heldout else None
        shared = {"seed": self.seed, "max_tokens": self.max_tokens}
        user = _filled(self.user, **shared, data=str(at["prepare"] / "train.jsonl"), heldout=heldout)
        simulate = self.simulate and _filled(self.simulate, **shared, user=f"hf:{at['user']}")
        conversations = str(at["simulate"] / "conversations.jsonl")
        assistant = self.assistant and _filled(self.assistant, **shared, role="assistant", data=conversations)
        if assistant and assistant.heldout == PREPARED:
            assistant = assistant.model_copy(update={"heldout": heldout})
        models = {"backbone": assistant.backbone, "assistant": f"hf:{at['assistant']}"} if assistant else {}
        evaluate = self.evaluate and _filled(self.evaluate, seed=self.seed, models=models)
        human = str(at["prepare"] / "train.jsonl")
        analyze = self.analyze and _filled(
            self.analyze,
            seed=self.seed,
            tokenizer=self.user.backbone,
            corpora={"human": human} | ({"simulated": conversations} if simulate else {}),
            **({"user": str(at["user"]), "backbone": self.user.backbone, "heldout": heldout} if heldout else {}),
        )
        follow = {"assistant": assistant, "evaluate": evaluate if assistant else None}
        return self.model_copy(
            update={"prepare": prepare, "user": user, "simulate": simulate, "analyze": analyze}
            | (follow if simulate else dict.fromkeys(follow))
        )


class Study(msgspec.Struct, frozen=True):
    """Several runs of one recipe that differ in named settings, and are compared at the end."""

    runs: dict[str, Recipe]
    """By name, in the order of the file; each is the file's recipe with that run's changes."""
    changes: dict[str, dict[str, Any]]
    """What each run changes: `stage.key` and value."""


def read(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """The recipe in `path` with `changes` (each `stage.key=value`, the value in YAML) applied.

    Raises:
        RecipeError: the file is no recipe, a key is unknown, or a value is of the wrong type; names file, line and key.
    """
    found = read_any(path, changes)
    if isinstance(found, Study):
        raise RecipeError(f"{path}: is a study of {len(found.runs)} runs; a single recipe has no `runs` section")
    return found


def read_any(path: Path, changes: Sequence[str] = ()) -> Recipe | Study:
    """As `read`; a file with a section `runs` (name -> `stage.key: value`) is a study.

    `changes` hold for every run of a study, before its own.
    """
    document, tree = _load(path)
    for change in changes:
        _apply(document, change)
    if "runs" not in document:
        return _validated(path, document, tree, changes)
    named = document.pop("runs")
    if not isinstance(named, dict) or len(named) < 2 or not all(isinstance(own, dict | None) for own in named.values()):
        raise RecipeError(f"{path}: runs must name two runs or more, each with what it changes (`stage.key: value`)")
    found, own_changes = {}, {str(name): dict(own or {}) for name, own in named.items()}
    for name, own in own_changes.items():
        if not re.fullmatch(r"[\w][\w.+-]*", name) or name in RESERVED:
            raise RecipeError(f"{path}: {name!r} cannot be the name of a run; use letters, digits, - and _")
        varied = copy.deepcopy(document)
        for key, value in own.items():
            _put(varied, str(key), value, f"runs.{name}.{key}")
        found[name] = _validated(path, varied, tree, [f"{key}=" for key in own])
    return Study(found, own_changes)


def _load(path: Path) -> tuple[dict[str, Any], Any]:
    """The file as plain values, and as nodes that know their lines."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise InputError(f"{path}: no such recipe") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give a YAML file") from None
    try:
        document = yaml.safe_load(text)
        tree = yaml.compose(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise RecipeError(f"{where}: is not YAML ({getattr(error, 'problem', error)})") from None
    if not isinstance(document, dict):
        raise RecipeError(f"{path}: is not a recipe; it must be a mapping with a `prepare` section")
    return document, tree


def _validated(path: Path, document: dict[str, Any], tree: Any, changes: Sequence[str]) -> Recipe:
    try:
        return Recipe.model_validate(document)
    except pydantic.ValidationError as error:
        raise RecipeError(_explain(path, tree, error, changes)) from None


def dump(recipe: Recipe) -> str:
    """The recipe as YAML: what it says, without the defaults."""
    text: str = yaml.safe_dump(recipe.model_dump(mode="json", exclude_unset=True), sort_keys=False)
    return text


def _filled(settings: S, **values: Any) -> S:
    """`settings` with `values` where it names none of its own."""
    return settings.model_copy(update={k: v for k, v in values.items() if k not in settings.model_fields_set})


def _apply(document: dict[str, Any], change: str) -> None:
    key, separator, value = change.partition("=")
    if not separator or not key:
        raise RecipeError(f"--set {change}: write it as stage.key=value, for example --set user.epochs=2")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {change}: the value is not YAML ({getattr(error, 'problem', error)})") from None
    _put(document, key, parsed, f"--set {change}")


def _put(document: dict[str, Any], key: str, value: Any, told: str) -> None:
    """Set `stage.key` in the document; a section that is null or absent is made."""
    *sections, last = key.split(".")
    place = document
    for section in sections:
        if place.get(section) is None:
            place[section] = {}
        place = place[section]
        if not isinstance(place, dict):
            raise RecipeError(f"{told}: {section} is no section")
    place[last] = value


def _explain(path: Path, tree: Any, error: pydantic.ValidationError, changes: Sequence[str]) -> str:
    """The first problem as one sentence, with the line of its key; the number of further ones behind it."""
    first, others = error.errors()[0], error.error_count() - 1
    keys = [str(part) for part in first["loc"]]
    dotted = ".".join(keys)
    line = _line(tree, keys)
    where = f"{path}:{line}" if line and not any(c.startswith(dotted + "=") for c in changes) else str(path)
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(keys[-1], _known_keys(keys[:-1]), n=1)
        what = f"unknown key {dotted}" + (f"; did you mean {close[0]}?" if close else "; see docs/recipes.md")
    elif first["type"] == "missing":
        what = f"{dotted} is missing"
    else:
        what = f"{dotted} is {first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}"
    return f"{where}: {what}" + (f" (and {others} more)" if others else "")


def _known_keys(sections: Sequence[str]) -> list[str]:
    model: Any = Recipe
    for section in sections:
        field = model.model_fields.get(section)
        if field is None:
            return []
        candidates = [t for t in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(t, type)]
        model = next((t for t in candidates if issubclass(t, pydantic.BaseModel)), None)
        if model is None:
            return []
    return list(model.model_fields)


def _line(tree: Any, keys: Sequence[str]) -> int | None:
    """Line of the deepest part of the key path that stands in the file."""
    line, node = None, tree
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((k, v) for k, v in pairs if k.value == key), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
