"""Comparisons as tables: win, tie and loss (the paper's Figure 2), win rates, position bias, one ranking.

A comparison is two games, one in each order. A verdict is a win when both games agree on the winner; two games that
contradict each other are a tie; a win in one game and a tie in the other is a tie too under the rule `both`, as in
FastChat, and a win under the rule `lenient`. A comparison with a game that could not be read is no verdict.
"""

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from humanturn import agreement, stats
from humanturn.evaluate import bradley_terry
from humanturn.evaluate.fastchat import PairRow
from humanturn.evaluate.scores import clustered, ordered_categories
from humanturn.records import Measurement, QuestionId

Rule = Literal["both", "lenient"]
Verdict = Literal["win", "tie", "loss"]
"""Of the model that stands first in the pair."""

WORTH = {"win": 1.0, "tie": 0.5, "loss": 0.0}
"""What a verdict counts in a win rate: a tie is half a win (the paper's 54.35 % is 52 wins, 70 ties, 38 losses)."""
_FLIPPED: dict[Verdict, Verdict] = {"win": "loss", "tie": "tie", "loss": "win"}


class Compared(msgspec.Struct, frozen=True):
    """A comparison with its verdict."""

    a: str
    b: str
    question_id: QuestionId
    turn: int
    judge: str
    repeat: int
    verdict: Verdict | None
    """Of `a` against `b`; None when a game could not be read."""


def verdict(row: PairRow, rule: Rule = "both") -> Verdict | None:
    """The verdict of two games on `model_1`."""
    games = (row.g1_winner, row.g2_winner)
    if "error" in games:
        return None
    winners = set(games) - ({"tie"} if rule == "lenient" else set())
    if winners == {"model_1"}:
        return "win"
    return "loss" if winners == {"model_2"} else "tie"


def table(
    rows: Sequence[PairRow], categories: Mapping[QuestionId, str], *, rule: Rule = "both", seed: int = 0
) -> dict[str, Any]:
    """Win, tie and loss by pair and by model, biases and agreement of the judges, and a ranking of three or more."""
    compared = _oriented(rows, rule)
    names = list(dict.fromkeys(name for c in compared for name in (c.a, c.b)))
    pairs = dict.fromkeys((c.a, c.b) for c in compared)
    return {
        "rule": rule,
        "pairs": [_pair(a, b, compared, categories, seed) for a, b in pairs],
        "models": {name: _model(name, compared, seed) for name in names},
        "categories": ordered_categories(rows, categories),
        "position": _position(rows),
        "judge_agreement": _agreement(compared, lambda c: (c.a, c.b, c.question_id, c.turn, c.repeat)),
        "self_consistency": _agreement(compared, lambda c: (c.a, c.b, c.question_id, c.turn, c.judge)),
        "ranking": _ranking(names, compared, seed) if len(names) > 2 else None,
    }


def _oriented(rows: Iterable[PairRow], rule: Rule) -> list[Compared]:
    """Every comparison of two models the way round of the first of them, whichever way later rows have it."""
    first: dict[frozenset[str], tuple[str, str]] = {}
    compared = []
    for row in rows:
        sides, said = (row.model_1, row.model_2), verdict(row, rule)
        a, b = first.setdefault(frozenset(sides), sides)
        if (a, b) != sides:
            said = said and _FLIPPED[said]
        compared.append(Compared(a, b, row.question_id, row.turn, row.judge[0], row.repeat, said))
    return compared


def _pair(
    a: str, b: str, compared: Sequence[Compared], categories: Mapping[QuestionId, str], seed: int
) -> dict[str, Any]:
    own = [c for c in compared if (c.a, c.b) == (a, b)]
    by_turn, by_category = defaultdict(list), defaultdict(list)
    for c in own:
        by_turn[str(c.turn)].append(c)
        if c.question_id in categories:
            by_category[categories[c.question_id]].append(c)
    return {
        "a": a,
        "b": b,
        **_tally(own, seed),
        "turns": {turn: _tally(by_turn[turn], seed) for turn in sorted(by_turn)},
        "categories": {name: _tally(part, seed) for name, part in by_category.items()},
    }


def _tally(compared: Iterable[Compared], seed: int) -> dict[str, Any]:
    """Counts of verdicts on `a`, and its win rate with ties as half wins."""
    verdicts = [(c.question_id, c.verdict) for c in compared]
    said = [v for _, v in verdicts]
    rate = _never_certain(
        clustered(((q, WORTH[v]) for q, v in verdicts if v), seed=seed), {q for q, v in verdicts if v}
    )
    return {
        **{"wins": said.count("win"), "ties": said.count("tie"), "losses": said.count("loss")},
        "unparsed": said.count(None),
        "win_rate": rate,
    }


def _never_certain(rate: Measurement, questions: Collection[QuestionId]) -> Measurement:
    """Resampling verdicts that are all the same gives an interval of no width; then the exact bound.

    What was seen of all questions holds for a share of at least `bound` of them; the others may be anything.
    """
    if rate.low is None or rate.low != rate.high:
        return rate
    bound = 0.025 ** (1 / len(questions))
    return msgspec.structs.replace(rate, low=bound * rate.value, high=1 - bound * (1 - rate.value))


def _model(name: str, compared: Iterable[Compared], seed: int) -> dict[str, Any]:
    """One model against all others: the row of FastChat's `show_result`."""
    own = [
        c if c.a == name else msgspec.structs.replace(c, a=c.b, b=c.a, verdict=c.verdict and _FLIPPED[c.verdict])
        for c in compared
        if name in (c.a, c.b)
    ]
    tally = _tally(own, seed)
    total = tally["wins"] + tally["ties"] + tally["losses"]
    adjusted = tally.pop("win_rate")
    return {
        **tally,
        "win_rate": tally["wins"] / total if total else None,
        "loss_rate": tally["losses"] / total if total else None,
        "win_rate_adjusted": adjusted,
    }


def _position(rows: Sequence[PairRow]) -> dict[str, dict[str, Any]]:
    """By judge: how often swapping the answers kept the verdict, or let the same *place* win (Zheng et al. 2023)."""
    found: dict[str, dict[str, Any]] = {}
    for judge in dict.fromkeys(row.judge[0] for row in rows):
        games = [(r.g1_winner, r.g2_winner) for r in rows if r.judge[0] == judge]
        read = [game for game in games if "error" not in game]
        shares = {
            "consistent": sum(first == second for first, second in read),
            "first": read.count(("model_1", "model_2")),
            "second": read.count(("model_2", "model_1")),
        }
        found[judge] = {
            "comparisons": len(read),
            **{name: count / len(read) if read else None for name, count in shares.items()},
        }
    return found


def _agreement(compared: Iterable[Compared], item: Any) -> dict[str, Any] | None:
    """How far verdicts on the same item agree; None when no item has two."""
    items = defaultdict(list)
    for c in compared:
        if c.verdict is not None:
            items[item(c)].append(c.verdict)
    several = [verdicts for verdicts in items.values() if len(verdicts) > 1]
    share = agreement.pairwise_share(several)
    if share is None:
        return None
    return {
        "items": len(several),
        "same": share[0],
        "fleiss_kappa": agreement.fleiss_kappa(several),
        "krippendorff_alpha": agreement.krippendorff_alpha(several),
    }


def _ranking(names: Sequence[str], compared: Iterable[Compared], seed: int) -> list[dict[str, Any]] | None:
    """Bradley-Terry ratings, strongest first, with intervals by resampling questions."""
    place = {name: number for number, name in enumerate(names)}
    wins: dict[QuestionId, Any] = defaultdict(lambda: np.zeros((len(names), len(names))))
    counts: dict[str, int] = defaultdict(int)
    for c, (winner, loser) in itertools.product(compared, ((0, 1), (1, 0))):
        if c.verdict is not None:
            sides = (c.a, c.b)
            worth = WORTH[c.verdict] if winner == 0 else 1 - WORTH[c.verdict]
            wins[c.question_id][place[sides[winner]], place[sides[loser]]] += worth
            counts[sides[winner]] += 1
    if not wins:
        return None
    values, draws = bradley_terry.ratings(list(wins.values()), seed=seed)
    low, high = np.percentile(draws, stats.percentiles(len(wins)) if len(wins) > 1 else (2.5, 97.5), axis=0)
    order = sorted(place.values(), key=lambda i: -values[i])
    return [
        {
            "model": names[i],
            "rating": Measurement(float(values[i]), counts[names[i]], float(low[i]), float(high[i])),
        }
        for i in order
    ]
