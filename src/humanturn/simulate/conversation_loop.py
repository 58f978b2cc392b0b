"""One conversation, from where it stands to its end."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from humanturn import run
from humanturn.conversation import Turn
from humanturn.models.model import ChatModel, Sampling
from humanturn.records import Reply
from humanturn.simulate import guards
from humanturn.simulate.store import Job, Store
from humanturn.simulate.strategies import View
from humanturn.simulate.termination import Budget, Reason, reason_to_end

Ask = Callable[[ChatModel, Sequence[Turn], Sampling, int], Awaitable[Reply]]
"""Gets a reply from a model, waiting and retrying as the scheduler sees fit."""


class Table(msgspec.Struct, frozen=True):
    """Who sits at it and what the rules are."""

    user: ChatModel
    assistant: ChatModel
    view: View
    """What the user is shown of the conversation (the strategy)."""
    user_sampling: Sampling
    assistant_sampling: Sampling
    budget: Budget
    rounds: int | None
    attempts: int
    """Replies to try for one user turn before the conversation ends for lack of an acceptable one."""


async def converse(job: Job, table: Table, store: Store, ask: Ask, moved: Callable[[float], None]) -> Reason:
    """Carry `job` on from its stored turns to its end, committing every reply before asking for the next.

    `moved` is called with each share of the conversation done. Returns the stop reason, which is stored.

    Raises:
        EndpointError: a model failed for good.
    """
    turns = store.turns(job)
    told = 0.0
    while True:
        used = min(1.0, table.budget.count(turns) / table.budget.max_tokens)
        moved(max(0.0, used - told))
        told = max(told, used)
        if turns and turns[-1].role == "user":
            turns.append(await _answer(job, turns, table, store, ask))
            continue
        reason = reason_to_end(turns, table.budget, table.rounds)
        said = reason or await _user_turn(job, turns, table, store, ask)
        if not isinstance(said, Turn):
            store.finish(job, said)
            moved(1.0 - told)
            return said
        turns.append(said)


async def _answer(job: Job, turns: Sequence[Turn], table: Table, store: Store, ask: Ask) -> Turn:
    attempt = store.attempts(job, len(turns))
    while True:
        seed = run.derived_seed(job.seed, len(turns), attempt)
        reply = await ask(table.assistant, turns, table.assistant_sampling, seed)
        refused = "empty" if guards.empty(reply, turns) and attempt + 1 < table.attempts else None
        store.commit(job, len(turns), attempt, "assistant", reply, refused)
        if refused is None:
            return Turn("assistant", reply.text)
        attempt += 1


async def _user_turn(job: Job, turns: Sequence[Turn], table: Table, store: Store, ask: Ask) -> Turn | Reason:
    """The next user turn that passes every guard, or why there is none.

    A turn that the end of the context cut, not its own limit, ends the conversation: another draw would be cut too.
    """
    left = table.budget.left(turns)
    sampling = msgspec.structs.replace(table.user_sampling, max_tokens=min(table.user_sampling.max_tokens, left))
    for attempt in range(store.attempts(job, len(turns)), table.attempts):
        seed = run.derived_seed(job.seed, len(turns), attempt)
        reply = await ask(table.user, table.view(turns), sampling, seed)
        objection = guards.tripped(reply, turns)
        store.commit(job, len(turns), attempt, "user", reply, objection)
        if objection is None:
            return Turn("user", reply.text)
        if objection == "unfinished" and left < table.user_sampling.max_tokens and turns:
            return "context"
    return "guards"
