"""Who takes part: models that are compared, and judges by names that files can have."""

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from humanturn.errors import InputError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def check_names(names: Iterable[str]) -> None:
    """Refuse names that cannot name a file.

    Raises:
        InputError: says which.
    """
    for name in names:
        if not NAME.fullmatch(name):
            raise InputError(f"{name!r} is no name for a model; use letters, digits, '.', '_' and '-'")


def pairs(models: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
    """Pairs to compare, in the order the models are named: each with the baseline, or all."""
    if baseline is not None:
        return [(name, baseline) for name in models if name != baseline]
    return list(itertools.combinations(models, 2))


def judge_names(specs: Sequence[str]) -> dict[str, str]:
    """SPEC of each judge by a short name: `gpt-4` for `openai:gpt-4@http://...`."""
    names: dict[str, str] = {}
    for spec in specs:
        kind, _, rest = spec.partition(":")
        plain = rest.partition("@")[0] if kind == "openai" else Path(rest).stem if kind == "scripted" else rest or kind
        short = re.sub(r"[^A-Za-z0-9.-]+", "-", plain).strip("-.")[-60:] or "judge"
        name, number = short, 2
        while name in names:
            name, number = f"{short}-{number}", number + 1
        names[name] = spec
    return names
