"""Bradley-Terry strengths against a published worked example."""

import numpy as np
import pytest

from humanturn.evaluate.bradley_terry import log_strengths, ratings

# Agresti (2002), "Categorical Data Analysis", p. 438: American League East 1987; rows beat columns.
TEAMS = ["Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore"]
WINS = np.array(
    [
        [0, 7, 9, 7, 7, 9, 11],
        [6, 0, 7, 5, 11, 9, 9],
        [4, 6, 0, 7, 7, 8, 12],
        [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12],
        [4, 4, 5, 6, 6, 0, 6],
        [2, 4, 1, 3, 1, 7, 0],
    ],
    dtype=float,
)
PUBLISHED = [1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0.0]


def test_strengths_of_the_baseball_example_are_the_published_ones():
    found = log_strengths(WINS, prior=0)
    assert found - found[-1] == pytest.approx(PUBLISHED, abs=5e-4)


def test_a_model_that_never_lost_has_a_finite_rating():
    found = log_strengths(np.array([[0, 50], [0, 0]], dtype=float))
    assert np.isfinite(found).all() and found[0] > 2


def test_ratings_are_400_points_apart_at_odds_of_ten_to_one():
    values, draws = ratings([np.array([[0.0, 1000.0], [100.0, 0.0]])] * 3, seed=0)
    assert values[0] - values[1] == pytest.approx(400, abs=0.5)
    assert draws.shape == (400, 2)
