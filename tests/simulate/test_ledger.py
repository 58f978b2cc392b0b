"""The ledger alone, with a model whose costs the test decides."""

import asyncio

import pytest

from humanturn.conversation import Turn
from humanturn.errors import EndpointError
from humanturn.models.model import Sampling
from humanturn.models.spending import Cap, Spending, most_tokens
from humanturn.records import Reply
from humanturn.simulate.ledger import Ledger, Stopped

ASKED = [Turn("user", "héllo")]
SAMPLING = Sampling(max_tokens=100)
MOST = most_tokens(ASKED) + 100


class Model:
    """Takes a moment, then uses up to the most it may."""

    name = "openai:m"

    def __init__(self, uses=lambda: (most_tokens(ASKED), 100)):
        self.uses, self.asked, self.at_once, self.most_at_once = uses, 0, 0, 0

    async def reply(self, messages, *, sampling, seed):
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return Reply("ok", self.name, *self.uses(), "stop")

    async def close(self):
        pass


def ledger(cap, lost=None):
    return Ledger(Spending(Cap(tokens=cap), {}, ()), (lost if lost is not None else []).append)


async def ask_many(counted, times):
    calls = [counted.reply(ASKED, sampling=SAMPLING, seed=n) for n in range(times)]
    return await asyncio.gather(*calls, return_exceptions=True)


def test_a_prompt_is_held_back_by_its_bytes():
    assert most_tokens([Turn("user", "héllo")]) - most_tokens([Turn("user", "")]) == 6


def test_calls_at_once_are_as_many_as_the_cap_could_pay_and_the_rest_never_begins():
    book, model = ledger(5 * MOST + 1), Model()
    said = asyncio.run(ask_many(book.counted(model), 20))
    assert model.most_at_once == 5
    assert model.asked == 5
    assert sum(isinstance(one, Stopped) for one in said) == 15
    assert "raise --budget" in str(book.stopped)


def test_what_a_call_did_not_use_pays_for_others():
    book, model = ledger(2 * MOST), Model(uses=lambda: (1, 1))
    said = asyncio.run(ask_many(book.counted(model), 30))
    assert all(isinstance(one, Reply) for one in said)
    assert model.most_at_once == 2
    assert book.spending.tokens == 60


def test_a_failed_call_that_may_be_charged_is_counted_at_the_most_it_can_be():
    lost = []
    book = ledger(None, lost)

    class Cut(Model):
        async def reply(self, messages, *, sampling, seed):
            raise EndpointError("cut off" if seed else "refused", passing=True, perhaps_paid=bool(seed))

    asyncio.run(ask_many(book.counted(Cut()), 2))
    assert book.spending.tokens == MOST
    assert [(one.cause, one.prompt_tokens + one.completion_tokens) for one in lost] == [("cut off", MOST)]
    assert book.in_flight == book.spending.held_tokens == 0


def test_a_call_dropped_on_its_way_is_on_record():
    lost = []
    book = ledger(None, lost)

    async def drop():
        call = asyncio.create_task(book.counted(Model()).reply(ASKED, sampling=SAMPLING, seed=0))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(drop())
    assert [one.cause for one in lost] == ["openai:m: dropped while it was answering"]


def test_a_server_that_adds_more_to_prompts_than_was_held_back_gets_more_room():
    book = ledger(20 * MOST)
    model = Model(uses=lambda: (most_tokens(ASKED) + 50, 1))

    async def twice():
        counted = book.counted(model)
        await counted.reply(ASKED, sampling=SAMPLING, seed=0)
        return await book.hold(model.name, ASKED, SAMPLING)

    assert asyncio.run(twice()).prompt_tokens == most_tokens(ASKED) + 50


def test_room_for_a_servers_template_is_what_one_call_came_to_however_many_were_under_way():
    book = ledger(10**6)
    model = Model(uses=lambda: (most_tokens(ASKED) + 1000, 1))
    said = asyncio.run(ask_many(book.counted(model), 300))
    assert all(isinstance(one, Reply) for one in said)
    assert asyncio.run(book.hold(model.name, ASKED, SAMPLING)).prompt_tokens == most_tokens(ASKED) + 1000


def test_a_stopped_ledger_lets_calls_under_way_finish_and_none_begin():
    book, model = ledger(None), Model()

    async def stop_in_the_middle():
        counted = book.counted(model)
        call = asyncio.create_task(counted.reply(ASKED, sampling=SAMPLING, seed=0))
        await asyncio.sleep(0)
        book.stop(KeyboardInterrupt())
        with pytest.raises(Stopped):
            await counted.reply(ASKED, sampling=SAMPLING, seed=1)
        return await call

    assert asyncio.run(stop_in_the_middle()).text == "ok"
    assert model.asked == 1
