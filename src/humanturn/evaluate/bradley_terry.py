"""One ranking out of many pairwise verdicts (Bradley and Terry 1952)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

PRIOR = 0.1
"""Ties added between every two models. Without them a model that never lost would be infinitely strong."""
TOLERANCE = 1e-10


def log_strengths(wins: "np.ndarray[Any, Any]", *, prior: float = PRIOR) -> "np.ndarray[Any, Any]":
    """Log strengths, their mean zero: P(i beats j) = 1 / (1 + exp(s_j - s_i)).

    Args:
        wins: shape (models, models), how often row beat column, a tie being half a win to both.
        prior: ties added between every two models; 0 gives the maximum-likelihood estimate, where it exists.

    The iteration is Newton's on the log-likelihood, which is concave.
    """
    count = len(wins)
    won = wins + prior / 2 * (1 - np.eye(count))
    played = won + won.T
    strengths = np.zeros(count)
    for _ in range(100):
        expected = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
        gradient = (won - played * expected).sum(axis=1)
        weights = played * expected * (1 - expected)
        information = np.diag(weights.sum(axis=1)) - weights + 1 / count  # the constant direction is free: fix it
        step = np.linalg.solve(information, gradient)
        strengths = strengths + step / max(1.0, float(np.abs(step).max()) / 2)
        if float(np.abs(step).max()) < TOLERANCE:
            break
    centred: np.ndarray[Any, Any] = strengths - strengths.mean()
    return centred


def ratings(
    per_question: Sequence["np.ndarray[Any, Any]"], *, seed: int, resamples: int = 400
) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """Ratings on the chess scale (mean 1000, 400 points are odds of 10 to 1) and their bootstrap draws.

    Args:
        per_question: one (models, models) array of wins for each question; questions are what is resampled.
        seed: of the draws.
        resamples: how many draws.

    Returns:
        Shapes (models,) and (resamples, models).
    """
    stacked = np.stack(per_question)
    rng = np.random.default_rng(seed)
    draws = [log_strengths(stacked[rng.integers(0, len(stacked), len(stacked))].sum(axis=0)) for _ in range(resamples)]
    scale = 400 / np.log(10)
    return 1000 + scale * log_strengths(stacked.sum(axis=0)), 1000 + scale * np.stack(draws)
