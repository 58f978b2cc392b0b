"""Scores as plain text, for a terminal."""

from collections.abc import Mapping
from typing import Any

import msgspec

from humanturn.records import Measurement
from humanturn.text_table import aligned


def describe(result: Mapping[str, Any]) -> str:
    """Grades, comparisons, the judges' reliability, and everything that was counted and not averaged."""
    sections = []
    if result.get("single"):
        sections += _single(result["single"])
    if result.get("pairwise"):
        sections += _pairwise(result["pairwise"])
    sections += _counted(result)
    return "\n\n".join(sections)


def _single(table: Mapping[str, Any]) -> list[str]:
    models = table["models"]
    turns = sorted({turn for row in models.values() for turn in row["turns"]})
    head = ["", "average", *(f"turn {turn}" for turn in turns), "n", "unparsed"]
    rows = [head] + [
        [
            name,
            _interval(row["average"], 2),
            *(_interval(row["turns"].get(turn), 2) for turn in turns),
            str(_measured(row["average"]).n),
            str(row["unparsed"]),
        ]
        for name, row in models.items()
    ]
    sections = ["Grades, 1 to 10 (mean, 95 % interval over questions)\n" + aligned(rows)]
    if table["categories"]:
        rows = [["", *models]]
        rows += [[c, *(_figure(row["categories"].get(c), 2) for row in models.values())] for c in table["categories"]]
        sections.append("Grades by category\n" + aligned(rows))
    judges = list(dict.fromkeys(judge for row in models.values() for judge in row["judges"]))
    if len(judges) > 1:
        rows = [["", *judges]]
        rows += [[name, *(_interval(row["judges"].get(j), 2) for j in judges)] for name, row in models.items()]
        sections.append("Grades by judge\n" + aligned(rows))
    for key, title in (("judge_agreement", "Judges on the same answer"), ("self_consistency", "A judge asked again")):
        if table.get(key):
            found = table[key]
            sections.append(
                f"{title}: same grade {found['same']:.0%} of {found['items']} answers, {found['mean_difference']:.2f}"
                f" apart on average, Krippendorff's alpha {_or_none(found['krippendorff_alpha'])}"
            )
    return sections


def _pairwise(table: Mapping[str, Any]) -> list[str]:
    rows = [["", "wins", "ties", "losses", "win rate (ties half)", "unparsed"]]
    for pair in table["pairs"]:
        rows.append([f"{pair['a']} against {pair['b']}", *_tally(pair)])
        turns = pair["turns"] if len(pair["turns"]) > 1 else {}
        rows += [[f"  turn {turn}", *_tally(part)] for turn, part in turns.items()]
    sections = ["Comparisons, both orders asked (95 % interval over questions)\n" + aligned(rows)]
    if len(table["pairs"]) == 1 and table["categories"]:
        parts = table["pairs"][0]["categories"]
        rows = [rows[0], *([c, *_tally(parts[c])] for c in table["categories"] if c in parts)]
        sections.append("By category\n" + aligned(rows))
    if table["ranking"]:
        rows = [["", "rating", "win rate (ties half)"]]
        for row in table["ranking"]:
            against_all = table["models"][row["model"]]["win_rate_adjusted"]
            rows.append([row["model"], _interval(row["rating"], 0), _percent(against_all)])
        sections.append("Bradley-Terry ranking (mean 1000; 400 points are odds of 10 to 1)\n" + aligned(rows))
    rows = [["", "n", "same verdict", "first wins", "second wins"]]
    for judge, found in table["position"].items():
        shares = ("-" if found[k] is None else f"{found[k]:.1%}" for k in ("consistent", "first", "second"))
        rows.append([judge, str(found["comparisons"]), *shares])
    sections.append("Position bias: what a judge says when the two answers swap places\n" + aligned(rows))
    for key, title in (("judge_agreement", "Judges on the same pair"), ("self_consistency", "A judge asked again")):
        if table.get(key):
            found = table[key]
            sections.append(
                f"{title}: same verdict {found['same']:.0%} of {found['items']} comparisons, Fleiss' kappa"
                f" {_or_none(found['fleiss_kappa'])}, Krippendorff's alpha {_or_none(found['krippendorff_alpha'])}"
            )
    return sections


def _counted(result: Mapping[str, Any]) -> list[str]:
    """Lines about what is not in the averages, or in them with a defect."""
    lines = []
    for name, found in (result.get("answers") or {}).items():
        if isinstance(found, Mapping) and any(found.values()):
            lines.append(f"{name}: turns " + ", ".join(f"{what} {n}" for what, n in found.items() if n))
    if result.get("refused_judgments"):
        lines.append(f"judgments an endpoint refused: {result['refused_judgments']} (counted as unparsed)")
    lines += [f"not used: {n} line{'s' * (n > 1)} of {reason}" for reason, n in (result.get("malformed") or {}).items()]
    single = (result.get("single") or {}).get("models", {})
    lines += [f"{m}: {row['out_of_range']} grades outside 1 to 10" for m, row in single.items() if row["out_of_range"]]
    return ["\n".join(lines)] if lines else []


def _tally(found: Mapping[str, Any]) -> list[str]:
    counts = [str(found[key]) for key in ("wins", "ties", "losses")]
    return [*counts, _percent(found["win_rate"]), str(found["unparsed"])]


def _measured(value: Any) -> Measurement:
    return msgspec.convert(value, Measurement, from_attributes=True)


def _figure(value: Any, digits: int, scale: float = 1.0) -> str:
    if value is None or not _measured(value).n:
        return "-"
    return f"{_measured(value).value * scale:.{digits}f}"


def _interval(value: Any, digits: int, scale: float = 1.0) -> str:
    m = _measured(value) if value is not None else None
    if m is None or m.low is None or m.high is None:
        return _figure(value, digits, scale)
    return f"{_figure(value, digits, scale)} [{m.low * scale:.{digits}f}, {m.high * scale:.{digits}f}]"


def _percent(value: Any) -> str:
    return _interval(value, 1, 100.0) + " %" if value is not None and _measured(value).n else "-"


def _or_none(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"
