import itertools
import random

import numpy as np
import pytest

from humanturn.analyze import twosample
from humanturn.analyze.replies import Said
from humanturn.errors import InputError

pytest.importorskip("sklearn")
WORDS = ["".join(letters) for letters in itertools.islice(itertools.product("aeiou", "bdgkm", repeat=2), 300)]


def side(name, sessions=40, turns=4, favourite=None, seed=0):
    draw = random.Random(seed)
    return [
        Said(
            f"{name}{s}/{t}",
            f"{name}{s}",
            t == 0,
            " ".join(
                [*draw.choices(WORDS, k=8), favourite if favourite and draw.random() < 0.9 else draw.choice(WORDS)]
            ),
        )
        for s in range(sessions)
        for t in range(turns)
    ]


def test_nothing_is_found_where_there_is_nothing():
    values = [twosample.auroc(side("a", seed=n), side("b", seed=n + 50), "ngrams", seed=n).value for n in range(4)]
    assert abs(np.mean(values) - 0.5) < 0.05


def test_a_favourite_word_gives_the_other_away():
    found = twosample.auroc(side("a"), side("b", favourite="zyzo", seed=1), "ngrams")
    assert found.value > 0.9
    assert found.low > 0.85


def test_the_surface_sees_case_and_not_words():
    ours, theirs = side("a"), side("b", favourite="zyzo", seed=1)
    assert twosample.auroc(ours, theirs, "surface").value < 0.75
    loud = [Said(s.place, s.session_id, s.first, s.text.upper()) for s in side("b", seed=1)]
    assert twosample.auroc(ours, loud, "surface").value > 0.95


def test_a_session_s_own_words_do_not_leak_across_folds():
    # Every session has a word of its own: with folds that cut sessions, it would tell the sides apart.
    def marked(name, seed):
        return [Said(s.place, s.session_id, s.first, f"{s.text} {s.session_id}x") for s in side(name, seed=seed)]

    ours, theirs = marked("q", 1), marked("r", 2)
    folds = twosample._folds(ours, 0)
    by_session = {}
    for said, fold in zip(ours, folds, strict=True):
        by_session.setdefault(said.session_id, set()).add(fold)
    assert all(len(found) == 1 for found in by_session.values())
    assert twosample.auroc(ours, theirs, "surface").value < 0.7


def test_the_auroc_is_the_share_of_pairs_in_order():
    a, b = np.array([0.1, 0.4]), np.array([0.4, 0.9, 0.2])
    concordance = [(b[None, :] > a[:, None]) + 0.5 * (b[None, :] == a[:, None])]
    weights = [np.ones((1, 2)), np.ones((1, 3))]
    # Pairs (a < b): 0.1 before all three, 0.4 ties once, before 0.9, after 0.2.
    found = twosample._mean_concordance(concordance, [[[0, 1], [0, 1, 2]]], weights)
    assert found[0] == pytest.approx((3 + 0.5 + 1) / 6)


def test_too_few_sessions_are_refused():
    with pytest.raises(InputError, match="5 sessions or more"):
        twosample.auroc(side("a"), side("b", sessions=4), "ngrams")
