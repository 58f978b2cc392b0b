"""Grades as tables: the averages of the paper's Tables 1, 3 and 4.

Intervals come from resampling questions, since the turns, judges and repeats of one question are not independent; a
measurement's `n` counts grades.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from humanturn import agreement, stats
from humanturn.evaluate.fastchat import UNPARSED, SingleRow
from humanturn.records import Measurement, QuestionId


def table(rows: Sequence[SingleRow], categories: Mapping[QuestionId, str], *, seed: int = 0) -> dict[str, Any]:
    """Averages by model, best first: overall, by turn, by category, by judge; what could not be read beside them.

    The averages are those of FastChat's `show_result`: over every row whose score is not -1.
    """
    models: dict[str, dict[str, Any]] = {}
    for model, own in _grouped(rows, lambda row: row.model).items():
        graded = [row for row in own if row.score != UNPARSED]
        by_category = _grouped(graded, lambda row: categories.get(row.question_id, ""))
        by_turn = _grouped(graded, lambda row: str(row.turn))
        by_judge = _grouped(graded, lambda row: row.judge[0])
        models[model] = {
            "average": _mean(graded, seed),
            "turns": {turn: _mean(by_turn[turn], seed) for turn in sorted(by_turn)},
            "categories": {name: _mean(part, seed) for name, part in by_category.items() if name},
            "judges": {judge: _mean(part, seed) for judge, part in by_judge.items()},
            "unparsed": len(own) - len(graded),
            "out_of_range": sum(not 1 <= row.score <= 10 for row in graded),
        }
    best_first = sorted(models.items(), key=lambda item: -item[1]["average"].value if item[1]["average"].n else 0.0)
    return {
        "models": dict(best_first),
        "categories": ordered_categories(rows, categories),
        "judge_agreement": _agreement(rows, within=("judge",)),
        "self_consistency": _agreement(rows, within=("repeat",)),
    }


def ordered_categories(rows: Iterable[Any], categories: Mapping[QuestionId, str]) -> list[str]:
    """Categories that occur, in the order of the question file."""
    used = {categories.get(row.question_id) for row in rows}
    return [name for name in dict.fromkeys(categories.values()) if name in used]


def clustered(values: Iterable[tuple[QuestionId, float]], *, seed: int) -> Measurement:
    """Mean of values with an interval by resampling questions; `n` counts values."""
    sums: dict[QuestionId, float] = defaultdict(float)
    counts: dict[QuestionId, int] = defaultdict(int)
    for question, value in values:
        sums[question] += value
        counts[question] += 1
    ids = list(sums)
    measured = stats.ratio_of_sums([sums[i] for i in ids], [float(counts[i]) for i in ids], seed=seed)
    return msgspec.structs.replace(measured, n=sum(counts.values()))


def _mean(rows: Iterable[SingleRow], seed: int) -> Measurement:
    return clustered(((row.question_id, row.score) for row in rows), seed=seed)


def _agreement(rows: Sequence[SingleRow], *, within: tuple[str]) -> dict[str, Any] | None:
    """How far grades of the same answer agree that differ in `within` alone; None when none do."""
    same = [name for name in ("judge", "repeat") if name not in within]
    items: dict[Any, list[float]] = defaultdict(list)
    for row in rows:
        fixed = (row.judge[0] if "judge" in same else None, row.repeat if "repeat" in same else None)
        if row.score != UNPARSED:
            items[(row.model, row.question_id, row.turn, *fixed)].append(row.score)
    compared = [grades for grades in items.values() if len(grades) > 1]
    if not compared:
        return None
    differences = [abs(a - b) for grades in compared for a, b in itertools.combinations(grades, 2)]
    share = agreement.pairwise_share(compared)
    return {
        "items": len(compared),
        "same": share[0] if share else None,
        "mean_difference": sum(differences) / len(differences),
        "krippendorff_alpha": agreement.krippendorff_alpha(compared, agreement.interval),
    }


def _grouped(rows: Iterable[SingleRow], by: Any) -> dict[str, list[SingleRow]]:
    groups: dict[str, list[SingleRow]] = defaultdict(list)
    for row in rows:
        groups[by(row)].append(row)
    return dict(groups)
