"""Sessions that stand in the corpus more than once; the longest copy is kept."""

import hashlib
import re
from collections.abc import Sequence

from humanturn.conversation import Turn

_SPACE = re.compile(rb"\s+")
_BLANKS = bytes(range(33)) + b"\x7f"


def exact(turns: Sequence[Turn]) -> bytes:
    """Equal for sessions that say the same, white space and the case of letters apart."""
    return hashlib.blake2b(_said("\0".join(turn.content for turn in turns)), digest_size=16).digest()


def beginnings(turns: Sequence[Turn]) -> list[bytes]:
    """For each answer, what is equal for all sessions that say the same up to it; the last is the whole session's."""
    digest, found = hashlib.blake2b(digest_size=12), list[bytes]()
    for turn in turns:
        digest.update(_said(turn.content + "\0"))
        if turn.role == "assistant":
            found.append(digest.copy().digest())
    return found


def _said(text: str) -> bytes:
    return text.lower().encode("utf-8", "replace").translate(None, _BLANKS[1:])
