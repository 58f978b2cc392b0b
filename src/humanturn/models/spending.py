"""What replies cost, and caps on it."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from humanturn.conversation import Turn
from humanturn.errors import BudgetReachedError, InputError

Prices = Mapping[str, tuple[float, float]]
"""US dollars for a million prompt tokens and a million completion tokens, by model SPEC."""

_CAP = re.compile(r"(\d+(?:\.\d+)?)\s*(usd|tok|ktok|mtok)", re.IGNORECASE)
_TOKENS = {"tok": 1, "ktok": 1_000, "mtok": 1_000_000}


class Cap(msgspec.Struct, frozen=True):
    """The most that may be spent: dollars, tokens, or (both None) whatever it takes."""

    usd: float | None = None
    tokens: float | None = None


def parse_cap(text: str | None) -> Cap:
    """`5usd`, `2Mtok`, `300ktok`; None is no cap.

    Raises:
        InputError: anything else.
    """
    if text is None:
        return Cap()
    match = _CAP.fullmatch(text.strip())
    if not match or not float(match[1]):
        raise InputError(f"budget {text!r} is no cap; write it as 5usd or 2Mtok")
    amount, unit = float(match[1]), match[2].lower()
    return Cap(usd=amount) if unit == "usd" else Cap(tokens=amount * _TOKENS[unit])


def price(spec: str, prices: Prices) -> tuple[float, float] | None:
    """Dollars per million prompt and completion tokens; nothing for models in this process, None when unknown."""
    return prices.get(spec, None if spec.startswith(("openai:", "pool:")) else (0.0, 0.0))


PREFACE_TOKENS, HEADER_TOKENS = 256, 16
"""Room for what a server's chat template adds to a prompt and to each of its turns."""


def most_tokens(messages: Sequence[Turn]) -> int:
    """The most tokens that `messages` can be as a prompt, whosever tokenizer counts them.

    A token of any byte-level or byte-fallback tokenizer stands for one byte of text or more.
    """
    texts = (turn.content for turn in messages)
    size = sum(len(text) if text.isascii() else len(text.encode()) for text in texts)
    return PREFACE_TOKENS + HEADER_TOKENS * len(messages) + size


class Call(msgspec.Struct, frozen=True):
    """The most a call can take."""

    spec: str
    prompt_tokens: int
    completion_tokens: int
    beyond: int = 0
    """Of the prompt's tokens, those beyond what its text can be: room for what the server adds."""


class Spending:
    """Tokens and dollars spent so far, and held back for calls under way, against a cap."""

    def __init__(self, cap: Cap, prices: Prices, specs: tuple[str, ...]) -> None:
        unknown = [spec for spec in specs if price(spec, prices) is None]
        if cap.usd is not None and unknown:
            raise InputError(f"a budget in dollars needs the price of {unknown[0]}; add it to prices, or cap in tokens")
        self.cap, self.prices = cap, prices
        self.tokens = self.held_tokens = 0
        self.usd = self.held_usd = 0.0

    def fits(self, call: Call) -> bool:
        """True when `call` can be paid whatever it and all calls under way come to."""
        tokens = self.tokens + self.held_tokens + call.prompt_tokens + call.completion_tokens
        return (self.cap.tokens is None or tokens <= self.cap.tokens) and (
            self.cap.usd is None or self.usd + self.held_usd + self._cost(call) <= self.cap.usd
        )

    def hold(self, call: Call, times: int = 1) -> None:
        """Hold back the most that `call` can take; `times` -1 when it is over."""
        self.held_tokens += times * (call.prompt_tokens + call.completion_tokens)
        self.held_usd += times * self._cost(call)

    def add(self, spec: str, prompt_tokens: int, completion_tokens: int) -> None:
        """Count a reply."""
        self.tokens += prompt_tokens + completion_tokens
        self.usd += cost(spec, prompt_tokens, completion_tokens, self.prices) or 0.0

    def _cost(self, call: Call) -> float:
        return cost(call.spec, call.prompt_tokens, call.completion_tokens, self.prices) or 0.0

    def reached(self) -> bool:
        """True when nothing more may be asked for."""
        return (self.cap.usd is not None and self.usd >= self.cap.usd) or (
            self.cap.tokens is not None and self.tokens >= self.cap.tokens
        )

    def refuse(self) -> BudgetReachedError:
        """The error that says so."""
        spent = f"{self.usd:.2f} USD" if self.cap.usd is not None else f"{self.tokens:,} tokens"
        return BudgetReachedError(
            f"the budget is reached ({spent} spent); what is finished is kept; raise --budget and add --resume to go on"
        )


def cost(spec: str, prompt_tokens: int, completion_tokens: int, prices: Prices) -> float | None:
    """Dollars for so many tokens; None when the price is unknown."""
    known = price(spec, prices)
    return None if known is None else (prompt_tokens * known[0] + completion_tokens * known[1]) / 1e6
