import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from humanturn.conversation import Conversation, Turn
from humanturn.prepare.segment import cut
from humanturn.prepare.turns import repair
from humanturn.scaffold import Overhead

OVERHEAD = Overhead(10, {"system": 3, "user": 4, "assistant": 5})


def words(texts):
    """A tokenizer whose tokens are words."""
    return [len(text.split()) for text in texts]


def said(name, n):
    return " ".join(f"{name}.{i}" for i in range(n))


def session(lengths, first="user"):
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    return Conversation(
        id="s", messages=tuple(Turn(roles[at % 2], said(f"t{at}", n)) for at, n in enumerate(lengths)), parent_id="p"
    )


def made(conversation, max_tokens=200):
    counts = words([turn.content for turn in conversation.messages])
    return cut(conversation, counts, count=words, overhead=OVERHEAD, max_tokens=max_tokens)


def rendered(segment):
    return OVERHEAD.preface + sum(OVERHEAD.per_turn[t.role] + len(t.content.split()) for t in segment.messages)


def test_a_session_that_fits_stays_whole():
    whole = session([10, 20, 30, 40])
    (segment,) = made(whole).segments
    assert segment.messages == whole.messages
    assert (segment.id, segment.parent_id, segment.meta) == ("s", "p", {})


def test_a_later_segment_opens_with_the_answer_before_it():
    first, second = made(session([20, 60, 20, 60, 20, 60])).segments
    assert [len(first.messages), len(second.messages)] == [4, 3]
    assert second.messages[0] == first.messages[-1]
    assert second.meta == {"context_turns": 1}
    assert (first.id, second.id) == ("s#1", "s#2")
    assert first.context_turns == 0


def test_an_overlong_context_is_cut_from_its_head_and_marked():
    found = made(session([10, 150, 20, 100])).segments
    opening = found[1].messages[0].content
    assert said("t1", 150).endswith(opening)
    assert 30 <= len(opening.split()) < 150
    assert found[1].meta == {"context_turns": 1, "context_cut": True}
    assert rendered(found[1]) <= 200


def test_an_overlong_answer_is_cut_from_its_tail_and_the_human_turn_kept():
    cut_ = made(session([10, 1000, 20, 30]))
    first, second = cut_.segments
    assert said("t1", 1000).startswith(first.messages[1].content)
    assert first.meta == {"answer_cut": True}
    assert said("t1", 1000).endswith(second.messages[0].content)
    assert not cut_.losses
    assert cut_.truncated_answers == cut_.truncated_context == 1


def test_a_human_turn_too_long_for_any_segment_is_counted_and_the_talk_goes_on_from_its_answer():
    cut_ = made(session([10, 20, 500, 25, 10, 20]))
    (loss,) = cut_.losses
    assert (loss.rule, loss.turns, loss.user_turns, loss.tokens) == ("too_long", 2, 1, 525)
    assert cut_.segments[1].messages[0].content == said("t3", 25)


def test_a_session_that_opens_with_an_answer_keeps_it_as_its_own():
    (segment,) = made(session([30, 10, 20], first="assistant")).segments
    assert segment.context_turns == 0
    assert len(segment.messages) == 3


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(
    st.lists(st.one_of(st.integers(1, 60), st.integers(1, 400)), min_size=1, max_size=14),
    st.sampled_from(["user", "assistant"]),
    st.integers(120, 300),
)
def test_whatever_the_lengths_the_rules_hold(lengths, first, budget):
    whole = session(lengths, first)
    kept, _counts, _losses = repair(whole.messages, words([t.content for t in whole.messages]))
    if not any(turn.role == "user" for turn in kept):
        return
    whole = Conversation(id="s", messages=tuple(kept))
    cut_ = made(whole, budget)
    asked = [turn.content for turn in whole.messages if turn.role == "user"]
    out = [turn.content for segment in cut_.segments for turn in segment.messages if turn.role == "user"]
    assert len(out) + sum(loss.user_turns for loss in cut_.losses) == len(asked)
    assert [text for text in asked if text in out] == out
    own = sum(len(segment.messages) - segment.context_turns for segment in cut_.segments)
    assert own + sum(loss.turns for loss in cut_.losses) == len(whole.messages)
    assert sum(map(rendered, cut_.segments)) == cut_.tokens
    for segment in cut_.segments:
        roles = [turn.role for turn in segment.messages]
        assert rendered(segment) <= budget
        assert roles[-1] == "assistant"
        assert "user" in roles
        assert all(a != b for a, b in itertools.pairwise(roles))
        assert all(turn.content for turn in segment.messages)
    for segment in cut_.segments[1:]:
        assert segment.context_turns == 1
        at = whole.messages.index(next(t for t in segment.messages if t.role == "user"))
        assert whole.messages[at - 1].content.endswith(segment.messages[0].content)


def test_only_the_segment_with_the_whole_last_answer_says_that_the_session_ends_there():
    def ends(lengths, budget=200):
        given = session(lengths)
        cut_ = made(Conversation(id="s", messages=given.messages, meta={"ends": True}), budget)
        return [segment.meta.get("ends", False) for segment in cut_.segments]

    assert ends([10, 20, 30, 40]) == [True]
    assert ends([20, 60, 20, 60, 20, 60]) == [False, True]
    assert ends([20, 400]) == [False], "its last answer was cut"
    assert ends([20, 60, 400, 10]) == [False], "the last human turn fits no segment"
