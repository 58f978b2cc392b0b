"""ROUGE-L between two short texts, without stemming, as Self-Instruct's filter uses it."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence


def words(text: str) -> list[str]:
    """The tokens of the `rouge-score` package: runs of letters and digits, in lower case."""
    return re.findall(r"[a-z0-9]+", text.lower())


def f_measure(one: Sequence[str], other: Sequence[str]) -> float:
    """F of the longest common subsequence of two lists of words, 0 to 1."""
    return _f(_longest_common(one, other), len(one), len(other))


def too_similar(text: str, others: Iterable[Sequence[str]], threshold: float) -> bool:
    """True when ROUGE-L F with any of the others (lists of words) is above the threshold."""
    own = words(text)
    counts = Counter(own)
    for other in others:
        # No common subsequence is longer than what the two have in common in any order.
        bound = _f((counts & Counter(other)).total(), len(own), len(other))
        if bound > threshold and f_measure(own, other) > threshold:
            return True
    return False


def _f(common: int, one: int, other: int) -> float:
    return 2 * common / (one + other) if common else 0.0


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for at, candidate in enumerate(other, 1):
            before, row[at] = row[at], before + 1 if word == candidate else max(row[at], row[at - 1])
    return row[-1]
