import asyncio

import msgspec
import pytest

from humanturn.conversation import Turn
from humanturn.errors import EndpointError
from humanturn.models import pieces, spec, worker
from humanturn.models.model import Sampling
from humanturn.records import Reply

ASK = [Turn("user", "What is bread?")]
LONG = Sampling(temperature=1.0, max_tokens=60)


async def heard(model, sampling, seed=3):
    return [said async for said in model.stream(ASK, sampling=sampling, seed=seed)]


def run(tiny, talk):
    """The result of `talk(model)`."""

    async def whole():
        model = spec.load(f"hf:{tiny}")
        try:
            return await talk(model)
        finally:
            await model.close()

    return asyncio.run(whole())


def engine_of(tiny):
    return worker._loaded[tiny.resolve()].engine


def test_a_stream_is_the_reply_in_pieces(tiny):
    async def talk(model):
        sampling = Sampling(temperature=1.0, max_tokens=40)
        return await heard(model, sampling), await model.reply(ASK, sampling=sampling, seed=3)

    (*said, last), whole = run(tiny, talk)
    assert len(said) > 5
    assert "".join(said).strip() == last.text == whole.text
    assert (last.completion_tokens, last.finish_reason) == (whole.completion_tokens, whole.finish_reason)


def test_a_stop_string_stops_the_writing_itself(tiny):
    async def talk(model):
        free = await model.reply(ASK, sampling=LONG, seed=3)
        stop = free.text[20:24]
        sampling = msgspec.structs.replace(LONG, stop=(stop,))
        return free, stop, await model.reply(ASK, sampling=sampling, seed=3), await heard(model, sampling)

    free, stop, cut, (*said, last) = run(tiny, talk)
    assert cut.text == free.text[: free.text.find(stop)].strip()
    assert cut.finish_reason == "stop"
    assert cut.completion_tokens < 30 < free.completion_tokens
    assert "".join(said).strip() == last.text == cut.text


def test_no_token_is_read_or_written_beyond_the_models_context(tiny):
    """`tiny` has 1,024 positions."""
    long = [Turn("user", "bread " * 990)]

    async def write(model):
        reply = await model.reply(long, sampling=LONG, seed=3)
        assert reply.prompt_tokens + reply.completion_tokens <= 1024
        assert reply.prompt_tokens + LONG.max_tokens > 1024
        with pytest.raises(EndpointError, match=r"leave no room in a context of 1,024") as error:
            await model.reply([Turn("user", "bread " * 1100)], sampling=LONG, seed=3)
        assert error.value.of_request

    run(tiny, write)


def test_giving_up_on_a_reply_or_a_stream_frees_its_place_and_disturbs_nobody(tiny):
    async def talk(model):
        alone = await model.reply(ASK, sampling=LONG, seed=5)
        endless = Sampling(temperature=1.0, max_tokens=100_000)
        tasks = [asyncio.create_task(model.reply(ASK, sampling=endless, seed=s)) for s in range(4)]
        stream = model.stream(ASK, sampling=endless, seed=9)
        await anext(stream)
        company = asyncio.create_task(model.reply(ASK, sampling=LONG, seed=5))
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        await stream.aclose()
        said = await company
        while engine_of(tiny).asked:  # would never come to an end if a place were still taken
            await asyncio.sleep(0.01)
        return alone, said, await asyncio.gather(*tasks, return_exceptions=True)

    alone, said, cancelled = run(tiny, talk)
    assert said.text == alone.text
    assert all(isinstance(error, asyncio.CancelledError) for error in cancelled)


def test_roles_that_name_one_folder_share_its_weights_until_the_last_lets_go(tiny):
    async def talk(user):
        assistant = spec.load(f"hf:{tiny}")
        await asyncio.gather(*(m.reply(ASK, sampling=Sampling(max_tokens=2), seed=0) for m in (user, assistant)))
        engine = engine_of(tiny)
        await assistant.close()
        await user.reply(ASK, sampling=Sampling(max_tokens=2), seed=0)
        assert engine_of(tiny) is engine

    run(tiny, talk)
    assert tiny.resolve() not in worker._loaded


def test_a_conversation_through_both_sides_reads_its_history_once(tiny):
    async def talk(model):
        sides = ("assistant", "user") * 3
        turns = [*ASK, *(Turn(side, f"I said number {n}, and it was a long one.") for n, side in enumerate(sides))]
        await model.reply(turns, sampling=Sampling(temperature=0, max_tokens=4), seed=0)
        before = engine_of(tiny).tokens_read
        more = [*turns, Turn("user", "And butter?")]
        reply = await model.reply(more, sampling=Sampling(temperature=0, max_tokens=4), seed=0)
        return reply.prompt_tokens, engine_of(tiny).tokens_read - before

    prompt_tokens, tokens_read = run(tiny, talk)
    assert tokens_read < 30 < 100 < prompt_tokens


def test_a_failure_reaches_everyone_who_waits_and_the_model_goes_on(tiny):
    async def talk(model):
        await model.reply(ASK, sampling=Sampling(max_tokens=2), seed=0)
        read = engine_of(tiny).reader
        asked = [asyncio.create_task(model.reply(ASK, sampling=LONG, seed=s)) for s in range(3)]
        asked.append(asyncio.create_task(heard(model, LONG)))
        await asyncio.sleep(0)
        good, read.read = read.read, None  # the accelerator is gone, say
        failed = await asyncio.gather(*asked, return_exceptions=True)
        read.read = good
        return failed, await model.reply(ASK, sampling=Sampling(max_tokens=2), seed=0)

    failed, reply = run(tiny, talk)
    assert [type(error) for error in failed] == [TypeError] * 4
    assert isinstance(reply, Reply)


def test_two_models_take_turns_and_neither_starves(tiny, tmp_path):
    import shutil

    other = tmp_path / "other"
    shutil.copytree(tiny, other)

    async def talk(model):
        rival = spec.load(f"hf:{other}")
        crowd = [
            asyncio.create_task(model.reply(ASK, sampling=Sampling(1.0, max_tokens=100_000), seed=s)) for s in range(9)
        ]
        await asyncio.sleep(0.05)
        reply = await rival.reply(ASK, sampling=Sampling(max_tokens=20), seed=0)
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
        await rival.close()
        return reply

    assert run(tiny, talk).completion_tokens == 20


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("One two", ("END",), "One two"),
        ("One E", ("END",), "One "),
        ("One EN", ("END", "NO"), "One "),
        ("caf\ufffd", (), "caf"),
        ("One EN\ufffd", ("END",), "One "),
    ],
)
def test_only_text_that_stays_is_told(text, stops, expected):
    assert pieces.settled(text, stops) == expected


def test_the_first_stop_string_cuts():
    assert pieces.cut("a STOP b END", ("END", "STOP")) == "a "
    assert pieces.cut("a b", ("END", "")) is None
