import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from humanturn.analyze import copying, distances, habits
from humanturn.analyze.replies import Said
from humanturn.conversation import Conversation, Turn


def first(*texts):
    return [Said(f"s{n}/0", f"s{n}", True, text) for n, text in enumerate(texts)]


def test_first_turn_diversity_by_hand():
    # {a, b} and {b, c} share 1 of 3; {a, b} and {d} nothing; {b, c} and {d} nothing.
    found = distances.first_turn_diversity(first("a b", "b c!", "D d"))
    assert found.value == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert found.low < found.value < found.high <= 1


def test_the_same_first_turn_again_and_again_has_no_diversity():
    assert distances.first_turn_diversity(first(*["tell me about cats"] * 5)).value == 0
    assert distances.first_turn_diversity(first("a", "b")) is None
    follow_up = [Said("s/2", "s", False, "x")]
    assert distances.first_turn_diversity(follow_up * 9) is None


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20), st.lists(st.floats(-50, 50), min_size=1, max_size=20))
def test_the_wasserstein_distance_is_scipy_s(a, b):
    ours = distances.wasserstein(np.array(a), np.array(b))
    assert ours == pytest.approx(scipy_stats.wasserstein_distance(a, b), abs=1e-9)


def test_turns_twice_as_long_are_one_apart():
    theirs = [(f"s{n}", 2 + n) for n in range(60)]
    ours = [(session, 2 * tokens) for session, tokens in theirs]
    found = distances.apart("length", ours, theirs)
    assert found["length"].value == pytest.approx(1.0)
    assert found["length"].low < 1 < found["length"].high
    assert {m.value for m in distances.apart("length", theirs, theirs).values()} == {0}


@given(st.lists(st.integers(0, 12), min_size=1, max_size=30), st.lists(st.integers(0, 12), min_size=1, max_size=30))
def test_the_jensen_shannon_divergence_is_scipy_s(a, b):
    counts = [np.bincount(side, minlength=13) for side in (a, b)]
    theirs = pytest.importorskip("scipy.spatial.distance").jensenshannon(*counts, base=2) ** 2
    ours = distances.jensen_shannon(*(np.array(side) * distances.BIN for side in (a, b)))
    assert ours == pytest.approx(theirs, abs=1e-9)


def spelled(number):
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


def test_lexical_z_is_near_zero_for_the_same_writer_and_far_for_a_parrot():
    rng = np.random.default_rng(0)

    def writer(n, words):
        return [
            Said(f"s{i}/0", f"s{i}", True, " ".join(spelled(k) for k in rng.zipf(1.5, 60) % words)) for i in range(n)
        ]

    same = distances.lexical_z(writer(80, 5000), writer(80, 5000))
    parrot = distances.lexical_z(writer(80, 9), writer(80, 5000))
    assert set(same) == {"mattr", "hdd", "yules_k"}
    assert all(abs(z.value) < 1 for z in same.values())
    assert parrot["mattr"].value < -3
    assert parrot["yules_k"].low > 1


def test_a_few_words_give_no_lexical_z():
    assert distances.lexical_z(first("a b c"), first("a b c")) == {}


@pytest.mark.parametrize(
    "text",
    ["Thanks!", "thank you so much", "ok, great, thanks", "Bye", "Perfect! Thank you for your help.", "goodbye :)"],
)
def test_thanks_and_goodbyes_are_seen(text):
    assert habits.is_thanks(text)


@pytest.mark.parametrize("text", ["Thanks, now make it shorter", "write a thank you note", "ok", "great", "by the way"])
def test_turns_that_want_something_are_no_thanks(text):
    assert not habits.is_thanks(text)


def test_repetition_looks_past_case_and_white_space():
    assert habits.is_repetition("Make  it SHORTER", ["x", "make it shorter"])
    assert habits.is_repetition("make it shorter please", ["make it shorter"]) is False
    assert habits.is_repetition("anything", []) is None


LONG = "please write me a cover letter for a senior data engineer position at a small company in lisbon"


def memory():
    turns = (
        Turn("user", f"Hi. {LONG}. Reach me at jo.doe+x@example.org"),
        Turn("assistant", "Key AKIAABCDEFGHIJKLMNOP here"),
    )
    return copying.remember([Conversation(id="t", messages=turns)])


def test_twelve_words_in_a_row_are_a_copy():
    words = LONG.split()
    assert copying.is_copied(" ".join(words[:12]), [], memory())
    assert copying.is_copied(f"so um {' '.join(words[3:15])} ok", [], memory())
    assert copying.is_copied(" ".join([*words[:11], "fox", *words[12:]]), [], memory()) is False
    assert copying.is_copied("too short to tell", [], memory()) is None


def test_what_the_conversation_itself_holds_is_no_copy():
    assert copying.is_copied(LONG, [f"you said: {LONG}"], memory()) is False


def test_addresses_and_keys_of_the_training_data_are_leaks():
    assert copying.leaked("mail jo.doe+x@example.org", [], memory()) == {"jo.doe+x@example.org"}
    assert copying.leaked("use AKIAABCDEFGHIJKLMNOP", [], memory()) == {"AKIAABCDEFGHIJKLMNOP"}
    assert copying.leaked("mail someone@else.org", [], memory()) == set()
    assert copying.leaked("mail jo.doe+x@example.org", ["I am jo.doe+x@example.org"], memory()) == set()
