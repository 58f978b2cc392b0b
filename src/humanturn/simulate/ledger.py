"""Nothing is asked that could pass the cap: the most a call can take is held back before it, and settled after it."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from humanturn.conversation import Turn
from humanturn.errors import EndpointError, HumanturnError
from humanturn.models.line import Line
from humanturn.models.model import ChatModel, Sampling
from humanturn.models.spending import Call, Spending, cost, most_tokens
from humanturn.records import Reply


class Lost(msgspec.Struct, frozen=True):
    """A call that brought no reply and may be charged all the same."""

    model: str
    cause: str
    prompt_tokens: int
    """The most they can be; it counts against the cap."""
    completion_tokens: int
    usd: float | None


class Stopped(HumanturnError):
    """Nothing more is asked in this run; `Ledger.stopped` says why."""


class Ledger:
    """Counts every call to every model of a run, and lets none begin that the cap could not pay."""

    def __init__(self, spending: Spending, lose: Callable[[Lost], None]) -> None:
        """`lose` keeps lost calls; replies are kept by whoever asked for them."""
        self.spending = spending
        self.stopped: BaseException | None = None
        """Why the run ends before its work is done."""
        self.stopping = asyncio.Event()
        self.in_flight = 0
        self._lose = lose
        self._beyond: dict[str, int] = {}
        self._line: Line[Call, Call] = Line(self._admit, self._over)

    def counted(self, model: ChatModel) -> "Counted":
        """`model`, its calls paid from this ledger."""
        return Counted(model, self)

    def stop(self, why: BaseException) -> None:
        """Ask nothing more; calls under way come to their end."""
        if self.stopped is None:
            self._stop(why)
            self._line.move_up()

    async def hold(self, spec: str, messages: Sequence[Turn], sampling: Sampling) -> Call:
        """Hold back the most that a call can take, as soon as the cap has room for it.

        Raises:
            Stopped: it will never have.
        """
        beyond = self._beyond.get(spec, 0)
        return await self._line.join(Call(spec, most_tokens(messages) + beyond, sampling.max_tokens, beyond))

    def paid(self, call: Call, reply: Reply) -> Reply:
        """Settle a call that brought a reply; returns the reply with its cost."""
        # A server that adds more to prompts than we left room for: leave more from now on.
        surplus = reply.prompt_tokens - (call.prompt_tokens - call.beyond)
        self._beyond[call.spec] = max(surplus, self._beyond.get(call.spec, 0))
        self.spending.add(call.spec, reply.prompt_tokens, reply.completion_tokens)
        self._over(call)
        usd = cost(call.spec, reply.prompt_tokens, reply.completion_tokens, self.spending.prices)
        return msgspec.structs.replace(reply, usd=usd)

    def lost(self, call: Call, cause: str) -> None:
        """Settle a call that may be charged though it brought nothing: at the most it can be."""
        self.spending.add(call.spec, call.prompt_tokens, call.completion_tokens)
        usd = cost(call.spec, call.prompt_tokens, call.completion_tokens, self.spending.prices)
        self._lose(Lost(call.spec, cause, call.prompt_tokens, call.completion_tokens, usd))
        self._over(call)

    def unused(self, reply: Reply) -> None:
        """Keep on record a paid reply that nobody gets."""
        cause = f"{reply.model}: another endpoint was quicker"
        self._lose(Lost(reply.model, cause, reply.prompt_tokens, reply.completion_tokens, reply.usd))

    def free(self, call: Call) -> None:
        """Settle a call that nobody charges for."""
        self._over(call)

    def _stop(self, why: BaseException) -> None:
        self.stopped = why
        self.stopping.set()

    def _admit(self, call: Call) -> Call | None:
        if self.stopped is None and not self.spending.fits(call) and not self.in_flight:
            self._stop(self.spending.refuse())  # the line is moving up as it is
        if self.stopped is not None:
            raise Stopped(str(self.stopped))
        if not self.spending.fits(call):
            return None
        self.spending.hold(call)
        self.in_flight += 1
        return call

    def _over(self, call: Call) -> None:
        self.spending.hold(call, -1)
        self.in_flight -= 1
        self._line.move_up()


class Counted:
    """A model whose calls a ledger pays for."""

    def __init__(self, model: ChatModel, ledger: Ledger) -> None:
        self.name, self._model, self._ledger = model.name, model, ledger

    async def reply(self, messages: Sequence[Turn], *, sampling: Sampling, seed: int) -> Reply:
        """The next turn, with its cost.

        Raises:
            EndpointError: as the model.
            Stopped: the cap is reached, or the run is being stopped.
        """
        call = await self._ledger.hold(self.name, messages, sampling)
        try:
            reply = await self._model.reply(messages, sampling=sampling, seed=seed)
        except EndpointError as error:
            if error.perhaps_paid:
                self._ledger.lost(call, str(error))
            else:
                self._ledger.free(call)
            raise
        except asyncio.CancelledError:
            self._ledger.lost(call, f"{self.name}: dropped while it was answering")
            raise
        except BaseException:
            self._ledger.free(call)
            raise
        return self._ledger.paid(call, reply)

    async def close(self) -> None:
        """Close the model."""
        await self._model.close()
