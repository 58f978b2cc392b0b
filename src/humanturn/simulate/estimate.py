"""What a simulation will take, as a range, before it begins."""

from collections.abc import Mapping
from typing import Any

import msgspec

from humanturn.models.model import Sampling
from humanturn.models.spending import Prices, cost

SHORT_USER, SHORT_ANSWER = 12, 40
"""Tokens of a turn in the briefest of conversations; the longest have turns as long as they may be."""


class Talk(msgspec.Struct, frozen=True):
    """The size of one conversation of a user and an assistant."""

    user: tuple[int, int]
    """Prompt tokens and completion tokens of the user's replies."""
    assistant: tuple[int, int]


def talk(context: int, rounds: int | None, user: int, answer: int) -> Talk:
    """A conversation of turns of `user` and `answer` tokens, until the context or the rounds are full.

    Every reply reads the whole conversation before it anew: that, not the writing, is most of the bill.
    """
    said = read_by_user = read_by_assistant = done = 0
    while said + user <= context and done != rounds:
        read_by_user += said
        read_by_assistant += said + user
        said += user + answer
        done += 1
    return Talk((read_by_user, done * user), (read_by_assistant, done * answer))


def estimate(
    count: int,
    context: int,
    rounds: int | None,
    samplings: Mapping[str, Sampling],
    models: Mapping[str, str],
    prices: Prices,
) -> dict[str, Any]:
    """Fewest and most tokens and dollars that `count` conversations will take, redraws not counted.

    Args:
        count: conversations.
        context: tokens that end one.
        rounds: rounds that end one; None for no limit.
        samplings: of `user` and `assistant`; they say how long a turn may be.
        models: SPEC of `user` and `assistant` (of a pool: its dearest endpoint).
        prices: by SPEC.

    Returns:
        `tokens` and `usd`, each `[fewest, most]`; `usd` is None where a price is unknown.
    """
    longest = {role: min(sampling.max_tokens, context) for role, sampling in samplings.items()}
    talks = [
        talk(context, rounds, user, answer)
        for user in (min(SHORT_USER, longest["user"]), longest["user"])
        for answer in (min(SHORT_ANSWER, longest["assistant"]), longest["assistant"])
    ]
    tokens = [count * (sum(t.user) + sum(t.assistant)) for t in talks]
    paid = [_usd(t, models, prices) for t in talks]
    usd = None if None in paid else [count * (p or 0.0) for p in paid]
    return {"tokens": [min(tokens), max(tokens)], "usd": usd and [min(usd), max(usd)]}


def describe(found: Mapping[str, Any], count: int) -> str:
    """The estimate as one line."""
    low, high = found["tokens"]
    said = f"estimate for {count:,} conversations: {_many(low)} to {_many(high)} tokens"
    if found["usd"] is None:
        return said + "; a price is unknown (add it to prices)"
    return said + (f", {found['usd'][0]:,.2f} to {found['usd'][1]:,.2f} USD" if found["usd"][1] else "")


def _usd(size: Talk, models: Mapping[str, str], prices: Prices) -> float | None:
    parts = [cost(models["user"], *size.user, prices), cost(models["assistant"], *size.assistant, prices)]
    return None if None in parts else sum(part or 0.0 for part in parts)


def _many(tokens: float) -> str:
    return f"{tokens / 1e6:,.1f}M" if tokens >= 1e6 else f"{tokens / 1e3:,.0f}k" if tokens >= 1e4 else f"{tokens:,.0f}"
