import pytest

from humanturn.report import words


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (1234567, "1,234,567"),
        (0.012345, "0.0123"),
        (3.14159, "3.14"),
        (12.0, "12"),
        (-0.5, "-0.500"),
        (float("nan"), "–"),
    ],
)
def test_numbers_are_grouped_and_rounded(value, said):
    assert words.number(value) == said


def test_measured_figures_have_a_real_minus_sign_and_a_unit():
    assert words.figure(-0.0253, 1, percent=True, signed=True) == "−2.5 %"
    assert words.figure(1234.5678, 1) == "1,234.6"


@pytest.mark.parametrize(("seconds", "said"), [(3.21, "3.2 s"), (59, "59 s"), (75, "1 min"), (3725, "1 h 2 min")])
def test_durations_are_told_in_the_largest_units(seconds, said):
    assert words.duration(seconds) == said
