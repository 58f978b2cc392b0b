"""Raw conversations in, clean segments out: `train.jsonl`, `heldout.jsonl`, `dropped.jsonl`, `funnel.json`."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pydantic

from humanturn import run, scaffold, tokens
from humanturn.formats import sources
from humanturn.prepare import funnel, leaks, select, write
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
    prefix_duplicates: bool = pydantic.Field(True, description="drop sessions that are the beginning of a longer one")
    near_duplicates: float | None = pydantic.Field(
        0.8, gt=0, le=1, description="drop sessions that share this much of their five-word runs; null keeps them"
    )
    oasst: Literal["best", "all"] = pydantic.Field("best", description="paths of OpenAssistant trees to read")
    refusals: bool = pydantic.Field(False, description="drop sessions with an answer that refuses")
    scrub: bool = pydantic.Field(False, description="replace e-mail addresses, phone and card numbers, IPs and keys")
    guard: tuple[str, ...] = pydantic.Field((), description="files of benchmark questions that must not be trained on")
    guard_words: int = pydantic.Field(13, ge=6, description="words in a row that give a benchmark question away")
    heldout: float = pydantic.Field(
        0.05, ge=0, lt=1, description="share of sessions (users, where known) never trained on"
    )
    sample: int | None = pydantic.Field(None, ge=1, description="sessions to draw; a smaller draw is inside a larger")
    stratify: tuple[select.Stratum, ...] = pydantic.Field(
        (), description="draw each rounds, source, language in its share"
    )
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
    tokens.load_ahead(folder)
    inputs = {str(file): file for file in (*files, *map(Path, settings.guard))} | {
        "tokenizer": folder / "tokenizer.json"
    }
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
    from humanturn import template

    tokenizer = tokens.FileTokenizer(folder)
    control = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    firsts = {token[0] for token in (*control, *tokenizer.all_special_tokens)}
    return Rules(
        count=tokens.counter(folder),
        overhead=scaffold.overhead(tokenizer, scaffold.read_off(tokenizer)),
        control_tokens=template.control_tokens(tokenizer),
        control_mark=firsts.pop() if len(firsts) == 1 else "",
        max_tokens=settings.max_tokens,
        language=settings.language,
        other_languages=settings.other_languages,
        language_switch=settings.language_switch,
        oasst=settings.oasst,
        refusals=settings.refusals,
        scrub=settings.scrub,
        near_duplicates=settings.near_duplicates is not None,
        guard=leaks.guard(list(map(Path, settings.guard)), settings.guard_words) if settings.guard else None,
    )


def _work(settings: PrepareSettings, files: list[Path], folder: Path, out: Path) -> dict[str, Any]:
    spool = out / ".spool"
    shutil.rmtree(spool, ignore_errors=True)
    spool.mkdir()
    try:
        rows = list[tuple[Path, Row]]()
        for lines, batch in map_chunks(files, spool, _rules(settings, folder), settings.workers or run.cores()):
            rows += [(lines, row) for row in batch]
        sessions = [row for _, row in rows]
        select.duplicates(sessions, prefix=settings.prefix_duplicates, threshold=settings.near_duplicates)
        select.sample(sessions, settings.sample, settings.stratify, seed=settings.seed)
        select.rename(sessions)
        return write.outputs(rows, out, heldout=settings.heldout, seed=settings.seed)
    finally:
        shutil.rmtree(spool, ignore_errors=True)
