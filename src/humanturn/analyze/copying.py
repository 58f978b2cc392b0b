"""What a user model has by heart: long runs of words, and addresses and keys, that stand in its training data."""

import re
from collections.abc import Iterable, Sequence

import msgspec

from humanturn.analyze import lexical
from humanturn.conversation import Conversation

RUN = 12
"""Words in a row that count as copied. People rarely write twelve words that somebody else wrote."""

_SECRET = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.-]*\w"
    r"|\b(?:sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[abps]-[A-Za-z0-9-]{10,}|AIza[\w-]{35})\b"
)


class Memory(msgspec.Struct):
    """Runs of words, and addresses and keys, of training data."""

    runs: set[int]
    secrets: set[str]


def remember(conversations: Iterable[Conversation]) -> Memory:
    """Index what a user model was trained on: runs of its user turns, secrets of any turn."""
    memory = Memory(set(), set())
    for conversation in conversations:
        for turn in conversation.messages:
            if turn.role == "user":
                memory.runs |= runs(turn.content)
            memory.secrets |= secrets(turn.content)
    return memory


def runs(text: str) -> set[int]:
    """Hashes of every run of `RUN` words (of one process; they are not stored)."""
    words = lexical.words(text)
    return {hash(tuple(words[at : at + RUN])) for at in range(len(words) - RUN + 1)}


def secrets(text: str) -> set[str]:
    """E-mail addresses and access keys."""
    return set(_SECRET.findall(text))


def is_copied(text: str, before: Sequence[str], memory: Memory) -> bool | None:
    """True when the text holds a run of the training data that its own conversation does not; None when too short."""
    own = runs(text)
    if not own:
        return None
    known = own & memory.runs
    return bool(known - {run for said in before for run in runs(said)}) if known else False


def leaked(text: str, before: Sequence[str], memory: Memory) -> set[str]:
    """Addresses and keys of the training data in the text that its own conversation does not hold."""
    found = secrets(text) & memory.secrets
    return {secret for secret in found if not any(secret in said for said in before)}
