"""Intervals hold what they promise."""

import numpy as np
import pytest

from humanturn import stats


def two_turn_scores(rng, shape):
    """Judge-like scores, 1 to 10, two for each question, both depending on how hard the question is."""
    hard = rng.normal(0, 1.2, shape)[..., None]
    noise = rng.normal(0, 1.5, (*shape, 2)) - np.array([0, 0.7])
    return np.clip(np.rint(5.5 + hard + noise), 1, 10).sum(axis=-1)


@pytest.mark.parametrize("questions", [16, 80])
def test_intervals_of_95_per_cent_cover_the_truth_in_95_per_cent_of_simulated_benchmarks(questions):
    rng = np.random.default_rng(5)
    truth = two_turn_scores(rng, (400_000,)).mean() / 2
    tries = two_turn_scores(rng, (2500, questions))
    covered = 0
    for number, sums in enumerate(tries):
        m = stats.ratio_of_sums(sums.tolist(), [2.0] * questions, seed=number, resamples=400)
        covered += m.low <= truth <= m.high
    assert covered / len(tries) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    "degrees, quantile", [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (29, 2.045), (10**6, 1.96)]
)
def test_students_quantile_is_that_of_the_tables(degrees, quantile):
    assert stats._student(degrees) == pytest.approx(quantile, abs=0.008)
