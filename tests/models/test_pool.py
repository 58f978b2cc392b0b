"""Pools over real servers on loopback."""

import asyncio
from collections import Counter

import pytest
import yaml

from chat_server import chat_server
from humanturn.conversation import Turn
from humanturn.errors import EndpointError, ModelError
from humanturn.models import endpoint, pool, spec
from humanturn.models.endpoint import Endpoint
from humanturn.models.model import Sampling
from humanturn.models.patience import ask
from humanturn.models.pool import Pool
from humanturn.records import Reply

SAMPLING = Sampling(max_tokens=64)
DEAD = "openai:m@http://127.0.0.1:9/v1"


def written(path, *endpoints, **more):
    path.write_text(yaml.safe_dump({"endpoints": list(endpoints)} | more))
    return f"pool:{path}"


def replies(name, times, *, at_once=True, retries=4, timeout_s=None):
    """`times` replies of the model that `name` names, and the endpoints they came from."""

    async def all_of_them():
        model = pool.load(name, timeout_s=timeout_s)
        calls = [ask(model, [Turn("user", f"hello {n}")], SAMPLING, n, retries=retries) for n in range(times)]
        try:
            return await asyncio.gather(*calls) if at_once else [await call for call in calls]
        finally:
            await model.close()

    found = asyncio.run(all_of_them())
    return found, Counter(reply.model for reply in found)


def test_each_endpoint_gets_its_weights_share_and_a_reply_names_who_gave_it(tmp_path):
    with chat_server() as one, chat_server() as other:
        name = written(tmp_path / "p.yaml", {"spec": one.spec, "weight": 3}, {"spec": other.spec})
        _, given = replies(name, 40, at_once=False)
        assert given == {one.spec: 30, other.spec: 10}
        assert sum(one.paid.values()) == 30


def test_no_endpoint_is_asked_more_at_once_than_it_may(tmp_path):
    with chat_server(latency=0.02) as one, chat_server(latency=0.02) as other:
        name = written(tmp_path / "p.yaml", {"spec": one.spec, "concurrency": 3}, {"spec": other.spec})
        _, given = replies(name, 60)
        assert given.keys() == {one.spec, other.spec}
        assert one.most_in_flight <= 3


def test_a_dead_endpoint_costs_the_others_nothing(tmp_path):
    with chat_server(latency=0.005) as alive:
        name = written(tmp_path / "p.yaml", {"spec": DEAD, "weight": 5}, {"spec": alive.spec})
        _, given = replies(name, 40, retries=12)
        assert given == {alive.spec: 40}


def test_an_endpoint_with_a_wrong_key_is_left_out_and_alone_it_says_why(tmp_path):
    with chat_server(faults=1.0, kinds=("401",)) as locked, chat_server() as other:
        name = written(tmp_path / "p.yaml", {"spec": locked.spec}, {"spec": other.spec})
        _, given = replies(name, 20, at_once=False)
        assert given == {other.spec: 20}
        assert len(locked.requests) == 1
        with pytest.raises(EndpointError, match="HTTP 401"):
            replies(locked.spec, 5)


def test_while_everybody_rests_a_request_fails_with_the_last_cause_and_when_to_come_back(tmp_path):
    with pytest.raises(EndpointError, match="nothing answers there"):
        replies(written(tmp_path / "p.yaml", {"spec": DEAD}, {"spec": DEAD.replace("m@", "n@")}), 12, retries=1)


def test_a_hedged_request_takes_the_first_reply_of_two(tmp_path):
    with chat_server(faults=1.0, kinds=("hung",)) as slow, chat_server() as quick:
        ends = {"spec": slow.spec, "weight": 9}, {"spec": quick.spec}
        _, given = replies(written(tmp_path / "p.yaml", *ends, hedge_after=0.05), 3, at_once=False)
        assert given == {quick.spec: 3}
        assert slow.requests


class Told:
    """A model that does at each call what the test says."""

    def __init__(self, name, *does):
        self.name, self.does, self.asked = name, list(does), 0

    async def reply(self, messages, *, sampling, seed):
        self.asked += 1
        does = self.does.pop(0) if self.does else None
        if isinstance(does, asyncio.Event):
            await does.wait()
        elif does is not None:
            raise does
        return Reply("ok", self.name, 1, 1, "stop")

    async def close(self):
        pass


def refused(status, **more):
    return EndpointError(f"HTTP {status}", passing=True, status=status, **more)


async def asked(model, times=1, retries=6):
    calls = [ask(model, [Turn("user", "hello")], SAMPLING, n, retries=retries) for n in range(times)]
    return await asyncio.wait_for(asyncio.gather(*calls), 30)


def test_a_429_after_a_rest_is_waited_for_and_costs_no_retries(monkeypatch):
    monkeypatch.setattr(endpoint, "FIRST_REST_S", 0.05)
    model = Told("m", *[refused(503)] * endpoint.TRIP, refused(429, retry_after=0.3))
    found = asyncio.run(asked(Pool("m", [Endpoint(model)]), times=endpoint.TRIP, retries=2))
    assert len(found) == endpoint.TRIP
    assert model.asked == 2 * endpoint.TRIP + 1


def test_of_two_replies_in_the_same_moment_the_one_that_nobody_gets_is_told():
    async def both():
        now = asyncio.Event()
        spare = []
        one, other = Told("one", now), Told("other", now)
        hedged = Pool("p", [Endpoint(one), Endpoint(other)], 0.01, spare.append)
        asyncio.get_running_loop().call_later(0.1, now.set)
        (reply,) = await asked(hedged)
        return one.asked, other.asked, {reply.model, *(unused.model for unused in spare)}, len(spare)

    assert asyncio.run(both()) == (1, 1, {"one", "other"}, 1)


def test_a_quick_reply_is_not_hedged_and_not_told_twice():
    spare = []
    hedged = Pool("p", [Endpoint(Told("one")), Endpoint(Told("other"))], 1.0, spare.append)
    assert len(asyncio.run(asked(hedged, 4))) == 4
    assert not spare


def test_hedges_that_find_no_place_stand_in_nobodys_way():
    async def crowd():
        hung = asyncio.Event()
        wide, narrow = Told("wide", *[hung] * 10), Told("narrow", *[hung] * 20)
        hedged = Pool("p", [Endpoint(wide, concurrency=20, weight=20), Endpoint(narrow, concurrency=1)], 0.02)
        waiting = [asyncio.create_task(asked(hedged)) for _ in range(11)]
        await asyncio.sleep(0.1)
        (quick,) = await asyncio.wait_for(asked(hedged), 5)
        hung.set()
        await asyncio.gather(*waiting)
        return quick.model

    assert asyncio.run(crowd()) == "wide"


def test_a_pool_serves_wherever_a_spec_is_taken(tmp_path):
    with chat_server() as server:
        model = spec.load(written(tmp_path / "p.yaml", {"spec": server.spec}))

        async def once():
            try:
                return await model.reply([Turn("user", "hello")], sampling=SAMPLING, seed=1)
            finally:
                await model.close()

        assert asyncio.run(once()).text.startswith("Tell me about")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("endpoints: []", "endpoints: tuple should have at least 1 item"),
        ("endpoints: [{spec: a, wieght: 2}]", r"endpoints.0.wieght: extra inputs are not permitted"),
        ("endpoints: [{spec: a, weight: 0}]", r"endpoints.0.weight: input should be greater than 0"),
        ("endpoints: [", "is not YAML"),
    ],
)
def test_a_malformed_pool_file_is_named_with_its_key(tmp_path, text, said):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ModelError, match=said):
        spec.load(f"pool:{tmp_path / 'p.yaml'}")


def test_a_pool_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match="no pool file can be read there"):
        spec.load(f"pool:{tmp_path / 'none.yaml'}")


def test_an_endpoint_may_have_a_key_of_its_own(tmp_path, monkeypatch):
    monkeypatch.delenv("OTHER_KEY", raising=False)
    with chat_server() as server:
        name = written(tmp_path / "p.yaml", {"spec": server.spec, "key": "OTHER_KEY"})
        with pytest.raises(ModelError, match="export OTHER_KEY"):
            pool.load(name)
        monkeypatch.setenv("OTHER_KEY", "sk-other")
        replies(name, 1)
        assert server.keys_seen == {"Bearer sk-other"}
