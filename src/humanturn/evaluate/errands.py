"""Many requests in flight: what fails for a while is left for later, what fails for good is kept as a failure."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from humanturn.conversation import Turn
from humanturn.errors import EndpointError
from humanturn.models.model import ChatModel, Sampling
from humanturn.models.patience import ask
from humanturn.models.spending import Spending
from humanturn.records import Reply

T = TypeVar("T")

FAILURES_IN_A_ROW = 8
"""After so many (or as many as are in flight) nobody is served by asking on."""


class Office(msgspec.Struct, frozen=True):
    """The circumstances under which requests are made."""

    concurrency: int
    retries: int
    spending: Spending

    async def ask(self, spec: str, model: ChatModel, messages: Sequence[Turn], sampling: Sampling, seed: int) -> Reply:
        """A reply, patiently, and counted.

        Raises:
            EndpointError: as `patience.ask`.
        """
        reply = await ask(model, messages, sampling, seed, retries=self.retries)
        self.spending.add(spec, reply.prompt_tokens, reply.completion_tokens)
        return reply


async def run_all(
    tasks: Iterable[T],
    work: Callable[[T], Awaitable[EndpointError | None]],
    office: Office,
    done: Callable[[float], None],
) -> None:
    """Do `work` on every task, at most `office.concurrency` at a time; it returns a refusal that it kept on record.

    Raises:
        EndpointError: many requests in a row all failed, or some failures outlasted their retries; then everything else
            is done.
        BudgetReachedError: the cap was reached; what was in flight is finished and kept.
    """
    waiting = iter(tasks)
    enough = max(office.concurrency, FAILURES_IN_A_ROW)
    failures = 0
    later: list[EndpointError] = []
    stopped: list[Exception] = []

    async def worker() -> None:
        nonlocal failures
        for task in waiting:
            if office.spending.reached():
                stopped.append(office.spending.refuse())
            if stopped:
                return
            try:
                failure = await work(task)
            except EndpointError as error:
                failure = error
                later.append(error)
            except Exception as error:
                stopped.append(error)
                return
            failures = failures + 1 if failure else 0
            if failure and failures >= enough:
                stopped.append(failure)
                return
            done(1)

    async with asyncio.TaskGroup() as group:
        for _ in range(office.concurrency):
            group.create_task(worker())
    if stopped:
        raise stopped[0]
    if later:
        raise EndpointError(
            f"{len(later)} requests got no reply ({later[-1]}); the rest is kept: add --resume to ask for those again"
        )
