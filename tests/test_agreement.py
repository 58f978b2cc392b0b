"""Agreement statistics against published worked examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanturn import agreement

# Fleiss (1971) as worked through on Wikipedia: 10 subjects, 14 raters, 5 categories.
FLEISS = [
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
]

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability": example C, four observers, missing data.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


def spread(row):
    return [category for category, n in enumerate(row) for _ in range(n)]


def test_fleiss_kappa_of_the_published_example_is_0_210():
    assert agreement.fleiss_kappa([spread(row) for row in FLEISS]) == pytest.approx(0.210, abs=5e-4)


def test_krippendorffs_alpha_of_the_published_example_is_0_743_nominal_and_0_849_interval():
    items = list(zip(*OBSERVERS, strict=True))
    assert agreement.krippendorff_alpha(items) == pytest.approx(0.743, abs=5e-4)
    assert agreement.krippendorff_alpha(items, agreement.interval) == pytest.approx(0.849, abs=5e-4)


def test_krippendorffs_alpha_of_two_observers_of_the_published_examples():
    # Example A (binary) is 0.095, example B (nominal) 0.692.
    binary = zip([0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0], strict=True)
    assert agreement.krippendorff_alpha(list(binary)) == pytest.approx(0.095, abs=5e-4)
    nominal = zip("aabbdcccedda", "babbbccceddd", strict=True)
    assert agreement.krippendorff_alpha(list(nominal)) == pytest.approx(0.692, abs=5e-4)


def test_fleiss_kappa_equals_statsmodels():
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    assert agreement.fleiss_kappa([spread(row) for row in FLEISS]) == pytest.approx(
        inter_rater.fleiss_kappa(FLEISS), abs=1e-12
    )


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=3, max_size=3), min_size=2, max_size=12))
def test_order_of_raters_and_items_does_not_matter(items):
    shuffled = [list(reversed(item)) for item in reversed(items)]
    for statistic in (agreement.fleiss_kappa, agreement.krippendorff_alpha):
        a, b = statistic(items), statistic(shuffled)
        assert (a is None and b is None) or a == pytest.approx(b, abs=1e-9)


def test_perfect_agreement_is_1_and_a_single_category_says_nothing():
    assert agreement.fleiss_kappa(["aa", "bb", "cc"]) == pytest.approx(1)
    assert agreement.krippendorff_alpha(["aa", "bb", "cc"]) == pytest.approx(1)
    assert agreement.fleiss_kappa(["aa", "aa"]) is None
    assert agreement.krippendorff_alpha(["aa", "aa"]) is None
    assert agreement.krippendorff_alpha([("a", None)]) is None


def test_items_short_of_ratings_are_left_out_of_kappa_and_kept_by_alpha():
    whole = ["aab", "bbb", "cca"]
    assert agreement.fleiss_kappa([*whole, ("a", None, None)]) == agreement.fleiss_kappa(whole)
    assert agreement.krippendorff_alpha([*whole, ("a", "b", None)]) != agreement.krippendorff_alpha(whole)


def test_the_share_of_agreeing_pairs_counts_pairs():
    assert agreement.pairwise_share(["aab", "bbb"]) == (4 / 6, 6)
    assert agreement.pairwise_share([("a", None)]) is None
