"""A stage's output directory: what it was made from, and whether it is finished.

`manifest.json` holds the settings, the hashes of the inputs, versions and the result. A stage that finds its own
finished output with the same settings and inputs is skipped; with others it refuses and says which differ.
"""

import datetime
import hashlib
import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Literal

import filelock
import msgspec
import pydantic

from humanturn import __version__, jsonl
from humanturn.errors import InputError, SettingsChangedError
from humanturn.records import StageResult

LIBRARIES = ("torch", "transformers", "tokenizers", "peft", "accelerate", "numpy")


class Settings(pydantic.BaseModel):
    """Base of every stage's settings: unknown keys are errors, values are frozen."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    free: ClassVar[frozenset[str]] = frozenset()
    """Settings that cannot change results and may differ on resume."""

    def binding(self) -> dict[str, Any]:
        """The settings that results depend on, as JSON values."""
        return self.model_dump(mode="json", exclude=set(self.free))


class InputMark(msgspec.Struct, frozen=True):
    """What an input file or folder held when a stage read it."""

    sha256: str
    bytes: int
    mtime_ns: int


class Manifest(msgspec.Struct, kw_only=True):
    """`manifest.json` of one stage."""

    stage: str
    status: Literal["started", "done"]
    settings: dict[str, Any]
    inputs: dict[str, InputMark]
    versions: dict[str, str]
    started: str
    seconds: float = 0.0
    result: dict[str, Any] = {}
    outputs: dict[str, int] = {}
    """Size in bytes of every output file, by path relative to the directory."""


def stage(
    name: str,
    out: Path,
    settings: Settings,
    *,
    inputs: Mapping[str, Path],
    outputs: tuple[str, ...],
    work: Callable[[], dict[str, Any]],
    resume: bool,
    unfinished: Callable[[dict[str, Any]], bool] = lambda result: False,
) -> StageResult:
    """Do `work` in `out` unless it is done there already.

    Args:
        name: the stage, as in the command.
        out: directory that belongs to this stage alone.
        settings: what the work depends on.
        inputs: files and model folders the work reads, by role.
        outputs: files (or folders) the work leaves in `out`; when one is gone the work is done again.
        work: does it, and returns the summary to store; finds its own unfinished output when resuming.
        resume: go on with unfinished output; without it, unfinished output is refused.
        unfinished: whether a result that is there leaves something to be done after all.

    Raises:
        SettingsChangedError: `out` holds work with other settings or inputs, or unfinished work without `resume`.
        InputError: another process works in `out`, or it cannot be made.
    """
    began = time.monotonic()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot make the directory ({error.strerror}); choose another --out") from error
    try:
        with filelock.FileLock(out / ".lock", timeout=0):
            path = out / "manifest.json"
            previous = read_manifest(path)
            if previous:
                if previous.stage != name:
                    raise SettingsChangedError(f"{out}: holds the output of {previous.stage}; choose another --out")
                marks = {key: fingerprint(value, previous.inputs.get(key)) for key, value in inputs.items()}
                _refuse_changes(out, previous, settings, marks)
                if previous.status == "done" and _intact(out, previous) and not unfinished(previous.result):
                    return StageResult(name, previous.result, True, time.monotonic() - began)
                if previous.status == "started" and not resume:
                    raise SettingsChangedError(f"{out}: holds an unfinished {name}; add --resume to go on with it")
            else:
                marks = {key: fingerprint(value) for key, value in inputs.items()}
            there = _names(out)
            manifest = Manifest(
                stage=name,
                status="started",
                settings=settings.binding(),
                inputs=marks,
                versions=versions(),
                started=now(),
            )
            jsonl.write_json(path, manifest)
            try:
                manifest.result = work()
            except InputError:
                # Bad input is mended and tried again: the directory must not remember it, unless work is left there.
                if previous is None and not _names(out) - there - {path.name, *outputs}:
                    path.unlink()
                raise
            manifest.status = "done"
            manifest.seconds = round(time.monotonic() - began, 2)
            manifest.outputs = _sizes(out, outputs)
            jsonl.write_json(path, manifest)
            return StageResult(name, manifest.result, False, manifest.seconds)
    except filelock.Timeout:
        raise InputError(f"{out}: another humanturn is working there; wait for it or choose another --out") from None


def read_manifest(path: Path) -> Manifest | None:
    """The manifest at `path`, or None when there is none.

    Raises:
        InputError: it is there but damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, OSError) as error:
        raise InputError(f"{path}: damaged ({error}); remove the directory {path.parent} to start afresh") from None


def fingerprint(path: Path, known: InputMark | None = None) -> InputMark:
    """Hash of a file, or of every file in a folder by name; `known` is reused while size and times are unchanged."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and not _ours(p, path)) if path.is_dir() else [path]
    try:
        facts = [(file, file.stat()) for file in files]
    except FileNotFoundError as error:
        raise InputError(f"{error.filename}: no such file") from None
    size, mtime = sum(s.st_size for _, s in facts), sum(s.st_mtime_ns for _, s in facts) % 2**63
    if known and (known.bytes, known.mtime_ns) == (size, mtime):
        return known
    digest = hashlib.sha256()
    for file, _ in facts:
        if path.is_dir():
            digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return InputMark(digest.hexdigest(), size, mtime)


def versions() -> dict[str, str]:
    """Versions of Python, humanturn and the libraries that results depend on."""
    found = {"humanturn": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """Time of day in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def derived_seed(seed: int, *parts: int | str) -> int:
    """Seed of a part of a run, a function of the run's seed and the part's name alone (63 bits)."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ours(path: Path, folder: Path) -> bool:
    """True for files in a model folder that say how it was made, not what it is."""
    parts = path.relative_to(folder).parts
    return parts[0] in {"manifest.json", ".lock", "checkpoints", "metrics.jsonl"}


def _refuse_changes(out: Path, previous: Manifest, settings: Settings, marks: dict[str, InputMark]) -> None:
    binding = settings.binding()
    known = previous.settings.keys()
    given = binding.keys() & settings.model_dump(exclude_defaults=True).keys()
    changed = [
        f"{key} was {previous.settings.get(key)!r} and is {binding.get(key)!r}"
        for key in sorted(known | given)  # a setting that came later does at its default what was done before
        if previous.settings.get(key) != binding.get(key)
    ]
    changed += [
        f"the contents of {key} changed"
        for key in sorted(previous.inputs.keys() | marks.keys())
        if (key in previous.inputs) != (key in marks)
        or (key in marks and previous.inputs[key].sha256 != marks[key].sha256)
    ]
    if changed:
        raise SettingsChangedError(
            f"{out}: holds a {previous.status} {previous.stage} made otherwise: {'; '.join(changed)};"
            " choose another --out, or remove it"
        )


def _names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def _intact(out: Path, manifest: Manifest) -> bool:
    return all((out / name).is_file() and (out / name).stat().st_size == n for name, n in manifest.outputs.items())


def _sizes(out: Path, outputs: tuple[str, ...]) -> dict[str, int]:
    files = [
        file
        for name in outputs
        for file in ((out / name).rglob("*") if (out / name).is_dir() else [out / name])
        if file.is_file()
    ]
    return {str(file.relative_to(out)): file.stat().st_size for file in files}
