"""The jobs of a simulation, from its settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from humanturn.errors import InputError
from humanturn.simulate import openings, tasks
from humanturn.simulate.openings import Seed
from humanturn.simulate.store import Job
from humanturn.simulate.strategies import Strategy
from humanturn.simulate.termination import Budget

if TYPE_CHECKING:
    from humanturn.simulate.stage import SimulateSettings


class Start(msgspec.Struct, frozen=True):
    """What a simulation starts from."""

    jobs: Sequence[Job]
    tasks: tuple[tasks.Task, ...]
    """The pool, where the strategy starts from one."""
    too_long: int
    """Seeds that leave no room for a user turn and are passed over."""


def started(settings: "SimulateSettings", strategy: Strategy, budget: Budget) -> Start:
    """The jobs, each with its seed, its opening turns and what else it is given.

    Raises:
        InputError: a file is missing, or no seed fits the context.
    """
    pool = _tasks(settings.seeds) if strategy.starts in ("question", "tasks") else ()
    if strategy.starts == "tasks":
        everything = []
    elif strategy.starts == "question":
        everything = [Seed(task.id, tasks.opening(task)) for task in pool]
    else:
        everything = openings.seeds(Path(settings.seeds)) if settings.seeds else []
    if strategy.starts == "line":
        everything = [msgspec.structs.replace(seed, turns=seed.turns[:1]) for seed in everything]
    seeds = [seed for seed in everything if budget.left(seed.turns) >= budget.user_room]
    if everything and not seeds:
        raise InputError(f"{settings.seeds}: no seed fits the {budget.max_tokens} tokens; raise --max-tokens")
    intents = openings.intents(Path(settings.intents)) if settings.intents else ()
    personas = openings.personas(settings.personas) if settings.personas else ()
    rounds = openings.rounds(settings.rounds)
    wave = strategy.wave(settings.count)
    jobs = [
        openings.job(
            number,
            settings.seed,
            seeds[number % wave % len(seeds)] if seeds else None,  # later waves carry the first one's seeds on
            intents=intents,
            personas=personas,
            rounds=rounds,
        )
        for number in range(settings.count)
    ]
    return Start(jobs, pool if strategy.starts == "tasks" else (), len(everything) - len(seeds))


def _tasks(given: str | None) -> tuple[tasks.Task, ...]:
    """Tasks of a file in Self-Instruct's format, or made of its conversations or opening lines; ours without a file."""
    if given is None:
        return tasks.ours()
    path = Path(given)
    if tasks.holds_tasks(path):
        return tasks.read(path)
    return tuple(tasks.Task(s.turns[0].content, tasks.answer(s.turns), id=s.id) for s in openings.seeds(path))
