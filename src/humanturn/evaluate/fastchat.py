"""FastChat's answer and judgment files, written and read.

Its viewer and `show_result` read what we write; we read what they wrote, count what cannot be used, and say so.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from humanturn import jsonl
from humanturn.errors import InputError
from humanturn.records import QuestionId

UNPARSED = -1.0
"""FastChat's score for a reply without a grade."""

Game = Literal["model_1", "model_2", "tie", "error"]


class SingleRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a `*_single.jsonl`."""

    question_id: QuestionId
    model: str
    judge: tuple[str, str]
    """Judge and prompt."""
    turn: int
    score: float
    user_prompt: str = ""
    judgment: str = ""
    tstamp: float = 0.0
    repeat: int = 0
    error: str | None = None


class PairRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a `*_pair.jsonl`: in the first game `model_1` is shown first, in the second `model_2`."""

    question_id: QuestionId
    model_1: str
    model_2: str
    judge: tuple[str, str]
    turn: int
    g1_winner: Game
    g2_winner: Game
    g1_user_prompt: str = ""
    g1_judgment: str = ""
    g2_user_prompt: str = ""
    g2_judgment: str = ""
    tstamp: float = 0.0
    repeat: int = 0
    error: str | None = None


class Found(msgspec.Struct):
    """What files held."""

    singles: list[SingleRow] = []
    pairs: list[PairRow] = []
    categories: dict[QuestionId, str] = {}
    answers: dict[str, int] = {}
    """Answered questions by model."""
    malformed: dict[str, int] = {}
    """Lines that could not be used, by file and reason."""


def files(paths: Sequence[Path]) -> list[Path]:
    """The JSONL files among `paths`, folders searched through.

    Raises:
        InputError: there are none.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        found += sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]
    if not found:
        raise InputError(f"{', '.join(map(str, paths))}: no .jsonl file there")
    return list(dict.fromkeys(found))


def read(paths: Sequence[Path]) -> Found:
    """Judgments, and the questions' categories, of every file; lines that are neither are counted, not skipped over.

    Raises:
        InputError: no file is there.
    """
    found, malformed = Found(), Counter[str]()
    for path in files(paths):
        for line in _lines(path):
            problem = _take(line, found)
            if problem:
                malformed[f"{path.name}: {problem}"] += 1
    found.malformed = dict(malformed)
    return found


def _lines(path: Path) -> Iterator[bytes]:
    with jsonl.open_bytes(path) as file:
        yield from (line for line in file if line.strip())


def _take(line: bytes, found: Found) -> str | None:
    """Put the line where it belongs; what is wrong with it, if anything is."""
    try:
        record = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return "not JSON"
    if not isinstance(record, dict):
        return "not an object"
    if "prompt_template" in record:
        return None
    question = _question_id(record.get("question_id"))
    if question is None:
        return "no question_id"
    try:
        if "model_1" in record:
            found.pairs.append(_pair(question, record))
        elif "model" in record:
            found.singles.append(_single(question, record))
        elif "choices" in record:
            name = str(record["model_id"])
            found.answers[name] = found.answers.get(name, 0) + 1
        elif "turns" in record:
            found.categories[question] = str(record["category"])
        else:
            return "neither answer, judgment nor question"
    except KeyError as error:
        return f"no {error.args[0]}"
    except ValueError as error:
        return str(error)
    return None


def _question_id(value: Any) -> QuestionId | None:
    if isinstance(value, str) and value.isdigit():
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def _single(question: QuestionId, record: dict[str, Any]) -> SingleRow:
    return SingleRow(
        question_id=question,
        model=str(record["model"]),
        judge=_judge(record),
        turn=int(_number(record["turn"], "turn")),
        score=_number(record["score"], "score"),
        repeat=int(_number(record.get("repeat", 0), "repeat")),
    )


def _pair(question: QuestionId, record: dict[str, Any]) -> PairRow:
    games = [record["winner"]] * 2 if "winner" in record else [record["g1_winner"], record["g2_winner"]]
    for game in games:
        if game not in ("model_1", "model_2", "tie", "error"):
            raise ValueError("winner is no winner")
    return PairRow(
        question_id=question,
        model_1=str(record["model_1"]),
        model_2=str(record["model_2"]),
        judge=_judge(record),
        turn=int(_number(record.get("turn", 1), "turn")),
        g1_winner=games[0],
        g2_winner=games[1],
        repeat=int(_number(record.get("repeat", 0), "repeat")),
    )


def _judge(record: dict[str, Any]) -> tuple[str, str]:
    judge = record.get("judge") or ["unknown", ""]
    if isinstance(judge, str):
        return judge, ""
    if not isinstance(judge, list):
        raise ValueError("judge is no judge")
    return str(judge[0]), str(judge[1]) if len(judge) > 1 else ""


def _number(value: Any, name: str) -> float:
    """A number, also one written as a string."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is no number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} is no number")
    return number
