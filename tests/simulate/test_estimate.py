import pytest

from humanturn.models.model import Sampling
from humanturn.simulate.estimate import describe, estimate, talk

SAMPLINGS = {"user": Sampling(max_tokens=100), "assistant": Sampling(max_tokens=400)}
MODELS = {"user": "embedded", "assistant": "openai:m"}


def test_a_conversation_reads_its_history_anew_for_every_reply():
    # three rounds of 10 + 20 tokens: the user reads 0, 30, 60, the assistant 10, 40, 70
    assert talk(1000, 3, 10, 20) == talk(90, None, 10, 20)
    assert talk(1000, 3, 10, 20).user == (90, 30)
    assert talk(1000, 3, 10, 20).assistant == (120, 60)


def test_the_range_goes_from_the_briefest_to_the_longest_turns_and_prices_only_what_costs():
    found = estimate(10, 2048, 2, SAMPLINGS, MODELS, {"openai:m": (1.0, 2.0)})
    low, high = found["tokens"]
    assert low < high
    longest = talk(2048, 2, 100, 400)
    assert found["usd"][1] == pytest.approx(10 * (longest.assistant[0] + 2 * longest.assistant[1]) / 1e6)
    assert "USD" in describe(found, 10)


def test_without_a_price_the_estimate_says_so():
    found = estimate(1, 2048, None, SAMPLINGS, MODELS, {})
    assert found["usd"] is None
    assert "price is unknown" in describe(found, 1)
