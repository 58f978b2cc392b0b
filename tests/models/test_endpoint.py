"""What an endpoint may be asked, by a clock that the test moves."""

import math

import pytest

from humanturn.errors import EndpointError
from humanturn.models.endpoint import TRIP, Endpoint, Rate

BUSY = EndpointError("busy", passing=True, status=429, retry_after=7)
DOWN = EndpointError("down", passing=True, status=500)


def asked(endpoint, times=1):
    for _ in range(times):
        endpoint.begin(0)


def test_a_rate_lets_a_burst_through_and_then_so_many_a_minute():
    rate, now, passed = Rate(60), 0.0, []
    while now < 120:
        now += rate.wait(1, now)
        rate.take(1)
        passed.append(now)
    assert sum(at < 60 for at in passed) <= 60 + 6
    assert all(sum(t <= at < t + 60 for at in passed) <= 66 for t in passed)


def test_more_than_a_burst_waits_for_a_full_one_and_runs_into_debt():
    rate = Rate(600)  # ten a second, bursts of sixty
    assert rate.wait(200, 0.0) == 0
    rate.take(200)
    assert rate.wait(1, 0.0) == pytest.approx(14.1)


def test_an_endpoint_takes_no_more_at_once_than_it_may():
    endpoint = Endpoint(None, concurrency=2)
    asked(endpoint, 2)
    assert math.isinf(endpoint.wait(0, 0.0))
    endpoint.leave(0)
    assert endpoint.wait(0, 0.0) == 0


def test_after_429_nobody_asks_until_it_said_so_and_then_half_as_many_at_once():
    endpoint = Endpoint(None)
    asked(endpoint, 8)
    for _ in range(8):  # those in flight together are all refused, and count once
        endpoint.failed(BUSY, 100.0)
    for _ in range(8):
        endpoint.leave(0)
    assert endpoint.wait(0, 100.0) == pytest.approx(7)
    assert endpoint.wait(0, 107.0) == 0
    asked(endpoint, 4)
    assert math.isinf(endpoint.wait(0, 107.0))
    for _ in range(40):
        endpoint.served()
    assert endpoint.wait(0, 107.0) == 0, "what it serves widens the window again"


def test_after_failures_in_a_row_it_is_left_alone_then_probed_by_one_request():
    endpoint = Endpoint(None)
    for _ in range(TRIP):
        assert endpoint.wait(0, 0.0) == 0
        endpoint.failed(DOWN, 0.0)
    rest = endpoint.wait(0, 0.0)
    assert rest > 0
    assert endpoint.wait(0, rest) == 0
    asked(endpoint)
    assert math.isinf(endpoint.wait(0, rest)), "one request probes; the others wait for what becomes of it"
    endpoint.failed(DOWN, rest)
    endpoint.leave(0)
    longer = endpoint.wait(0, rest)
    assert longer > rest, "it rests longer each time"
    asked(endpoint)
    endpoint.served()
    endpoint.leave(0)
    assert endpoint.wait(0, rest) == 0


def test_one_success_between_failures_keeps_it_in_service():
    endpoint = Endpoint(None)
    for _ in range(3 * TRIP):
        for _ in range(TRIP - 1):
            endpoint.failed(DOWN, 0.0)
        endpoint.served()
    assert endpoint.wait(0, 0.0) == 0
