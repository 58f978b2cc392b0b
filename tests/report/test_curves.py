import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanturn.report import curves
from humanturn.report.load import Point


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_inside(low, width):
    found = curves.ticks(low, low + width)
    assert 1 <= len(found) <= 12
    assert all(low - width * 1e-6 <= tick <= low + width * (1 + 1e-6) for tick in found)
    steps = {round((b - a) / width, 6) for a, b in pairwise(found)}
    assert len(steps) <= 2


def test_the_curve_goes_through_its_points():
    svg = str(curves.loss([Point(1, 4.0), Point(2, 3.0), Point(3, 2.0)], "User model"))
    ys = [float(p.split(",")[1]) for p in svg.split('points="')[1].split('"')[0].split()]
    assert ys == sorted(ys)
    assert ys[1] == pytest.approx((ys[0] + ys[2]) / 2, abs=0.11)
    assert "from 4.00 to 2.00 nats per token in 3 steps" in svg


def test_one_step_and_a_level_loss_can_be_drawn():
    assert "nan" not in str(curves.loss([Point(1, 2.5)], "User model"))
    assert "nan" not in str(curves.loss([Point(n, 2.5) for n in range(5)], "User model"))


def test_long_trainings_are_thinned_to_means():
    points = [Point(n, math.sin(n)) for n in range(10_000)]
    svg = str(curves.loss(points, "Assistant"))
    assert len(svg.split('points="')[1].split('"')[0].split()) <= curves.MOST_POINTS
