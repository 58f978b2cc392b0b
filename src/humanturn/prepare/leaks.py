"""Keep benchmark questions out of the training data: sessions that share a long run of words with one are dropped."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from humanturn.conversation import Turn
from humanturn.errors import InputError
from humanturn.jsonl import open_bytes
from humanturn.prepare.shingles import runs

_FIELDS = ("turns", "question", "questions", "prompt", "instruction", "input", "text", "messages", "conversations")
LEAST = 6
"""A question of fewer words is too common to be recognized by."""


class Guard(msgspec.Struct, frozen=True):
    """Hashes of the questions' runs, by length of run, each with the name of its question."""

    hashes: dict[int, Any]
    """Sorted uint64 arrays."""
    names: dict[int, list[str]]
    """Names in the order of the hashes."""

    def leak(self, turns: Sequence[Turn]) -> str | None:
        """Name of a question that stands in a human turn; None when there is none."""
        text = "\n\n".join(turn.content for turn in turns if turn.role == "user")
        for words, hashes in self.hashes.items():
            found = runs(text, words)
            places = np.minimum(np.searchsorted(hashes, found), len(hashes) - 1)
            hits = np.flatnonzero(hashes[places] == found)
            if len(hits):
                return self.names[words][int(places[hits[0]])]
        return None


def guard(files: Sequence[Path], words: int) -> Guard:
    """Read questions (JSON or JSONL, as FastChat's `question.jsonl`; else one question a line).

    A question shorter than `words` words is looked for as a whole.

    Raises:
        InputError: a file is missing or holds no question.
    """
    found = dict[int, dict[int, str]]()
    for file in files:
        count = 0
        for name, question in _questions(file):
            for length in (words, *range(words - 1, LEAST - 1, -1)):
                hashes = runs(question, length)
                if len(hashes):
                    count += 1
                    found.setdefault(length, {}).update(dict.fromkeys(map(int, hashes), f"{file.name} {name}"))
                    break
        if not count:
            raise InputError(f"{file}: holds no question of {LEAST} words or more; give a benchmark's questions")
    ordered = {length: sorted(named) for length, named in found.items()}
    return Guard(
        {length: np.array(hashes, np.uint64) for length, hashes in ordered.items()},
        {length: [found[length][value] for value in hashes] for length, hashes in ordered.items()},
    )


def _questions(file: Path) -> Iterator[tuple[str, str]]:
    with open_bytes(file) as stream:
        text = stream.read().decode("utf-8-sig", "replace")
    try:
        whole = json.loads(text)
        records = whole if isinstance(whole, list) else [whole]
    except ValueError:
        records = [_parsed(line) for line in text.splitlines() if line.strip()]
    for number, record in enumerate(records, 1):
        name = str(record.get("question_id") or record.get("id") or number) if isinstance(record, dict) else str(number)
        for said in _texts(record):
            yield name, said


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        if value.get("role", value.get("from", "user")) not in ("user", "human"):
            return
        for key in (*_FIELDS, "content", "value"):
            if key in value:
                yield from _texts(value[key])
