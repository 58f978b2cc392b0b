"""The files an evaluation leaves, in FastChat's format, made from its store."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from humanturn import jsonl
from humanturn.evaluate.answers import key
from humanturn.evaluate.fastchat import UNPARSED, Game, PairRow, SingleRow
from humanturn.evaluate.judge import Answers
from humanturn.evaluate.store import Judged, Store
from humanturn.records import Question, QuestionId

NO_ANSWER = "$ERROR$"
"""FastChat's text for a turn that an endpoint refused."""


def answers(store: Store, models: Iterable[str], questions: Sequence[Question]) -> Answers:
    """Complete answers by model and question; those with a refused turn are left out."""
    found: dict[str, dict[QuestionId, tuple[str, ...]]] = {}
    for model in models:
        found[model] = {}
        for question in questions:
            turns = store.answer(model, key(question))
            if len(turns) == len(question.turns) and not any(turn.error for turn in turns):
                found[model][question.question_id] = tuple(turn.text for turn in turns)
    return found


def write_answers(
    store: Store, models: Mapping[str, str], questions: Sequence[Question], folder: Path
) -> dict[str, dict[str, int]]:
    """Write `folder/NAME.jsonl` for every model; returns what is worth a warning, by model.

    Counts turns: `cut` by the token limit, `empty`, `refused` by the endpoint.
    """
    counts = {}
    for name, spec in models.items():
        rows: list[dict[str, Any]] = []
        count = dict.fromkeys(("cut", "empty", "refused"), 0)
        for question in questions:
            turns = store.answer(name, key(question))
            texts = [NO_ANSWER if turn.error else turn.text for turn in turns]
            texts += [NO_ANSWER] * (len(question.turns) - len(texts))
            reasons = [turn.finish_reason for turn in turns]
            count["cut"] += reasons.count("length")
            count["refused"] += texts.count(NO_ANSWER)
            count["empty"] += sum(not turn.text and not turn.error for turn in turns)
            rows.append(
                {
                    "question_id": question.question_id,
                    "answer_id": _answer_id(name, question, texts),
                    "model_id": name,
                    "choices": [{"index": 0, "turns": texts, "finish_reasons": reasons}],
                    "tstamp": turns[-1].at if turns else 0.0,
                    "spec": spec,
                }
            )
        jsonl.write(folder / f"{name}.jsonl", rows)
        counts[name] = count
    return counts


def single_rows(store: Store, judges: Sequence[str], questions: Sequence[Question]) -> list[SingleRow]:
    """Grades in order of judge, repeat, question, turn and model."""
    place = {key(question): number for number, question in enumerate(questions)}
    rows = [
        SingleRow(
            question_id=questions[place[j.asked.question]].question_id,
            model=j.asked.first,
            judge=(j.asked.judge, j.prompt),
            turn=j.asked.turn,
            score=UNPARSED if j.verdict is None else _plain(float(j.verdict)),
            user_prompt=j.user_prompt,
            judgment=j.text,
            tstamp=j.at,
            repeat=j.asked.repeat,
            error=j.error,
        )
        for j in store.final_judgments()
        if not j.asked.second
    ]
    ids = {question.question_id: number for number, question in enumerate(questions)}
    return sorted(rows, key=lambda r: (judges.index(r.judge[0]), r.repeat, ids[r.question_id], r.turn, r.model))


def pair_rows(
    store: Store, judges: Sequence[str], questions: Sequence[Question], pairs: Sequence[tuple[str, str]]
) -> list[PairRow]:
    """Comparisons, both games in one row, in order of judge, repeat, question, pair and turn."""
    games = {j.asked: j for j in store.final_judgments() if j.asked.second}
    rows = []
    for asked, first in games.items():
        if (asked.first, asked.second) not in pairs:
            continue
        second = games.get(msgspec.structs.replace(asked, first=asked.second, second=asked.first))
        if second is None:
            continue
        rows.append((asked, _pair_row(first, second)))
    place = {key(question): number for number, question in enumerate(questions)}

    def order(row: tuple[Any, PairRow]) -> tuple[int, ...]:
        asked = row[0]
        pair = pairs.index((asked.first, asked.second))
        return judges.index(asked.judge), asked.repeat, place[asked.question], pair, asked.turn

    return [row for _, row in sorted(rows, key=order)]


def _pair_row(first: Judged, second: Judged) -> PairRow:
    asked = first.asked
    return PairRow(
        question_id=msgspec.json.decode(asked.question),
        model_1=asked.first,
        model_2=asked.second,
        judge=(asked.judge, first.prompt),
        turn=asked.turn,
        g1_winner=_game(first.verdict, ("model_1", "model_2")),
        g2_winner=_game(second.verdict, ("model_2", "model_1")),
        g1_user_prompt=first.user_prompt,
        g1_judgment=first.text,
        g2_user_prompt=second.user_prompt,
        g2_judgment=second.text,
        tstamp=second.at,
        repeat=asked.repeat,
        error=first.error or second.error,
    )


def _game(verdict: str | None, shown: tuple[Game, Game]) -> Game:
    if verdict is None:
        return "error"
    return "tie" if verdict == "tie" else shown["AB".index(verdict)]


def _plain(score: float) -> float:
    """7 rather than 7.0, as FastChat writes it."""
    return int(score) if score.is_integer() else score


def _answer_id(model: str, question: Question, texts: Sequence[str]) -> str:
    digest = hashlib.blake2b(msgspec.json.encode([model, question.question_id, texts]), digest_size=11)
    return digest.hexdigest()
