"""Intervals: every mean we print carries its n and a 95 % interval."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from humanturn.records import Measurement


def mean(values: Sequence[float], *, seed: int = 0, resamples: int = 2000, unit: str | None = None) -> Measurement:
    """Mean with a 95 % percentile bootstrap interval over `values`; no interval for fewer than two."""
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
    low, high = np.percentile(draws[:, 0] / np.maximum(draws[:, 1], 1e-300), [2.5, 97.5])
    return Measurement(value=value, n=n, low=float(low), high=float(high), unit=unit)


def paired_difference(
    a: Sequence[float], b: Sequence[float], weights: Sequence[float], *, seed: int = 0, resamples: int = 10_000
) -> Measurement:
    """(Σ a − Σ b) / Σ weights over the same sessions, its interval by resampling sessions."""
    difference = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    return ratio_of_sums(difference.tolist(), weights, seed=seed, resamples=resamples)


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
