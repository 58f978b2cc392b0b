import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanturn.analyze import lexical

SHAREGPT = Path(__file__).parents[2] / ".." / "shared" / "data" / "sharegpt" / "sharegpt_700.json"
TEXTS = st.text(st.sampled_from("abcdeABE   \n\t\x1c\xa0-–—.,'0129éß"), max_size=400)


def peer(text: str):
    richness = pytest.importorskip("lexicalrichness").LexicalRichness(text)
    return richness if richness.words else None


@pytest.mark.skipif(not SHAREGPT.exists(), reason="the ShareGPT sample is not beside this checkout")
def test_mtld_is_lexicalrichness_s_on_every_human_turn_of_real_conversations():
    turns = [t["value"] for c in json.loads(SHAREGPT.read_text()) for t in c["conversations"] if t["from"] == "human"]
    assert len(turns) > 2000
    for turn in turns:
        theirs = peer(turn)
        ours = lexical.mtld(turn)
        assert math.isnan(ours) if theirs is None else ours == pytest.approx(theirs.mtld(0.72), abs=1e-9), turn[:100]


@given(TEXTS)
def test_measures_are_lexicalrichness_s_on_any_text(text):
    theirs = peer(text)
    if theirs is None:
        assert math.isnan(lexical.mtld(text))
        return
    words = lexical.words(text)
    assert words == theirs.wordlist
    assert lexical.mtld(text) == pytest.approx(theirs.mtld(0.72), abs=1e-9)
    assert lexical.yules_k(words) == pytest.approx(theirs.yulek, abs=1e-6)
    if len(words) >= 10:
        assert lexical.mattr(words, window=10) == pytest.approx(theirs.mattr(10), abs=1e-12)
        assert lexical.hdd(words, draws=10) == pytest.approx(theirs.hdd(10), abs=1e-9)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=120), st.floats(0.3, 0.95))
def test_stretches_counted_in_c_are_those_counted_in_python(words, threshold):
    compiled = pytest.importorskip("humanturn.analyze._stretches")
    assert compiled.both_ways(words, threshold) == lexical.both_ways_in_python(words, threshold)


def test_what_is_no_list_of_words_is_refused_by_the_compiled_stretches():
    compiled = pytest.importorskip("humanturn.analyze._stretches")
    with pytest.raises(TypeError):
        compiled.both_ways(("a", "b"), 0.72)
    with pytest.raises(TypeError):
        compiled.both_ways([["unhashable"]], 0.72)


def test_mtld_of_the_worked_example_by_hand():
    # Forward: "a b a" has ratio 2/3 <= 0.72 at word 3, then "b c" stays at 1: one factor and nothing, 5 / 1.
    # Backward: "c b a" stays at 1, word 4 repeats b: 3/4, word 5 repeats a: 3/5 <= 0.72: one factor, 5 / 1.
    assert lexical.mtld("a b a b c") == 5.0


def test_a_threshold_met_exactly_ends_a_stretch():
    # 18 different words among 25 are 0.72, which is not above it.
    text = " ".join([*"abcdefghijklmnopqr", *"abcdefg"])
    assert len(lexical.words(text)) == 25
    assert lexical.mtld(text) == pytest.approx(peer(text).mtld(0.72), abs=1e-12)


def test_words_that_are_all_different_count_themselves():
    assert lexical.mtld("one two three four") == 4.0


def test_mattr_by_hand():
    # Windows of 3: aab 2/3, abc 3/3, bcc 2/3.
    assert lexical.mattr(list("aabcc"), window=3) == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)
    assert math.isnan(lexical.mattr(list("ab"), window=3))


def test_hdd_by_hand():
    # Of a, a, b, two are drawn: a is never missed (only one word is not a), b with (2 choose 2) / (3 choose 2).
    assert lexical.hdd(list("aab"), draws=2) == pytest.approx((1 + (1 - 1 / 3)) / 2)
    assert math.isnan(lexical.hdd(list("a" * 41)))


def test_yules_k_by_hand():
    # Frequencies 3, 2, 1 of 6 words: 1e4 * (9 + 4 + 1 - 6) / 36.
    assert lexical.yules_k(list("aaabbc")) == pytest.approx(1e4 * 8 / 36)
    assert lexical.yules_k(list("abc")) == 0


@pytest.mark.parametrize("text", ["", "   ", "1234 5678", "... !!!", "—–-"])
def test_texts_without_words_have_no_diversity(text):
    assert math.isnan(lexical.mtld(text))


def test_lone_surrogates_do_not_stop_the_count():
    assert lexical.words("a \ud800 b") == ["a", "\ud800", "b"]
