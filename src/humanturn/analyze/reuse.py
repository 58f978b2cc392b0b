"""Heldout likelihoods that training already measured, and which sessions they are of."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from humanturn import run
from humanturn.conversation import Conversation
from humanturn.errors import InputError
from humanturn.records import TurnLikelihood


def recorded(user: Path, heldout: Path, sessions: int | None) -> dict[str, list[TurnLikelihood]] | None:
    """`before` and `after` rows of the user model's training on the first `sessions` sessions of `heldout`.

    None when the training measured nothing, another file, or fewer sessions than are wanted. Without a wanted number,
    the sessions that training measured are the ones to measure on.
    """
    path, manifest = user / "heldout.json", run.read_manifest(user / "manifest.json")
    mark = manifest.inputs.get("heldout") if manifest else None
    if manifest is None or mark is None or not path.exists() or run.fingerprint(heldout, mark).sha256 != mark.sha256:
        return None
    try:
        rows = msgspec.json.decode(path.read_bytes(), type=dict[str, list[TurnLikelihood]])
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: damaged ({error}); remove it, and the likelihoods are measured again") from None
    limit = manifest.settings.get("heldout_limit")
    if not rows.get("before") or not rows.get("after") or manifest.settings.get("role") != "user":
        return None
    if sessions is None or sessions == limit:
        return rows
    if limit is not None and limit < sessions:
        return None
    from humanturn import formats

    wanted = {c.session_id for c in first_sessions(formats.read_conversations(heldout), sessions)}
    return {name: [row for row in part if row.session_id in wanted] for name, part in rows.items()}


def first_sessions(conversations: Iterable[Conversation], sessions: int | None) -> list[Conversation]:
    """All segments of the first `sessions` sessions (all of them when None)."""
    kept = list(conversations)
    chosen = set(list(dict.fromkeys(c.session_id for c in kept))[:sessions])
    return [c for c in kept if c.session_id in chosen]
