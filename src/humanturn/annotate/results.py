"""What people found: scores, agreement among them, agreement with judges, and files of votes."""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from humanturn import agreement, stats
from humanturn.annotate.store import Vote

Format = Literal["jsonl", "csv"]

WORTH = {"model_1": 1.0, "tie": 0.5, "model_2": 0.0}
VERDICTS = ("win", "tie", "loss")


def summary(votes: Sequence[Vote], judged: Mapping[str, float], *, seed: int = 0) -> dict[str, Any]:
    """Counts, scores by pair of models, and agreement.

    Args:
        votes: those that count.
        judged: mean judge score of `model_1` by item key, as from `pairs.judge_scores`; may be empty.
        seed: of the intervals.
    """
    by_item = _by_item(votes)
    by_pair: dict[tuple[str, str], list[list[Vote]]] = defaultdict(list)
    for own in by_item.values():
        by_pair[own[0].item.model_1, own[0].item.model_2].append(own)
    return {
        "votes": len(votes),
        "items": len(by_item),
        "annotators": len({vote.annotator for vote in votes}),
        "pairs": [_pair(a, b, items, seed) for (a, b), items in by_pair.items()],
        "agreement": among_people(votes),
        "human_judge": _with_judges(by_item, judged),
        "first_shown_wins": _position(votes),
    }


def among_people(votes: Sequence[Vote]) -> dict[str, Any]:
    """Fleiss' kappa, Krippendorff's alpha, and the share of pairs of votes on one item that are the same."""
    items = [[vote.verdict for vote in own] for own in _by_item(votes).values()]
    share = agreement.pairwise_share(items)
    return {
        "items": sum(len(item) > 1 for item in items),
        "same": share[0] if share else None,
        "fleiss_kappa": agreement.fleiss_kappa(items),
        "krippendorff_alpha": agreement.krippendorff_alpha(items),
    }


def majority(votes: Sequence[Vote]) -> str:
    """What more than half of the annotators said of `model_1`: win, loss; a tie otherwise."""
    verdicts = [vote.verdict for vote in votes]
    for verdict, said in (("model_1", "win"), ("model_2", "loss")):
        if 2 * verdicts.count(verdict) > len(verdicts):  # type: ignore[arg-type]
            return said
    return "tie"


def write_votes(votes: Sequence[Vote], fmt: Format) -> bytes:
    """Every vote as a line of JSON, or a row of CSV that a spreadsheet takes for text, not formulas."""
    rows = [table_row(vote) for vote in votes]
    if fmt == "jsonl":
        return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else ["question_id"])
    writer.writeheader()
    writer.writerows({key: _inert(value) for key, value in row.items()} for row in rows)
    return text.getvalue().encode("utf-8-sig")


def table_row(vote: Vote) -> dict[str, Any]:
    """A vote as one flat record."""
    item = vote.item
    return {
        "question_id": item.question.question_id,
        "category": item.question.category,
        "model_1": item.model_1,
        "model_2": item.model_2,
        "annotator": vote.annotator,
        "verdict": vote.verdict,
        "winner": "tie" if vote.verdict == "tie" else getattr(item, vote.verdict),
        "shown_first": vote.shown_first,
        "comment": vote.comment,
        "at": vote.at,
    }


def describe(found: Mapping[str, Any]) -> str:
    """The summary as plain text for a terminal."""
    lines = [f"{found['votes']} votes of {found['annotators']} annotators on {found['items']} items"]
    for pair in found["pairs"]:
        m = pair["mean_score"]
        interval = f" [{m.low:.1%}, {m.high:.1%}]" if m.low is not None else ""
        lines.append(
            f"{pair['a']} against {pair['b']}: {pair['wins']} wins, {pair['ties']} ties, {pair['losses']} losses by"
            f" majority; mean score {m.value:.1%}{interval}"
        )
    own = found["agreement"]
    if own["same"] is not None:
        lines.append(
            f"annotators agree on {own['same']:.1%} of pairs of votes; Fleiss' kappa {_shown(own['fleiss_kappa'])},"
            f" Krippendorff's alpha {_shown(own['krippendorff_alpha'])}"
        )
    judges = found["human_judge"]
    if judges:
        untied = "" if judges["untied"] is None else f"; {judges['untied']:.1%} where neither says tie"
        lines.append(f"people and judges agree on {judges['same']:.1%} of {judges['items']} items{untied}")
    return "\n".join(lines)


def _pair(a: str, b: str, items: Sequence[Sequence[Vote]], seed: int) -> dict[str, Any]:
    """One pair of models: majority verdicts, and the mean score of `a` over annotators (paper, section 4.2.2)."""
    verdicts = [majority(own) for own in items]
    scores = [sum(WORTH[vote.verdict] for vote in own) / len(own) for own in items]
    return {
        "a": a,
        "b": b,
        **{name: verdicts.count(said) for name, said in zip(("wins", "ties", "losses"), VERDICTS, strict=True)},
        "mean_score": stats.mean(scores, seed=seed),
    }


def _with_judges(by_item: Mapping[str, Sequence[Vote]], judged: Mapping[str, float]) -> dict[str, Any] | None:
    """Share of items on which the majority of people and the judges say the same; None without judges."""
    both = []
    for key, own in by_item.items():
        if key in judged:
            score = judged[key]
            both.append((majority(own), "win" if score > 0.5 else "loss" if score < 0.5 else "tie"))
    if not both:
        return None
    untied = [(people, judges) for people, judges in both if "tie" not in (people, judges)]
    return {
        "items": len(both),
        "same": sum(people == judges for people, judges in both) / len(both),
        "untied": sum(people == judges for people, judges in untied) / len(untied) if untied else None,
        "untied_items": len(untied),
        "krippendorff_alpha": agreement.krippendorff_alpha(both),
    }


def _position(votes: Sequence[Vote]) -> dict[str, Any]:
    """How often the answer shown first won, among votes that are no ties: half, when people are not biased."""
    decided = [vote for vote in votes if vote.verdict != "tie"]
    if not decided:
        return {"votes": 0, "share": None}
    return {"votes": len(decided), "share": sum(v.verdict == v.shown_first for v in decided) / len(decided)}


def _by_item(votes: Sequence[Vote]) -> dict[str, list[Vote]]:
    found: dict[str, list[Vote]] = defaultdict(list)
    for vote in votes:
        found[vote.item.key].append(vote)
    return dict(found)


def _inert(value: Any) -> Any:
    """A cell that no spreadsheet runs."""
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
