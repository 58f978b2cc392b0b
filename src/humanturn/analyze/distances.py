"""How far a set of turns is from what people say: diversity, wording, length."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from humanturn import stats
from humanturn.analyze import lexical
from humanturn.analyze.replies import Said
from humanturn.records import Measurement

PASSAGE = 200
"""Words of a passage: a single turn is too short for measures of lexical diversity."""
MOST_FIRST_TURNS = 1000
BIN = 0.5
"""Width of the bins of the Jensen-Shannon divergence, in doublings."""


Counted = tuple[str, int]
"""A session, and a count in it: tokens of a turn, or its rounds."""


def first_turn_diversity(side: Sequence[Said]) -> Measurement | None:
    """Mean pairwise 1 − |A∩B| / |A∪B| of the words of first turns (UserLM), with a jackknife interval over turns.

    None for fewer than three first turns with a word.
    """
    sets = [words for said in side if said.first and (words := frozenset(lexical.words(said.text)))][:MOST_FIRST_TURNS]
    n = len(sets)
    if n < 3:
        return None
    apart = np.zeros((n, n))
    for i, a in enumerate(sets):
        for j in range(i):
            shared = len(a & sets[j])
            apart[i, j] = apart[j, i] = 1 - shared / (len(a) + len(sets[j]) - shared)
    total = apart.sum()
    value = float(total / (n * n - n))
    left_out = (total - 2 * apart.sum(axis=0)) / ((n - 1) * (n - 2))
    spread = 1.96 * float(np.sqrt((n - 1) / n * np.square(left_out - left_out.mean()).sum()))
    return Measurement(value=value, n=n, low=value - spread, high=min(1.0, value + spread))


def passages(side: Sequence[Said]) -> list[list[str]]:
    """The words of all turns one after another, cut into passages of `PASSAGE` words; the rest is left."""
    words = [word for said in side for word in lexical.words(said.text)]
    return [words[at : at + PASSAGE] for at in range(0, len(words) - PASSAGE + 1, PASSAGE)]


LEXICAL = {"mattr": lexical.mattr, "hdd": lexical.hdd, "yules_k": lexical.yules_k}


def lexical_z(side: Sequence[Said], reference: Sequence[Said], *, seed: int = 0) -> dict[str, Measurement]:
    """Per measure: mean over passages, in standard deviations of the reference's passages from their mean.

    Empty when either has fewer than three passages.
    """
    ours, theirs = passages(side), passages(reference)
    if len(ours) < 3 or len(theirs) < 3:
        return {}
    found = {}
    for name, measure in LEXICAL.items():
        base = np.array([measure(words) for words in theirs])
        scale = float(base.std(ddof=1)) or 1.0
        found[name] = stats.mean([(measure(words) - float(base.mean())) / scale for words in ours], seed=seed)
    return found


def apart(
    name: str, ours: Sequence[Counted], theirs: Sequence[Counted], *, seed: int = 0, resamples: int = 500
) -> dict[str, Measurement]:
    """How far two sets of (session, count) are apart, both in log2: `NAME` by Wasserstein, `NAME_js` by Jensen-Shannon.

    1 of the first is a factor of two throughout. Intervals resample the sessions of `ours`. The distance of two samples
    of one population is above zero: compare with human vs human.
    """
    reference = np.sort(np.log2([max(count, 1) for _, count in theirs]))
    groups: dict[str, list[float]] = {}
    for session, count in ours:
        groups.setdefault(session, []).append(float(np.log2(max(count, 1))))
    values = [np.array(group) for group in groups.values()]
    whole = np.concatenate(values)
    rng = np.random.default_rng(seed)
    picks = [rng.integers(0, len(values), len(values)) for _ in range(resamples)]
    draws = [np.concatenate([values[i] for i in pick]) for pick in picks]
    found = {}
    for key, distance in ((name, wasserstein), (f"{name}_js", jensen_shannon)):
        low, high = np.percentile([distance(draw, reference) for draw in draws], [2.5, 97.5])
        found[key] = Measurement(value=distance(whole, reference), n=len(ours), low=float(low), high=float(high))
    return found


def jensen_shannon(a: "np.ndarray[Any, Any]", b: "np.ndarray[Any, Any]") -> float:
    """Jensen-Shannon divergence in bits of two samples, in bins of `BIN`: 0 alike, 1 without overlap."""
    bins = [np.round(np.asarray(side) / BIN).astype(int) for side in (a, b)]
    least = min(int(side.min()) for side in bins)
    length = max(int(side.max()) for side in bins) - least + 1
    p, q = (np.bincount(side - least, minlength=length) / len(side) for side in bins)
    middle = (p + q) / 2

    def to_middle(side: "np.ndarray[Any, Any]") -> float:
        there = side > 0
        return float(np.sum(side[there] * np.log2(side[there] / middle[there])))

    return max(0.0, (to_middle(p) + to_middle(q)) / 2)


def wasserstein(a: "np.ndarray[Any, Any]", b: "np.ndarray[Any, Any]") -> float:
    """First Wasserstein distance of two samples: the area between their distribution functions."""
    every = np.sort(np.concatenate([a, b]))
    below_a = np.searchsorted(np.sort(a), every[:-1], side="right") / len(a)
    below_b = np.searchsorted(np.sort(b), every[:-1], side="right") / len(b)
    return float(np.sum(np.abs(below_a - below_b) * np.diff(every)))
