import pytest
import torch

from humanturn import scaffold, template, tokens
from humanturn.conversation import Conversation, Turn
from humanturn.models import likelihood, packed, weights


def talk(number: int, turns: int, *, opens: str = "user", context: int = 0) -> Conversation:
    roles = ("user", "assistant") if opens == "user" else ("assistant", "user")
    said = tuple(
        Turn(roles[i % 2], f"turn {i} of talk {number} says {'word ' * (3 * number + i)}".strip()) for i in range(turns)
    )
    return Conversation(
        id=f"t{number}", messages=said, parent_id="s", meta={"context_turns": context} if context else {}
    )


TALKS = [talk(0, 4), talk(1, 2), talk(2, 5, opens="assistant", context=1), talk(3, 6)]


@pytest.fixture(scope="module")
def loaded(tiny):
    model, tokenizer = weights.load(tiny, attention=packed.register_attention())
    tokenizer.chat_template = scaffold.trained_template(tokenizer, "user")
    return model, tokenizer


@pytest.fixture(scope="module")
def plain(tiny):
    return weights.load(tiny)[0]


def by_hand(plain, tokenizer, conversation, role="user"):
    """Sum of -log p per turn from a plain forward pass over one conversation at a time."""
    coded = template.encode(tokenizer, conversation.messages)
    ids = torch.from_numpy(coded.ids.astype("int64"))[None]
    with torch.no_grad():
        logp = torch.log_softmax(plain(ids).logits[0].double(), -1)
    sums = {}
    for position in range(1, ids.shape[1]):
        owner = int(coded.owner[position])
        if owner >= conversation.context_turns and conversation.messages[owner].role == role:
            sums[owner] = sums.get(owner, 0.0) - float(logp[position - 1, ids[0, position]])
    return sums


def test_packed_likelihoods_equal_one_conversation_at_a_time(loaded, plain):
    rows = likelihood.score(*loaded, TALKS)
    for conversation in TALKS:
        expected = by_hand(plain, loaded[1], conversation)
        size = len(expected)
        mine, rows = rows[:size], rows[size:]
        assert {r.turn: pytest.approx(r.nll, rel=1e-5) for r in mine} == expected
    assert not rows


def test_likelihoods_do_not_depend_on_how_conversations_are_packed(loaded, monkeypatch):
    together = likelihood.score(*loaded, TALKS)
    monkeypatch.setattr(likelihood, "ROW_TOKENS", 1)
    apart = likelihood.score(*loaded, TALKS)
    assert [(r.turn, r.tokens) for r in together] == [(r.turn, r.tokens) for r in apart]
    assert [r.nll for r in together] == pytest.approx([r.nll for r in apart], rel=1e-5)


def test_changing_one_conversation_leaves_the_others_alone(loaded):
    before = likelihood.score(*loaded, TALKS)
    after = likelihood.score(*loaded, [talk(7, 4), *TALKS[1:]])
    assert [r.nll for r in before[2:]] == pytest.approx([r.nll for r in after[2:]], rel=1e-5)
    assert before[0].nll != pytest.approx(after[0].nll)


def test_carried_context_is_read_and_not_scored(loaded):
    rows = likelihood.score(*loaded, [TALKS[2]], role="assistant")
    assert [r.turn for r in rows] == [2, 4]
    assert all(not r.first for r in likelihood.score(*loaded, [TALKS[2]]))


def test_first_turns_are_those_that_open_a_session(loaded):
    rows = likelihood.score(*loaded, [TALKS[0]])
    assert [(r.turn, r.first) for r in rows] == [(0, True), (2, False)]


def test_a_role_played_user_is_scored_on_the_same_tokens(loaded, tiny):
    tokenizer = tokens.load(tiny)
    own = likelihood.score(*loaded, TALKS)
    played = likelihood.score(loaded[0], tokenizer, TALKS, prompted=template.ROLEPLAY_PREFACE)
    assert [(r.session_id, r.turn, r.tokens, r.bytes) for r in own] == [
        (r.session_id, r.turn, r.tokens, r.bytes) for r in played
    ]
