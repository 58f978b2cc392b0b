"""Which sessions are held out, and which are drawn: decided by a hash of the session, so that growing the corpus or
changing a rule moves no session from one side to the other.
"""

import hashlib


def order(seed: int, key: str) -> float:
    """Place of a session in the order of drawing, in [0, 1); the first N of this order are inside the first N + 1."""
    digest = hashlib.blake2b(f"{seed}/{key}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def is_heldout(seed: int, key: str, share: float) -> bool:
    """True for about `share` of all sessions (or of all users, where `key` is one)."""
    return order(seed, f"heldout/{key}") < share
