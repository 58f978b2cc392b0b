"""Several endpoints that serve one model, as one model: `pool:FILE.yaml`.

Each request goes to the endpoint that has the least to do; what one endpoint says about itself (429, failures) holds
for every request that would go there.
"""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pydantic

from humanturn.conversation import Turn
from humanturn.errors import EndpointError, ModelError
from humanturn.models import spec as specs
from humanturn.models.endpoint import Endpoint
from humanturn.models.line import Line
from humanturn.models.model import ChatModel, Sampling
from humanturn.models.spending import most_tokens
from humanturn.records import Reply

BYTES_PER_TOKEN = 3
"""Of ordinary text, on the safe side: what a tokens-per-minute limit is filled with before a reply tells the truth."""


class Member(pydantic.BaseModel):
    """One endpoint of a pool file."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    spec: str
    weight: float = pydantic.Field(1.0, gt=0, description="share of the requests, beside the others'")
    concurrency: int | None = pydantic.Field(None, ge=1, description="requests in flight")
    requests_per_minute: float | None = pydantic.Field(None, gt=0)
    tokens_per_minute: float | None = pydantic.Field(None, gt=0)
    key: str = pydantic.Field("OPENAI_API_KEY", description="environment variable that holds its key")


class PoolFile(pydantic.BaseModel):
    """A pool file."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    endpoints: tuple[Member, ...] = pydantic.Field(min_length=1)
    hedge_after: float | None = pydantic.Field(
        None, gt=0, description="seconds after which a second endpoint is asked too, if one is free; both are paid"
    )


def read(path: Path) -> PoolFile:
    """The pool in a YAML file.

    Raises:
        ModelError: it is missing or no pool file; names the key.
    """
    import yaml

    try:
        return PoolFile.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: no pool file can be read there ({error})") from None
    except yaml.YAMLError as error:
        raise ModelError(f"{path}: is not YAML ({getattr(error, 'problem', error)})") from None
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ModelError(
            f"{path}: {where}: {first['msg'][:1].lower()}{first['msg'][1:]}; see docs/simulate.md"
        ) from None


def members(spec: str) -> tuple[Member, ...]:
    """The endpoints behind a SPEC: one, or those of its pool file."""
    kind, _, rest = spec.partition(":")
    return read(Path(rest)).endpoints if kind == "pool" else (Member(spec=spec),)


def load(
    spec: str,
    *,
    timeout_s: float | None = None,
    around: Callable[[ChatModel], ChatModel] = lambda model: model,
    unused: Callable[[Reply], None] = lambda reply: None,
) -> ChatModel:
    """The model that `spec` names, with limits, rests and breakers where it is an endpoint or a pool of them.

    Args:
        spec: any SPEC.
        timeout_s: seconds after which a request to an endpoint is given up.
        around: put around the model of each endpoint; what counts calls goes here.
        unused: told of a whole reply that nobody gets, as another endpoint gave one in the same moment.

    Raises:
        ModelError: the SPEC or its pool file is malformed, or names no usable model.
    """
    kind, _, rest = spec.partition(":")
    hedge_after = read(Path(rest)).hedge_after if kind == "pool" else None
    found = members(spec)
    if kind not in ("pool", "openai"):
        return around(specs.load(spec))
    limits = [member.model_dump(exclude={"spec", "key"}) for member in found]
    models = [around(specs.load(member.spec, key=member.key, timeout_s=timeout_s)) for member in found]
    return Pool(spec, [Endpoint(m, **limit) for m, limit in zip(models, limits, strict=True)], hedge_after, unused)


_Asked = tuple[float, set[Endpoint]]
"""Tokens a request is thought to take, and the endpoints that are at it already."""


class Pool:
    """The model that several endpoints serve; a reply names the one that gave it."""

    def __init__(
        self,
        name: str,
        endpoints: Sequence[Endpoint],
        hedge_after_s: float | None = None,
        unused: Callable[[Reply], None] = lambda reply: None,
    ) -> None:
        self.name, self.endpoints, self.hedge_after_s, self._unused = name, endpoints, hedge_after_s, unused
        self._line: Line[_Asked, Endpoint] = Line(self._admit, self._left)
        self._timer: asyncio.TimerHandle | None = None

    async def reply(self, messages: Sequence[Turn], *, sampling: Sampling, seed: int) -> Reply:
        """The next turn, from the endpoint that is free first.

        Raises:
            EndpointError: the endpoint asked gave no reply, or all of them rest after failures; `retry_after` is 0
                where another try finds its place in line by itself.
        """
        at_it = set[Endpoint]()
        tokens = most_tokens(messages) / BYTES_PER_TOKEN + sampling.max_tokens

        async def ask() -> Reply:
            endpoint = await self._line.join((tokens, at_it))
            at_it.add(endpoint)
            return await self._asked(endpoint, tokens, messages, sampling, seed)

        async def ask_another() -> Reply | None:
            endpoint = None if self._line else self._free(tokens, at_it, time.monotonic())
            return await self._asked(endpoint, tokens, messages, sampling, seed) if endpoint else None

        if self.hedge_after_s is None:
            return await ask()
        return await _first_of(ask, ask_another, self.hedge_after_s, self._unused)

    async def close(self) -> None:
        """Close every endpoint."""
        if self._timer:
            self._timer.cancel()
        for endpoint in self.endpoints:
            await endpoint.model.close()

    async def _asked(
        self, endpoint: Endpoint, tokens: float, messages: Sequence[Turn], sampling: Sampling, seed: int
    ) -> Reply:
        """The reply of an endpoint that has a place for it."""
        used = 0
        try:
            reply = await endpoint.model.reply(messages, sampling=sampling, seed=seed)
            used = reply.prompt_tokens + reply.completion_tokens
            endpoint.served()
            return reply
        except EndpointError as error:
            endpoint.failed(error, time.monotonic())
            others = any(e is not endpoint and e.broken is None for e in self.endpoints)
            if error.status == 429 or (others and (error.passing or endpoint.broken)):
                error.passing, error.retry_after = True, 0.0  # the line knows when and where to ask again
            raise
        finally:
            endpoint.leave(tokens - used)
            self._line.move_up()

    def _admit(self, asked: _Asked) -> Endpoint | None:
        tokens, at_it = asked
        now = time.monotonic()
        if chosen := self._free(tokens, at_it, now):
            return chosen
        waits = {e: e.wait(tokens, now) for e in self.endpoints if e not in at_it}
        broken = [e.broken for e in waits if e.broken and e.broken.until > now and not e.probing]
        if len(broken) == len(waits):
            first = min(broken, key=lambda resting: resting.until)
            rest = first.until - now
            raise EndpointError(
                str(first.error), passing=math.isfinite(rest), retry_after=rest, status=first.error.status
            )
        self._come_back(min(waits.values()))
        return None

    def _come_back(self, after_s: float) -> None:
        """Look at the line again when time alone makes a place free."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if math.isfinite(after_s):
            self._timer = asyncio.get_running_loop().call_later(after_s + 0.001, self._line.move_up)

    def _left(self, endpoint: Endpoint) -> None:
        endpoint.leave(0.0)
        self._line.move_up()

    def _free(self, tokens: float, at_it: set[Endpoint], now: float) -> Endpoint | None:
        """An endpoint that can be asked at once; it counts as asked from here on."""
        free = [e for e in self.endpoints if e not in at_it and e.wait(tokens, now) <= 0]
        if not free:
            return None
        chosen = min(free, key=Endpoint.load)
        chosen.begin(tokens)
        return chosen


async def _first_of(
    ask: Callable[[], Coroutine[Any, Any, Reply]],
    ask_another: Callable[[], Coroutine[Any, Any, Reply | None]],
    after_s: float,
    unused: Callable[[Reply], None],
) -> Reply:
    """The reply of whoever is done first: one asked now, one after `after_s` seconds if somebody is free then."""
    first: asyncio.Task[Reply | None] = asyncio.create_task(ask())
    calls, kept = [first], None
    try:
        done, pending = await asyncio.wait(calls, timeout=after_s)
        kept = first if _replied(first) else None
        if not done:
            calls.append(asyncio.create_task(ask_another()))
            pending = set(calls)
        while not done or (pending and not kept):
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            kept = next((call for call in done if _replied(call)), None)
        reply = (kept or first).result()
        assert reply is not None
        return reply
    finally:
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        for call in calls:
            if call is not kept and _replied(call) and (spare := call.result()):
                unused(spare)


def _replied(call: "asyncio.Task[Reply | None]") -> bool:
    return call.done() and not call.cancelled() and call.exception() is None and call.result() is not None
