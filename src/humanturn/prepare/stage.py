"""Raw conversations in, clean segments out: `train.jsonl`, `heldout.jsonl`, `dropped.jsonl`, `funnel.json`."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pydantic

from humanturn import run
from humanturn.formats import sources
from humanturn.prepare import funnel, select, write
from humanturn.prepare.pool import map_chunks
from humanturn.prepare.session import Row, Rules
from humanturn.records import StageResult

OUTPUTS = ("train.jsonl", "heldout.jsonl", "dropped.jsonl", "funnel.json")


class PrepareSettings(run.Settings):
    """What is read, what is kept, and how it is cut."""

    free: ClassVar[frozenset[str]] = frozenset({"workers"})

    inputs: tuple[str, ...] = pydantic.Field(
        min_length=1, description="files, folders, globs, hf:OWNER/NAME data sets, or the word sharegpt"
    )
    tokenizer: str = pydantic.Field("embedded", description="SPEC of the model to be trained; its tokens are counted")
    max_tokens: int = pydantic.Field(2048, ge=128, description="longest rendered segment, template included")
    language: str | None = pydantic.Field("en", description="ISO 639-1 code of the language to keep; null keeps all")
    other_languages: float = pydantic.Field(
        0.5, ge=0, le=1, description="largest share of a session's letters that may be in other languages"
    )
    language_switch: bool = pydantic.Field(
        True, description="drop sessions that change language though nobody asks for a translation"
    )
    prefix_duplicates: bool = pydantic.Field(True, description="drop sessions whose first two turns open a longer one")
    oasst: Literal["best", "all"] = pydantic.Field("best", description="paths of OpenAssistant trees to read")
    heldout: float = pydantic.Field(
        0.05, ge=0, lt=1, description="share of sessions (users, where known) never trained on"
    )
    sample: int | None = pydantic.Field(None, ge=1, description="sessions to draw; a smaller draw is inside a larger")
    seed: int = 0
    workers: int | None = pydantic.Field(None, ge=1, description="processes; all cores when null")


def prepare(settings: PrepareSettings, out: Path, *, resume: bool = False) -> StageResult:
    """Read, clean, deduplicate, split and cut conversations.

    An unfinished run leaves nothing that a later one would have to redo in part: it starts afresh.

    Raises:
        InputError: an input or the tokenizer is missing, or no session is left.
        SettingsChangedError: `out` holds a preparation made otherwise.
    """
    files = sources.files(settings.inputs)
    folder = tokenizer_folder(settings.tokenizer)
    inputs = {str(file): file for file in files} | {"tokenizer": folder / "tokenizer.json"}
    return run.stage(
        "prepare",
        out,
        settings,
        inputs=inputs,
        outputs=OUTPUTS,
        work=lambda: _work(settings, files, folder, out),
        resume=True,
    )


def describe(result: Mapping[str, Any]) -> str:
    """The funnel as text for a terminal."""
    return funnel.table(result)


def tokenizer_folder(spec: str) -> Path:
    """Folder with the `tokenizer.json` of a model SPEC; a folder that holds no weights will do."""
    path = Path(spec.removeprefix("hf:"))
    if spec.startswith("hf:") and (path / "tokenizer.json").exists():
        return path
    from humanturn.models.spec import local_folder

    return local_folder(spec)


def _rules(settings: PrepareSettings, folder: Path) -> Rules:
    from humanturn import template, tokens

    tokenizer = tokens.FileTokenizer(folder)
    control = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return Rules(
        count=tokens.counter(folder),
        overhead=template.overhead(tokenizer, template.scaffold(tokenizer)),
        control_tokens=template.control_tokens(tokenizer),
        control_mark=os.path.commonprefix([*control, *tokenizer.all_special_tokens]),
        max_tokens=settings.max_tokens,
        language=settings.language,
        other_languages=settings.other_languages,
        language_switch=settings.language_switch,
        oasst=settings.oasst,
    )


def _work(settings: PrepareSettings, files: list[Path], folder: Path, out: Path) -> dict[str, Any]:
    spool = out / ".spool"
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir()
    try:
        rows = list[tuple[Path, Row]]()
        for lines, batch in map_chunks(files, spool, _rules(settings, folder), settings.workers or run.cores()):
            rows += [(lines, row) for row in batch]
        select.duplicates([row for _, row in rows], prefix=settings.prefix_duplicates)
        select.sample([row for _, row in rows], settings.sample, seed=settings.seed)
        select.rename([row for _, row in rows])
        return write.outputs(rows, out, heldout=settings.heldout, seed=settings.seed)
    finally:
        shutil.rmtree(spool, ignore_errors=True)
