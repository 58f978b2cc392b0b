"""Seed tasks for strategies that start from instructions: our own, or a file's."""

from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path

import msgspec

from humanturn import jsonl
from humanturn.conversation import Turn
from humanturn.errors import InputError


class Instance(msgspec.Struct, frozen=True):
    """What a task is done to, and the result."""

    input: str
    output: str


class Task(msgspec.Struct, frozen=True):
    """A line of Self-Instruct's `seed_tasks.jsonl`."""

    instruction: str
    instances: tuple[Instance, ...]
    is_classification: bool = False
    id: str = ""


@lru_cache(maxsize=1)
def ours() -> tuple[Task, ...]:
    """The tasks that ship with humanturn."""
    lines = resources.files("humanturn.simulate").joinpath("data/seed_tasks.jsonl").read_bytes().splitlines()
    return tuple(msgspec.json.decode(line, type=Task) for line in lines)


def read(path: Path) -> tuple[Task, ...]:
    """Tasks of a file in Self-Instruct's format.

    Raises:
        InputError: it holds none.
        FormatError: a line is no task.
    """
    found = tuple(jsonl.read(path, Task))
    if not found:
        raise InputError(f"{path}: holds no task")
    return found


def holds_tasks(path: Path) -> bool:
    """True for a file in that format, told by its first line."""
    with jsonl.open_bytes(path) as file:
        first = file.readline()
    try:
        row = msgspec.json.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return isinstance(row, dict) and "instances" in row and "instruction" in row


def answer(turns: Sequence[Turn]) -> tuple[Instance, ...]:
    """The answer of a first round as the one instance of a task without input."""
    return tuple(Instance("", turn.content) for turn in turns[1:2])


def asked(task: Task) -> str:
    """The task as a person would put it, with its first input."""
    return together(task.instruction, task.instances[0].input if task.instances else "")


def together(instruction: str, given: str) -> str:
    """An instruction and what it is about, as one user turn."""
    return f"{instruction}\n\n{given}" if given else instruction


def opening(task: Task) -> tuple[Turn, ...]:
    """The task as the user turn that opens a conversation."""
    return (Turn("user", asked(task)),)
