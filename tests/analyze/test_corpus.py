from pathlib import Path

import pytest

from humanturn import formats
from humanturn.analyze import corpus
from humanturn.conversation import Conversation, Turn

SHAREGPT = Path(__file__).parents[2] / ".." / "shared" / "data" / "sharegpt" / "sharegpt_700.json"


def count(texts):
    return [len(text.split()) for text in texts]


def talk(id_, *words, parent=None, context=0):
    roles = ("user", "assistant") if context % 2 == 0 else ("assistant", "user")
    turns = tuple(Turn(roles[n % 2], " ".join(["w"] * k)) for n, k in enumerate(words))
    meta = {"context_turns": context} if context else {}
    return Conversation(id=id_, messages=turns, parent_id=parent, meta=meta)


def test_figures_of_two_sessions_by_hand():
    row = corpus.measure(corpus.sessions([talk("a", 2, 8), talk("b", 4, 10, 6, 10)], count))
    values = {key: measurement.value for key, measurement in row.items()}
    assert values["rounds"] == 1.5
    assert values["session_tokens"] == 20
    assert values["utterance_tokens"] == pytest.approx(40 / 6)
    assert values["user_turn_tokens"] == 4
    assert values["assistant_turn_tokens"] == pytest.approx(28 / 3)
    assert values["user_token_share"] == pytest.approx(12 / 40)
    assert row["rounds"].n == 2


def test_segments_of_a_session_are_one_session_and_context_is_counted_once():
    whole = corpus.sessions([talk("s", 3, 7, 5, 9)], count)
    cut = corpus.sessions([talk("s_0", 3, 7, parent="s"), talk("s_1", 7, 5, 9, parent="s", context=1)], count)
    assert cut == whole


def test_intervals_narrow_with_more_sessions():
    def width(n):
        found = corpus.measure(corpus.sessions([talk(str(i), 1 + i % 7, 5) for i in range(n)], count))["session_tokens"]
        return found.high - found.low

    assert width(400) < width(40) / 2


def test_columns_that_cannot_be_had_are_absent():
    row = corpus.measure(corpus.sessions([Conversation(id="x", messages=(Turn("assistant", "hi"),))], count))
    assert "user_turn_tokens" not in row
    assert "mtld" not in row
    assert row["rounds"].value == 0


@pytest.mark.skipif(not SHAREGPT.exists(), reason="the ShareGPT sample is not beside this checkout")
def test_a_fifth_of_the_words_of_real_conversations_are_the_user_s():
    found = corpus.sessions(formats.read_conversations(SHAREGPT), count)
    row = corpus.measure(found)
    assert 670 <= len(found) <= 695
    assert 0.17 < row["user_token_share"].value < 0.24
    assert row["user_token_share"].low < row["user_token_share"].value < row["user_token_share"].high
