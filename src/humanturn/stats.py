"""Intervals: every mean we print carries its n and a 95 % interval.

Intervals are *expanded* percentile bootstrap intervals (Hesterberg 2015, "What Teachers Should Know About the
Bootstrap"): plain percentile intervals of few values are too narrow (10 values: 88 % instead of 95 %), so they are read
at the percentiles that give Student's interval when the values are normal.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from humanturn.records import Measurement


def mean(values: Sequence[float], *, seed: int = 0, resamples: int = 2000, unit: str | None = None) -> Measurement:
    """Mean with a 95 % bootstrap interval over `values`; no interval for fewer than two."""
    return ratio_of_sums(values, [1.0] * len(values), seed=seed, resamples=resamples, unit=unit)


def ratio_of_sums(
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    seed: int = 0,
    resamples: int = 2000,
    unit: str | None = None,
) -> Measurement:
    """Σ numerators / Σ denominators, its interval by resampling pairs.

    This is a mean per token when the pairs are sessions with (summed loss, tokens): tokens of one session are not
    independent, so the session is what is drawn.
    """
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    n = len(top)
    total = float(bottom.sum())
    if n == 0 or total == 0:
        return Measurement(value=float("nan"), n=n, unit=unit)
    value = float(top.sum()) / total
    if n < 2:
        return Measurement(value=value, n=n, unit=unit)
    draws = _resampled(np.stack([top, bottom], axis=1), seed, resamples)
    low, high = np.percentile(draws[:, 0] / np.maximum(draws[:, 1], 1e-300), percentiles(n))
    return Measurement(value=value, n=n, low=float(low), high=float(high), unit=unit)


def paired_difference(
    a: Sequence[float], b: Sequence[float], weights: Sequence[float], *, seed: int = 0, resamples: int = 10_000
) -> Measurement:
    """(Σ a − Σ b) / Σ weights over the same sessions, its interval by resampling sessions."""
    difference = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    return ratio_of_sums(difference.tolist(), weights, seed=seed, resamples=resamples)


def percentiles(n: int) -> tuple[float, float]:
    """Where to read a 95 % interval among the bootstrap means of `n` >= 2 values, in per cent (2.5 and 97.5 for many).

    A bootstrap's spread is short by sqrt((n - 1) / n), and normal where Student's t is due.
    """
    below = 100 * statistics.NormalDist().cdf(-_student(n - 1) * math.sqrt(n / (n - 1)))
    return below, 100 - below


def _student(degrees: int) -> float:
    """97.5 % quantile of Student's t to three digits (Abramowitz and Stegun 26.7.5)."""
    if degrees <= 3:
        return (12.706, 4.303, 3.182)[degrees - 1]
    z = statistics.NormalDist().inv_cdf(0.975)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / degrees**power for power, term in enumerate(terms, 1))


def _resampled(columns: "np.ndarray[Any, Any]", seed: int, resamples: int) -> "np.ndarray[Any, Any]":
    """Column sums of `resamples` bootstrap samples of the rows; shape (resamples, columns)."""
    rng = np.random.default_rng(seed)
    n = len(columns)
    sums = np.empty((resamples, columns.shape[1]))
    step = max(1, 4_000_000 // max(n, 1))
    for start in range(0, resamples, step):
        stop = min(resamples, start + step)
        picks = rng.integers(0, n, size=(stop - start, n))
        sums[start:stop] = columns[picks].sum(axis=1)
    return sums
