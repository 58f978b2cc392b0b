import pytest

from humanturn import scaffold, template, tokens
from humanturn.conversation import Conversation, Turn
from humanturn.errors import FormatError
from humanturn.train.masking import mask


@pytest.fixture(scope="module")
def tokenizer(smollm2):
    loaded = tokens.load(smollm2)
    loaded.chat_template = scaffold.trained_template(loaded, "user")
    return loaded


TALK = Conversation(
    id="t1",
    messages=(
        Turn("assistant", "Earlier I said bread."),
        Turn("user", "And rye?"),
        Turn("assistant", "Rye too."),
        Turn("user", "Thanks, and oats?"),
        Turn("assistant", "Oats as well, of course."),
    ),
    meta={"context_turns": 1},
)


def decoded(tokenizer, sequence):
    return tokenizer.decode(sequence.ids[sequence.trained])


def test_the_user_role_trains_user_texts_and_their_end_tokens_and_nothing_else(tokenizer):
    masked = mask(tokenizer, [TALK], role="user", max_tokens=500)
    assert decoded(tokenizer, masked.sequences[0]) == "And rye?<|im_end|>Thanks, and oats?<|im_end|>"


def test_the_assistant_role_trains_answers_but_not_the_carried_one(tokenizer):
    masked = mask(tokenizer, [TALK], role="assistant", max_tokens=500)
    assert decoded(tokenizer, masked.sequences[0]) == "Rye too.<|im_end|>Oats as well, of course.<|im_end|>"


def test_an_answer_that_preparing_had_to_cut_is_read_and_not_learned(tokenizer):
    cut = Conversation(id="t3", messages=TALK.messages, meta={"context_turns": 1, "answer_cut": True})
    masked = mask(tokenizer, [cut], role="assistant", max_tokens=500)
    assert decoded(tokenizer, masked.sequences[0]) == "Rye too.<|im_end|>"
    assert "oats" in decoded(tokenizer, mask(tokenizer, [cut], role="user", max_tokens=500).sequences[0])


def test_tokens_after_the_last_trained_one_are_cut(tokenizer):
    masked = mask(tokenizer, [TALK], role="user", max_tokens=500)
    assert masked.sequences[0].trained[-1]
    assert len(masked.sequences[0].ids) < masked.tokens


def test_a_conversation_with_nothing_to_train_is_an_error_with_its_id(tokenizer):
    silent = Conversation(id="t2", messages=(Turn("assistant", "Hello."),))
    with pytest.raises(FormatError, match="conversation t2 has no user token to train at all"):
        mask(tokenizer, [TALK, silent], role="user", max_tokens=500)


def test_a_conversation_whose_trained_turns_lie_past_the_budget_is_an_error_with_its_id(tokenizer):
    with pytest.raises(FormatError, match="t1 has no user token to train within its first 50 tokens"):
        mask(tokenizer, [TALK], role="user", max_tokens=50)


def test_a_longer_conversation_is_cut_at_the_budget_and_named(tokenizer):
    masked = mask(tokenizer, [TALK], role="user", max_tokens=65)
    assert masked.shortened == ["t1"]
    assert "oats" not in decoded(tokenizer, masked.sequences[0])


def test_a_session_that_ended_teaches_an_empty_turn_and_one_that_was_cut_does_not(tokenizer):
    ended = Conversation(id="t4", messages=TALK.messages, meta={"context_turns": 1, "ends": True})
    masked = mask(tokenizer, [ended, TALK], role="user", max_tokens=500, learn_ending=True)
    assert decoded(tokenizer, masked.sequences[0]) == "And rye?<|im_end|>Thanks, and oats?<|im_end|><|im_end|>"
    assert decoded(tokenizer, masked.sequences[1]) == "And rye?<|im_end|>Thanks, and oats?<|im_end|>"
    assert masked.endings == 1
    assert "course" in tokenizer.decode(masked.sequences[0].ids), "the answer before the ending is read"
    prompt = template.prompt_ids(tokenizer, TALK.messages)
    assert masked.sequences[0].ids[:-1].tolist() == prompt, "said where the model is asked for its next turn"


def test_endings_are_learned_only_when_asked_for(tokenizer):
    ended = Conversation(id="t4", messages=TALK.messages, meta={"context_turns": 1, "ends": True})
    assert mask(tokenizer, [ended], role="user", max_tokens=500).endings == 0
    with pytest.raises(FormatError, match="no conversation says that its session ended there"):
        mask(tokenizer, [TALK], role="user", max_tokens=500, learn_ending=True)


def with_intent(n):
    return Conversation(id=f"i{n}", messages=TALK.messages[1:3], meta={"intent": "to bake bread"})


def test_an_intent_stands_before_about_as_many_conversations_as_asked_for_and_always_the_same(tokenizer):
    talks = [with_intent(n) for n in range(100)]
    masked = mask(tokenizer, talks, role="user", max_tokens=500, intent_dropped=0.3)
    assert 55 <= masked.intents <= 85
    shown = ["to bake bread" in tokenizer.decode(s.ids) for s in masked.sequences]
    assert sum(shown) == masked.intents
    again = mask(tokenizer, talks[::-1], role="user", max_tokens=500, intent_dropped=0.3)
    assert ["to bake bread" in tokenizer.decode(s.ids) for s in again.sequences] == shown[::-1]
    assert {decoded(tokenizer, s) for s in masked.sequences} == {"And rye?<|im_end|>"}, "an intent is never learned"
    other = mask(tokenizer, talks, role="user", max_tokens=500, intent_dropped=0.3, seed=1)
    assert ["to bake bread" in tokenizer.decode(s.ids) for s in other.sequences] != shown


@pytest.mark.parametrize(("dropped", "shown"), [(0.0, 5), (1.0, 0)])
def test_all_or_no_intents_can_be_shown(tokenizer, dropped, shown):
    talks = [with_intent(n) for n in range(5)]
    assert mask(tokenizer, talks, role="user", max_tokens=500, intent_dropped=dropped).intents == shown
    assert mask(tokenizer, talks, role="assistant", max_tokens=500, intent_dropped=dropped).intents == 0
