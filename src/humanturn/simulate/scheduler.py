"""Keeps many conversations in flight; retries what may pass, records what does not."""

import asyncio
from collections.abc import Callable, Sequence

from humanturn.errors import EndpointError
from humanturn.models.patience import ask
from humanturn.simulate.conversation_loop import Table, converse
from humanturn.simulate.store import Job, Store


async def run_all(
    jobs: Sequence[Job], table: Table, store: Store, *, concurrency: int, retries: int, moved: Callable[[float], None]
) -> None:
    """Carry every job to its end or to its failure, at most `concurrency` at a time, in order of their start.

    A conversation whose model fails for good is recorded with the cause, and the rest goes on.

    Raises:
        EndpointError: the first `concurrency` conversations to end all failed, or the endpoint refuses to serve us at
            all; nobody is served by asking thousands of times more.
    """
    waiting = iter(jobs)
    failures = 0

    async def work() -> None:
        nonlocal failures
        for job in waiting:
            try:
                await converse(job, table, store, lambda *request: ask(*request, retries=retries), moved)
                failures = 0
            except EndpointError as error:
                store.fail(job, str(error))
                failures += 1
                if failures >= min(concurrency, len(jobs)):
                    raise

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(jobs))):
                group.create_task(work())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
