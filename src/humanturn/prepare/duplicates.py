"""Sessions that stand in the corpus more than once; the longest copy is kept."""

import hashlib
import re
from collections.abc import Sequence

from humanturn.conversation import Turn

_SPACE = re.compile(rb"\s+")
_BLANKS = bytes(range(33)) + b"\x7f"


def exact(turns: Sequence[Turn]) -> bytes:
    """Equal for sessions that say the same, white space and the case of letters apart."""
    text = "\0".join(turn.content for turn in turns).lower().encode("utf-8", "replace")
    return hashlib.blake2b(text.translate(None, _BLANKS[1:]), digest_size=16).digest()


def prefix(turns: Sequence[Turn]) -> bytes:
    """Equal for sessions whose first two turns say the same: the same conversation, shared at two moments."""
    return exact(turns[:2])
