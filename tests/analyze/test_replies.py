import asyncio

import pytest

from humanturn.analyze import replies
from humanturn.conversation import Conversation, Turn
from humanturn.errors import EndpointError
from humanturn.models.model import Sampling
from humanturn.records import Reply


class Echo:
    """Says how many turns it was shown; breaks down at the n-th question when told to."""

    name = "echo"

    def __init__(self, fails_at=None):
        self.asked, self.fails_at, self.shown, self.closed = 0, fails_at, [], False

    async def reply(self, messages, *, sampling, seed):
        self.asked += 1
        if self.asked == self.fails_at:
            raise EndpointError("out of order")
        await asyncio.sleep(0)
        self.shown.append(tuple(messages))
        return Reply(f"{len(messages)} turns, seed {seed}", self.name, 1, 1, "stop")

    async def close(self):
        self.closed = True


def talk(id_, rounds, context=0):
    turns = [turn for n in range(rounds) for turn in (Turn("user", f"q{n}"), Turn("assistant", f"a{n}"))]
    return Conversation(id=id_, messages=tuple(turns), meta={"context_turns": context} if context else {})


WHERE = replies.places([talk("a", 2), talk("b", 5), talk("c", 3, context=2)], per_session=3)


def ask(model, path, **more):
    return replies.ask(model, WHERE, path, sampling=Sampling(), seed=3, **{"roleplay": False, **more})


def test_places_are_the_first_human_turns_of_each_session():
    assert [place.id for place in WHERE] == ["a/0", "a/2", "b/0", "b/2", "b/4", "c/2", "c/4"]
    assert [place.first for place in WHERE] == [True, False, True, False, False, False, False]
    assert WHERE[3].said == "q1"
    assert WHERE[3].before == (Turn("user", "q0"), Turn("assistant", "a0"))


def test_a_model_is_shown_what_had_been_said_and_never_the_answer(tmp_path):
    model = Echo()
    ask(model, tmp_path / "said.jsonl")
    expected = [place.before or replies.NOTHING_SAID for place in WHERE]
    assert sorted(model.shown, key=str) == sorted(expected, key=str)
    assert model.closed


def test_the_baseline_is_told_to_play_the_user(tmp_path):
    model = Echo()
    ask(model, tmp_path / "said.jsonl", roleplay=True)
    assert all(shown[0].role == "system" for shown in model.shown)
    assert all(shown[-1].role == "user" for shown in model.shown)


def test_what_was_said_is_not_asked_again(tmp_path):
    path = tmp_path / "said.jsonl"
    whole = ask(Echo(), tmp_path / "whole.jsonl")
    with pytest.raises(EndpointError, match="out of order"):
        ask(Echo(fails_at=5), path, concurrency=1)
    with path.open("ab") as file:
        file.write(b'{"place": "torn')
    second = Echo()
    assert ask(second, path) == whole
    assert second.asked == len(WHERE) - 4
