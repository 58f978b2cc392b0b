"""Near-duplicates: sessions that share most of their five-word runs (MinHash with one permutation, in bands).

Jaccard similarity of two sessions' runs is the share of equal bins in their sketches; sketches that agree on one band
of bins are compared. The bands find similarity 0.8 with probability 0.9999; the estimate's standard error is 0.035.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from humanturn.conversation import Turn
from humanturn.prepare.shingles import runs

WORDS = 5
BINS = 128
BAND = 5
CANDIDATES = 64
"""Sessions of one band that are compared; more share a phrase that says nothing."""

_EMPTY = np.uint32(0xFFFFFFFF)
_BIN_SHIFT = np.uint64(64 - BINS.bit_length() + 1)


def sketch(turns: Sequence[Turn]) -> bytes:
    """The least hash in each of 128 bins, as bytes of uint32; empty for texts of fewer than five words."""
    hashes = runs("\n".join(turn.content for turn in turns), WORDS)
    if not len(hashes):
        return b""
    hashes.sort()
    bins = (hashes >> _BIN_SHIFT).astype(np.int64)
    least = np.full(BINS, _EMPTY, np.uint32)
    first = np.append(0, np.flatnonzero(bins[1:] != bins[:-1]) + 1)
    filled = bins[first]
    least[filled] = (hashes[first] & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    if len(filled) < BINS:
        _fill(least, filled)
    return least.tobytes()


def _fill(least: "np.ndarray[Any, np.dtype[np.uint32]]", filled: "np.ndarray[Any, np.dtype[np.int64]]") -> None:
    """Let each empty bin take the value of the next filled one, told apart by the distance."""
    is_empty = np.ones(BINS, np.bool_)
    is_empty[filled] = False
    empty = np.flatnonzero(is_empty)
    source = filled[np.searchsorted(filled, empty) % len(filled)]
    distance = ((source - empty) % BINS).astype(np.uint32)
    least[empty] = least[source] + distance * np.uint32(0x9E3779B1)


def originals(sketches: Sequence[bytes], threshold: float) -> list[int]:
    """For each sketch, in the order of preference: the index of the earlier one it is a copy of, or its own.

    Args:
        sketches: those to keep rather than others first.
        threshold: similarity from which on two sessions are copies.
    """
    kept = dict[tuple[int, bytes], list[int]]()
    values = [np.frombuffer(sketch, np.uint32) for sketch in sketches]
    found = list[int]()
    step = 4 * BAND
    for index, data in enumerate(sketches):
        bands = [(at, data[at : at + step]) for at in range(0, len(data) - step + 1, step)]
        near = sorted({other for band in bands for other in kept.get(band, ())})
        original = index
        for other in near:
            if np.count_nonzero(values[other] == values[index]) >= threshold * BINS:
                original = other
                break
        found.append(original)
        if original == index:
            for band in bands:
                others = kept.setdefault(band, [])
                if len(others) < CANDIDATES:
                    others.append(index)
    return found
