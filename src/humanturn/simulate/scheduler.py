"""Keeps many conversations in flight; retries what may pass, records what does not, stops without dropping replies."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from humanturn.conversation import Turn
from humanturn.errors import EndpointError
from humanturn.models.model import ChatModel, Sampling
from humanturn.models.patience import ask as ask_patiently
from humanturn.records import Reply
from humanturn.simulate.conversation_loop import converse
from humanturn.simulate.ledger import Ledger, Stopped
from humanturn.simulate.store import Job, Store
from humanturn.simulate.table import Table

REFUSALS = 5
"""Requests refused in a row before anything was served, after which the fault is thought to be ours."""

SETTLE_S = 0.2
"""After the last reply has come in: time for its conversation to keep it. Who is not done then was only waiting."""


async def run_all(
    jobs: Iterable[Job],
    table: Table,
    store: Store,
    ledger: Ledger,
    *,
    concurrency: int,
    retries: int,
    moved: Callable[[float], None],
) -> None:
    """Carry every job to its end or to its failure, at most `concurrency` at a time, in order of their start.

    A job is taken only when there is room for it. A conversation whose model fails for good is recorded with the cause,
    and the rest goes on. Whatever ends the run early, calls under way are awaited and their replies kept.

    Raises:
        EndpointError: `concurrency` conversations in a row failed (or all there are): nobody is served by asking
            thousands of times more. Refusals of single requests count only until a first conversation has succeeded.
        BudgetReachedError: the cap is reached.
        KeyboardInterrupt: Ctrl-C.
    """
    waiting = iter(jobs)
    in_a_row: list[EndpointError] = []
    broken: list[Exception] = []
    served = store.count("done")
    before = served

    async def ask(model: ChatModel, messages: Sequence[Turn], sampling: Sampling, seed: int) -> Reply:
        return await ask_patiently(model, messages, sampling, seed, retries=retries)

    async def work() -> None:
        nonlocal served
        for job in waiting:
            try:
                await converse(job, table, store, ask, moved)
                served += 1
                in_a_row.clear()
            except Stopped:
                return
            except EndpointError as error:
                store.fail(job, str(error))
                if error.of_request and served:
                    continue
                in_a_row.append(error)
                if len(in_a_row) >= (max(concurrency, REFUSALS) if error.of_request else concurrency):
                    ledger.stop(error)
            except Exception as error:
                broken.append(error)
                ledger.stop(error)
            if ledger.stopped:
                return

    workers = [asyncio.create_task(work()) for _ in range(concurrency)]
    with _interrupts(ledger):
        await _until_done(workers, ledger)
    if broken:
        raise broken[0]
    if ledger.stopped:
        raise ledger.stopped
    if in_a_row and served == before:
        raise in_a_row[-1]


async def _until_done(workers: Sequence["asyncio.Task[None]"], ledger: Ledger) -> None:
    """Wait for the workers; when the ledger stops, only for those whose replies are on their way."""
    finished = asyncio.create_task(asyncio.wait(workers))
    stopping = asyncio.create_task(ledger.stopping.wait())
    try:
        await asyncio.wait({finished, stopping}, return_when=asyncio.FIRST_COMPLETED)
        while not finished.done():
            still = ledger.in_flight
            await asyncio.wait({finished}, timeout=SETTLE_S)
            if not still:
                break
    finally:
        for task in (*workers, finished, stopping):
            task.cancel()
        await asyncio.wait(workers)


@contextmanager
def _interrupts(ledger: Ledger) -> Iterator[None]:
    """Ctrl-C stops asking and waits for what is paid for already; a second one drops that."""
    loop = asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return
    main = asyncio.current_task()

    def interrupted() -> None:
        if ledger.stopped and main:
            main.cancel()
            return
        if ledger.in_flight:
            said = f"\nwaiting for {ledger.in_flight} replies under way; Ctrl-C again drops them"
            print(said, file=sys.stderr, flush=True)
        ledger.stop(KeyboardInterrupt())

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    except asyncio.CancelledError:
        if ledger.stopped is None:
            raise
        raise KeyboardInterrupt from None
    finally:
        loop.remove_signal_handler(signal.SIGINT)
