"""Heldout likelihoods that training already measured."""

from pathlib import Path

import msgspec

from humanturn import run
from humanturn.errors import InputError
from humanturn.records import TurnLikelihood

Limits = tuple[int | None, int | None]
"""Sessions to measure on, and segments of each; None for all."""


def limits(user: Path, sessions: int | None, segments: int | None) -> Limits:
    """What to measure on: as given, or else what the user model's training measured on."""
    manifest = run.read_manifest(user / "manifest.json")
    if manifest is None or sessions is not None or segments is not None:
        return sessions, segments
    return manifest.settings.get("heldout_limit"), manifest.settings.get("heldout_segments")


def recorded(user: Path, heldout: Path, wanted: Limits) -> dict[str, list[TurnLikelihood]] | None:
    """`before` and `after` rows of the user model's training, when it measured just what is wanted."""
    path, manifest = user / "heldout.json", run.read_manifest(user / "manifest.json")
    mark = manifest.inputs.get("heldout") if manifest else None
    if manifest is None or mark is None or not path.exists() or run.fingerprint(heldout, mark).sha256 != mark.sha256:
        return None
    if manifest.settings.get("role") != "user" or limits(user, None, None) != wanted:
        return None
    try:
        rows = msgspec.json.decode(path.read_bytes(), type=dict[str, list[TurnLikelihood]])
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: damaged ({error}); remove it, and the likelihoods are measured again") from None
    return rows if rows.get("before") and rows.get("after") else None
