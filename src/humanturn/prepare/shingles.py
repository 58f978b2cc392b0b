"""Runs of words as numbers, for finding near-duplicates and leaked questions at a few hundred megabytes a second.

The hash of a run is a polynomial over its bytes modulo 2^64, read off prefix sums, so that no word is ever a Python
object. Letters' case, punctuation and white space are made equal before; characters of scripts written without spaces
count as words of their own.
"""

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

Hashes: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"

_BASE = 0x9E3779B97F4A7C15 | 1
_INVERSE = pow(_BASE, -1, 1 << 64)
_BLOCK = 1 << 20
"""Bytes hashed at a time, which bounds memory; runs across the end of a block are not seen."""
_EVEN = bytes(c if chr(c).isalnum() or c >= 128 else 32 for c in range(256))
_UNSPACED = (0xE3, 0xED)
"""First bytes of characters of Chinese, Japanese and Korean, in UTF-8."""


def runs(text: str, words: int) -> Hashes:
    """Hashes of all runs of `words` words; shape (runs,), in the order of the text.

    A text of fewer words gives none.
    """
    step = _BLOCK // 4  # a character takes up to four bytes
    parts = (text[at : at + step].lower().encode("utf-8", "replace") for at in range(0, len(text), step))
    blocks = [_runs(data, words) for part in parts if (data := b" ".join(part.translate(_EVEN).split())[:_BLOCK])]
    return np.concatenate(blocks) if blocks else np.empty(0, np.uint64)


def _runs(data: bytes, words: int) -> Hashes:
    codes = np.frombuffer(data, np.uint8)
    begins = np.empty(len(codes), np.bool_)
    begins[0] = True
    begins[1:] = codes[:-1] == 32
    if codes.max() >= _UNSPACED[0]:
        begins |= (codes >= _UNSPACED[0]) & (codes <= _UNSPACED[1])
    starts = np.flatnonzero(begins)
    if len(starts) < words:
        return np.empty(0, np.uint64)
    powers, inverses = _tables()
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * powers[: len(codes)], out=sums[1:])
    # A run ends where the word after it begins, without the space between them.
    ends = starts[words:]
    ends = np.append(ends - (codes[ends - 1] == 32), len(codes))
    first = starts[: len(ends)]
    return _mixed((sums[ends] - sums[first]) * inverses[first])


@lru_cache(maxsize=1)
def _tables() -> tuple[Hashes, Hashes]:
    """Powers of the base and of its inverse modulo 2^64; shape (_BLOCK,) each."""

    def powers(base: int) -> Hashes:
        table = np.full(_BLOCK, base, np.uint64)
        table[0] = 1
        return np.cumprod(table, dtype=np.uint64)

    return powers(_BASE), powers(_INVERSE)


def _mixed(hashes: Hashes) -> Hashes:
    """Spread over all 64 bits (the finalizer of splitmix64)."""
    hashes ^= hashes >> np.uint64(30)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(27)
    hashes *= np.uint64(0x94D049BB133111EB)
    hashes ^= hashes >> np.uint64(31)
    return hashes
