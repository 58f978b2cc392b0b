"""The answers that people compare: from an evaluation's directory, or one laid out as FastChat does."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec

from humanturn import jsonl
from humanturn.errors import InputError
from humanturn.records import Answer, Question

NO_ANSWER = "$ERROR$"


class Item(msgspec.Struct, frozen=True):
    """Two answers to one question."""

    key: str
    """Names the item for good: the question's id and the two models."""
    question: Question
    model_1: str
    model_2: str
    answer_1: tuple[str, ...]
    answer_2: tuple[str, ...]


class PairRow(msgspec.Struct, frozen=True):
    """What we need of a judge's comparison."""

    question_id: int | str
    model_1: str
    model_2: str
    g1_winner: str
    g2_winner: str


def read_items(folder: Path) -> list[Item]:
    """Every pair of models on every question that both answered in full.

    Raises:
        InputError: the folder holds no questions, or answers of fewer than two models.
    """
    questions = _first(folder, "questions.jsonl", "question.jsonl")
    answers = _first(folder, "answers", "model_answer")
    if questions is None or answers is None:
        raise InputError(f"{folder}: holds no evaluation (questions.jsonl and answers/); give evaluate's --out")
    models = {path.stem: _answers(path) for path in sorted(answers.glob("*.jsonl"), key=lambda path: path.stem)}
    if len(models) < 2:
        raise InputError(f"{answers}: holds answers of {len(models)} model; comparing needs two")
    items = []
    for question in jsonl.read(questions, Question):
        for a, b in itertools.combinations(models, 2):
            first, second = (models[name].get(question.question_id) for name in (a, b))
            if first and second:
                key = msgspec.json.encode([question.question_id, a, b]).decode()
                items.append(Item(key, question, a, b, first, second))
    if not items:
        raise InputError(f"{folder}: no question was answered by two models")
    return items


def judge_scores(folder: Path) -> dict[str, float]:
    """What judges found, by item: mean over turns and judges of 1 for `model_1`, 0 for `model_2`, one half for a tie.

    Empty when the folder holds no pairwise judgments. As in `evaluate`, two games that disagree are a tie.
    """
    found: dict[str, list[float]] = {}
    for path in _judgments(folder):
        for row in jsonl.read(path, PairRow):
            if "error" in (row.g1_winner, row.g2_winner):
                continue
            agreed = row.g1_winner if row.g1_winner == row.g2_winner else "tie"
            models, score = [row.model_1, row.model_2], {"model_1": 1.0, "model_2": 0.0}.get(agreed, 0.5)
            if models != sorted(models):
                models, score = models[::-1], 1 - score
            found.setdefault(msgspec.json.encode([row.question_id, *models]).decode(), []).append(score)
    return {key: sum(scores) / len(scores) for key, scores in found.items()}


def _judgments(folder: Path) -> Iterator[Path]:
    for name in ("judgments", "model_judgment"):
        yield from sorted((folder / name).glob("*_pair.jsonl"))


def _first(folder: Path, *names: str) -> Path | None:
    return next((folder / name for name in names if (folder / name).exists()), None)


def _answers(path: Path) -> dict[int | str, tuple[str, ...]]:
    """Complete answers by question."""
    rows = (answer for answer in jsonl.read(path, Answer) if answer.choices)
    return {row.question_id: row.choices[0].turns for row in rows if NO_ANSWER not in row.choices[0].turns}
