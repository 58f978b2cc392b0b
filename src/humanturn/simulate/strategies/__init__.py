"""Ways to produce user turns, all on the same engine, store and budget."""

from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from humanturn.simulate.store import Store
from humanturn.simulate.strategies import evol_instruct, roleplay, self_chat, self_instruct, trained, ultrachat
from humanturn.simulate.table import Ended, Sitting


class Strategy(msgspec.Struct, frozen=True):
    """How a job is carried to its end, and which jobs may run together."""

    play: Callable[[Sitting], Awaitable[Ended]]
    starts: Literal["round", "line", "question", "tasks"] = "round"
    """What it takes of seeds: the first round, the first user turn, that too but of a task of ours when there are none,
    or all of them as a pool of tasks."""
    wave: Callable[[int], int] = lambda count: count
    """Of so many jobs, how many make a wave; a wave begins when the one before it has ended."""
    settle: Callable[[Store, int, int], None] = lambda store, first, stop: None
    """What is decided in job order when jobs `first` to `stop`, a wave, have ended."""


STRATEGIES = {
    "trained": Strategy(trained.play),
    "roleplay": Strategy(roleplay.play),
    "self-chat": Strategy(self_chat.play, starts="question"),
    "ultrachat": Strategy(ultrachat.play, starts="line"),
    "self-instruct": Strategy(
        self_instruct.play, starts="tasks", wave=lambda count: self_instruct.WAVE, settle=self_instruct.settle
    ),
    "evol-instruct": Strategy(
        evol_instruct.play, starts="question", wave=lambda count: -(-count // evol_instruct.ROUNDS)
    ),
}
