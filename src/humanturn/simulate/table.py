"""Who sits at the table, and how a job gets its replies: from the store where they are, else from a model."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from humanturn import run
from humanturn.conversation import Turn
from humanturn.models.model import ChatModel, Sampling
from humanturn.records import Reply
from humanturn.simulate.guards import Guards
from humanturn.simulate.store import Job, Seat, Store, Talk
from humanturn.simulate.tasks import Task
from humanturn.simulate.termination import Budget

Ask = Callable[[ChatModel, Sequence[Turn], Sampling, int], Awaitable[Reply]]
"""Gets a reply from a model, waiting and retrying as the scheduler sees fit."""

Check = Callable[[Reply], str | None]
"""Names what is wrong with a reply."""


class Ended(msgspec.Struct, frozen=True):
    """What came of a job."""

    reason: str
    """A key of `termination.REASONS`."""
    talks: Sequence[Talk] | None = None
    """Its conversations, when they are not simply its replies turn by turn."""
    filtered: dict[int, str] = {}
    """Positions of turns to leave out after all, and why."""


class Table(msgspec.Struct, frozen=True):
    """Who sits at it and what the rules are."""

    strategy: Callable[["Sitting"], Awaitable[Ended]]
    user: ChatModel
    assistant: ChatModel
    judge: ChatModel
    user_sampling: Sampling
    assistant_sampling: Sampling
    budget: Budget
    attempts: int
    """Replies to try for one turn before the conversation ends for lack of an acceptable one."""
    guards: Guards
    learned_ending: bool = False
    """An empty user turn ends the conversation."""
    sdf: bool = False
    """Self-chat: the best of four answers takes the place of each answer (SDF)."""
    tasks: tuple[Task, ...] = ()
    """What self-instruct starts from."""
    wave: int = 1
    """Jobs that may run together; later ones see what came of them."""


class Sitting:
    """A job at the table.

    A strategy is straight-line code over `hear`: what has been said already comes from the store, so a resumed job
    walks the same way to where it stood and goes on.
    """

    def __init__(self, job: Job, table: Table, store: Store, ask: Ask, moved: Callable[[float], None]) -> None:
        self.job, self.table, self.store = job, table, store
        self._ask, self._moved = ask, moved
        self._kept = store.replies(job.id)
        self._told = 0.0

    def moved_to(self, share: float) -> None:
        """Tell the progress bar how much of the job is done, 0 to 1."""
        share = min(1.0, share)
        self._moved(max(0.0, share - self._told))
        self._told = max(self._told, share)

    async def hear(
        self, position: int, attempt: int, seat: Seat, messages: Sequence[Turn], sampling: Sampling, check: Check
    ) -> tuple[Reply, str | None]:
        """The reply of this step and attempt, and what `check` finds wrong with it; on disk when this returns.

        Raises:
            EndpointError: the model failed for good.
        """
        if (position, attempt) in self._kept:
            return self._kept[position, attempt]
        model: ChatModel = getattr(self.table, seat)
        reply = await self._ask(model, messages, sampling, run.derived_seed(self.job.seed, position, attempt))
        objection = check(reply)
        self.store.commit(self.job, position, attempt, seat, reply, objection)
        return reply, objection

    async def first_good(
        self, position: int, seat: Seat, messages: Sequence[Turn], sampling: Sampling, check: Check
    ) -> Reply | None:
        """The first reply of this step that `check` has nothing against, or None when every attempt was refused."""
        for attempt in range(self.table.attempts):
            reply, objection = await self.hear(position, attempt, seat, messages, sampling, check)
            if objection is None:
                return reply
        return None

    def drawn(self, *what: int | str) -> int:
        """A number of 63 bits that belongs to this job and `what` alone."""
        return run.derived_seed(self.job.seed, *what)
