"""One job, from where it stands to its end; and the loop in which a user and an assistant take turns."""

from collections.abc import Callable, Sequence

import msgspec

from humanturn.conversation import Turn
from humanturn.records import Reply
from humanturn.simulate import guards
from humanturn.simulate.store import Job, Store
from humanturn.simulate.table import Ask, Sitting, Table
from humanturn.simulate.termination import learned, reason_to_end

__all__ = ["Ask", "Table", "converse", "take_turns"]

View = Callable[[Sequence[Turn]], Sequence[Turn]]
"""What whoever plays the user is shown of the conversation so far."""


async def converse(job: Job, table: Table, store: Store, ask: Ask, moved: Callable[[float], None]) -> str:
    """Carry `job` on to its end by the table's strategy, committing every reply before asking for the next.

    `moved` is called with each share of the job done. Returns the stop reason, which is stored.

    Raises:
        EndpointError: a model failed for good.
    """
    sitting = Sitting(job, table, store, ask, moved)
    ended = await table.strategy(sitting)
    store.finish(job.id, ended.reason, ended.talks, ended.filtered)
    sitting.moved_to(1.0)
    return ended.reason


async def take_turns(
    sitting: Sitting, opening: Sequence[Turn], shown: View, rounds: int | None
) -> tuple[str, list[Turn]]:
    """The user and the assistant take turns until the user's side ends the conversation.

    Args:
        sitting: the job.
        opening: the turns it begins with.
        shown: what the user is shown.
        rounds: the rounds to end after; None for no limit.

    Returns:
        The stop reason, and the turns, which may end with a user turn that nobody answered.
    """
    turns, budget = list(opening), sitting.table.budget
    while True:
        if turns and turns[-1].role == "user":
            answer = await _answer(sitting, turns)
            if answer is None:
                return "unanswered", turns
            turns.append(answer)
        prompt = shown(turns)
        left = budget.left(prompt)
        sitting.moved_to(max(1 - left / budget.max_tokens, len(turns) / (2 * rounds) if rounds else 0))
        said = reason_to_end(turns, left, budget, rounds) or await _user_turn(sitting, turns, prompt, left)
        if not isinstance(said, Turn):
            return said, turns
        turns.append(said)


async def _answer(sitting: Sitting, turns: Sequence[Turn]) -> Turn | None:
    table = sitting.table
    reply = await sitting.first_good(len(turns), "assistant", turns, table.assistant_sampling, guards.silence)
    return Turn("assistant", reply.text) if reply else None


async def _user_turn(sitting: Sitting, turns: Sequence[Turn], prompt: Sequence[Turn], left: int) -> Turn | str:
    """The next user turn that passes every guard, or why there is none.

    A turn that the end of the context cut, not its own limit, ends the conversation: another draw would be cut too.
    """
    table = sitting.table
    longest = min(table.user_sampling.max_tokens, left)
    sampling = msgspec.structs.replace(table.user_sampling, max_tokens=longest)

    def check(reply: Reply) -> str | None:
        ends = table.learned_ending and learned(reply, turns)
        return None if ends else guards.tripped(reply, turns, table.guards)

    for attempt in range(table.attempts):
        reply, objection = await sitting.hear(len(turns), attempt, "user", prompt, sampling, check)
        if objection is None:
            return Turn("user", reply.text) if reply.text.strip() else "learned"
        if objection == "unfinished" and longest < table.user_sampling.max_tokens and turns:
            return "context"
    return "guards"
