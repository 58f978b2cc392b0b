"""A turn in pieces is the turn."""

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanturn.models.model import Sampling
from humanturn.models.scripted import ScriptedModel
from humanturn.models.streaming import stream
from humanturn.records import Reply
from serving import Talker, write_script


def heard(model):
    async def listen():
        return [piece async for piece in stream(model, [], sampling=Sampling(), seed=0)]

    return asyncio.run(listen())


@given(st.lists(st.text(alphabet=" \n\tab\u00a0")))
def test_the_pieces_joined_are_the_reply_without_white_space_at_its_ends(pieces):
    *said, reply = heard(Talker(*pieces))
    assert "".join(said) == reply.text == "".join(pieces).strip()
    assert all(said)


def test_a_model_that_cannot_stream_says_its_turn_in_one_piece(tmp_path):
    spec = write_script(tmp_path / "s.jsonl")
    said, reply = heard(ScriptedModel(tmp_path / "s.jsonl"))
    assert said == reply.text == "How do I boil an egg?"
    assert isinstance(reply, Reply) and reply.model == spec


def test_who_stops_listening_stops_the_model():
    model = Talker("a", "b", "c")

    async def leave_early():
        async with aclosing(stream(model, [], sampling=Sampling(), seed=0)) as pieces:
            async for _ in pieces:
                break

    asyncio.run(leave_early())
    assert model.called_off == 1


def test_what_fails_in_the_middle_fails_for_who_listens():
    with pytest.raises(OSError, match="gone"):
        heard(Talker("a", error=OSError("gone")))
