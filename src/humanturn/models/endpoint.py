"""What one endpoint can take, and whether it is well: concurrency, rates, rests after 429, a circuit breaker.

No clock ticks here: every function is told what time it is (`now`, in seconds of any one clock).
"""

import math
import random

import msgspec

from humanturn.errors import EndpointError
from humanturn.models.model import ChatModel

TRIP = 5
"""Failures in a row after which an endpoint is left alone."""
FIRST_REST_S, LONGEST_REST_S = 1.0, 60.0
BURST_S = 6.0
"""Seconds of its rate that an endpoint may be asked at once after being idle."""


class Rate:
    """So many units a minute: what was not taken comes back with time, up to `BURST_S` seconds' worth."""

    def __init__(self, per_minute: float | None) -> None:
        self._per_s = (per_minute or 0.0) / 60
        self._most = max(1.0, self._per_s * BURST_S)
        self._left, self._at = self._most, -math.inf

    def wait(self, units: float, now: float) -> float:
        """Seconds until `units` may be taken. More than a burst waits for a full one and runs into debt."""
        if not self._per_s:
            return 0.0
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        return max(0.0, min(units, self._most) - self._left) / self._per_s

    def take(self, units: float) -> None:
        """Take (or, negative, give back) units."""
        self._left -= units


class Resting(msgspec.Struct, frozen=True):
    """Why an endpoint is asked nothing until `until`."""

    until: float
    error: EndpointError


class Endpoint:
    """A model and what is known about how it is doing."""

    def __init__(
        self,
        model: ChatModel,
        *,
        weight: float = 1.0,
        concurrency: int | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        self.model, self.weight = model, weight
        self.most = math.inf if concurrency is None else concurrency
        self.requests, self.tokens = Rate(requests_per_minute), Rate(tokens_per_minute)
        self.in_flight = self.asked = 0
        self.window = self.most
        """Requests it is thought to serve at once: halved when it says 429, grown by what it serves."""
        self.cool_until = -math.inf
        self.refused = self.failures = self.rests = 0
        self.broken: Resting | None = None
        self.probing = False

    def wait(self, tokens: float, now: float) -> float:
        """Seconds until it may be asked something of about `tokens` tokens; infinity while it must finish first."""
        if self.broken and (self.probing or math.isinf(self.broken.until)):
            return math.inf
        if self.in_flight >= self.window:
            return math.inf
        rest = max(self.cool_until, self.broken.until if self.broken else -math.inf) - now
        return max(0.0, rest, self.requests.wait(1, now), self.tokens.wait(tokens, now))

    def load(self) -> tuple[float, float]:
        """Who of several is to be asked: the one with the least to do, then the one asked least, for its weight."""
        return self.in_flight / self.weight, (self.asked + 1) / self.weight

    def begin(self, tokens: float) -> None:
        """It is asked something of about `tokens` tokens."""
        self.in_flight += 1
        self.asked += 1
        self.requests.take(1)
        self.tokens.take(tokens)
        self.probing = self.broken is not None

    def leave(self, tokens: float) -> None:
        """What `begin` said is over, `tokens` of it not used."""
        self.in_flight -= 1
        self.probing = False
        self.tokens.take(-tokens)

    def served(self) -> None:
        """It gave a reply: it is well."""
        self.failures = self.refused = self.rests = 0
        self.broken = None
        if self.window < self.most:
            self.window += 1 / self.window

    def failed(self, error: EndpointError, now: float) -> None:
        """It gave none: after a 429 it rests as long as it says, after `TRIP` failures in a row longer and longer."""
        if error.status in (401, 403, 404):
            self.broken = Resting(math.inf, error)
        elif error.status == 429:
            self._refused_for(error.retry_after, now)
        elif error.passing:
            self.failures += 1
            if self.failures >= TRIP and not (self.broken and now < self.broken.until):
                self.broken = Resting(now + _longer(self.rests), error)
                self.rests += 1

    def _refused_for(self, said_s: float | None, now: float) -> None:
        if now >= self.cool_until:  # of all that were in flight together only the first tells something new
            self.window = max(1.0, min(self.window, self.in_flight) / 2)
        rest = random.uniform(0.5, 1.5) * _longer(self.refused) if said_s is None else said_s  # noqa: S311
        self.refused += 1
        self.cool_until = max(self.cool_until, now + min(rest, LONGEST_REST_S))


def _longer(times: int) -> float:
    return float(min(FIRST_REST_S * 2 ** min(times, 16), LONGEST_REST_S))
