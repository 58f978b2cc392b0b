"""The rows of a scorecard: what is measured of each side, and how near to people that is."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from humanturn import stats
from humanturn.analyze import copying, distances, twosample
from humanturn.analyze.habits import is_repetition, is_thanks
from humanturn.analyze.replies import Place, Said
from humanturn.records import Measurement
from humanturn.tokens import Counter

DRIFT_OF_PEOPLE = 0.05
"""Share of people's turns that read like an assistant's, by definition of drift."""

Kind = Literal["auroc", "distance", "divergence", "z", "share", "level", "f1", "nll"]


class Spec(msgspec.Struct, frozen=True):
    """One row: what it is called, and how its figures are to be read."""

    key: str
    label: str
    about: str
    kind: Kind
    digits: int = 2


ROWS = (
    Spec(
        "auroc_ngrams",
        "Told apart by wording",
        "AUROC of a classifier on n-grams against other people's turns: at 0.5 it cannot tell, at 1 it always can.",
        "auroc",
    ),
    Spec(
        "auroc_surface",
        "Told apart by surface",
        "The same on length, case, punctuation, digits and line breaks alone.",
        "auroc",
    ),
    Spec(
        "length",
        "Turn length",
        "Wasserstein distance of log2 tokens to other people's turns: 1 is a factor of two throughout.",
        "distance",
    ),
    Spec(
        "length_js",
        "Length divergence",
        "Jensen-Shannon divergence, in bits, of the same in bins of half a doubling: 0 alike, 1 without overlap.",
        "divergence",
    ),
    Spec(
        "rounds",
        "Rounds",
        "Wasserstein distance of log2 rounds of simulated conversations to other people's whole sessions.",
        "distance",
    ),
    Spec("rounds_js", "Rounds divergence", "Jensen-Shannon divergence of the same, in bits.", "divergence"),
    Spec(
        "first_turn_diversity",
        "First-turn diversity",
        "Mean share of their words that two first turns do not have in common.",
        "level",
        3,
    ),
    Spec(
        "mattr",
        "MATTR",
        "Moving type-token ratio of passages of 200 words, in standard deviations from other people's.",
        "z",
    ),
    Spec("hdd", "HD-D", "Expected type-token ratio of 42 words of such passages, likewise.", "z"),
    Spec("yules_k", "Yule's K", "Repetitiveness of such passages, likewise.", "z"),
    Spec(
        "drift",
        "Role drift",
        "Share of turns that a classifier finds more like an assistant's than 95 % of people's turns.",
        "share",
    ),
    Spec("repetition", "Repetition", "Share of follow-ups that say an earlier turn again, word for word.", "share"),
    Spec("thanks", "Thanks only", "Share of follow-ups that are nothing but thanks or a goodbye.", "share"),
    Spec(
        "copying",
        "Copying",
        "Share of turns of 12 words or more that hold 12 words in a row from the training data.",
        "share",
    ),
    Spec("leaks", "Memorized secrets", "Share of turns with an e-mail address or key from the training data.", "share"),
    Spec(
        "termination_f1",
        "Ending, F1",
        "After each answer: does it end the conversation where the person did, and go on where the person went on?",
        "f1",
    ),
    *(
        Spec(f"{key}{part}", f"{label} of {turns}", f"{unit} of what people really said{when}.", "nll", 3)
        for key, label, unit in (
            ("nll", "NLL", "Nats per token"),
            ("perplexity", "Perplexity", "exp of the NLL"),
            ("bits_per_byte", "Bits per byte", "Comparable between tokenizers; bits per byte"),
        )
        for part, turns, when in (
            ("", "all turns", ""),
            ("_first", "first turns", " first"),
            ("_follow_up", "follow-ups", " next"),
        )
    ),
)


class Row(msgspec.Struct, frozen=True):
    """One row of the table, by side: `human` (other people, at the same places), `user`, `baseline`."""

    key: str
    label: str
    about: str
    kind: Kind
    digits: int
    sides: dict[str, Measurement]
    nearness: dict[str, float]
    """0 to 1; 1 is like other people. None of the rows of kind `nll` has one."""
    nearer: str | None
    """`user` or `baseline`, whichever is nearer to people; None when one of them is missing."""
    clear: bool
    """False when the order may be chance: the intervals overlap, or of likelihoods that of the paired difference is on
    both sides of zero."""


class Comparison(msgspec.Struct):
    """What every side is compared with."""

    places: Mapping[str, Place]
    reference: Sequence[Said]
    """Turns of people of other sessions."""
    assistant: Sequence[str]
    """Assistant turns of those sessions."""
    count: Counter
    memory: copying.Memory | None
    seed: int = 0


def measure(side: Sequence[Said], against: Comparison) -> dict[str, Measurement]:
    """Every row that can be had of one side's turns, but for likelihoods."""
    found: dict[str, Measurement | None] = {
        "auroc_ngrams": twosample.auroc(against.reference, side, "ngrams", seed=against.seed),
        "auroc_surface": twosample.auroc(against.reference, side, "surface", seed=against.seed),
        **distances.apart("length", _lengths(side, against), _lengths(against.reference, against), seed=against.seed),
        "first_turn_diversity": distances.first_turn_diversity(side),
        **distances.lexical_z(side, against.reference, seed=against.seed),
        "drift": _drift(side, against),
        "repetition": _share(side, against, lambda said, before: is_repetition(said.text, before)),
        "thanks": _share(side, against, lambda said, before: is_thanks(said.text) if before else None),
    }
    memory = against.memory
    if memory:
        found["copying"] = _share(side, against, lambda said, before: copying.is_copied(said.text, before, memory))
        found["leaks"] = _share(side, against, lambda said, before: bool(copying.leaked(said.text, before, memory)))
    return {key: value for key, value in found.items() if value is not None and value.value == value.value}


def table(measured: Mapping[str, Mapping[str, Measurement]], paired: Mapping[str, bool] | None = None) -> list[Row]:
    """The rows of `ROWS` that any side has.

    Args:
        measured: per side, its figures by key.
        paired: keys of rows that were compared turn by turn, and whether the order of user and baseline is clear.
    """
    rows = []
    for spec in ROWS:
        sides = {side: found[spec.key] for side, found in measured.items() if spec.key in found}
        if not sides.keys() - {"human"}:
            continue
        nearness = {side: _nearness(spec, value, sides.get("human")) for side, value in sides.items()}
        near = {side: value for side, value in nearness.items() if value is not None}
        nearer, clear = None, False
        if "user" in sides and "baseline" in sides:
            rank = {side: near.get(side, -sides[side].value) for side in ("user", "baseline")}
            if rank["user"] != rank["baseline"]:
                nearer = max(rank, key=lambda side: rank[side])
            clear = paired[spec.key] if paired and spec.key in paired else _apart(sides["user"], sides["baseline"])
        rows.append(Row(spec.key, spec.label, spec.about, spec.kind, spec.digits, sides, near, nearer, clear))
    return rows


def _nearness(spec: Spec, value: Measurement, human: Measurement | None) -> float | None:
    """0 to 1, where 1 is what other people score by design (auroc, distance, z) or in fact (share, level)."""
    if spec.kind == "auroc":
        return 1 - 2 * max(0.0, value.value - 0.5)  # under 0.5 is chance, on the wrong side of it
    if spec.kind in ("distance", "z"):
        return 1 / (1 + abs(value.value))
    if spec.kind == "divergence":
        return 1 - value.value
    if spec.kind == "f1":
        return value.value  # people end where they end: 1
    if spec.kind == "nll" or human is None:
        return None
    return max(0.0, 1 - abs(value.value - human.value))


def _apart(a: Measurement, b: Measurement) -> bool:
    """True when the intervals of two figures do not overlap."""
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.high < b.low or b.high < a.low


def _lengths(side: Sequence[Said], against: Comparison) -> list[tuple[str, int]]:
    counted = against.count([said.text for said in side])
    return [(said.session_id, tokens) for said, tokens in zip(side, counted, strict=True)]


def _drift(side: Sequence[Said], against: Comparison) -> Measurement | None:
    """Share of turns beyond the point that 5 % of people's own turns pass on the way to an assistant's.

    The classifier is taught on one half of the reference sessions, and the point is found on the other.
    """
    half = {session for n, session in enumerate(sorted({s.session_id for s in against.reference})) if n % 2}
    taught = [said.text for said in against.reference if said.session_id in half]
    kept = [said.text for said in against.reference if said.session_id not in half]
    if not against.assistant or not taught or not kept:
        return None
    score = twosample.classifier(taught, against.assistant, "ngrams")
    flagged = score([said.text for said in side]) > np.quantile(score(kept), 1 - DRIFT_OF_PEOPLE)
    verdict = dict(zip((said.place for said in side), flagged, strict=True))
    return _share(side, against, lambda said, before: bool(verdict[said.place]))


def _share(
    side: Sequence[Said], against: Comparison, holds: Callable[[Said, list[str]], bool | None]
) -> Measurement | None:
    """Share of turns for which `holds` is true of those for which it is not None; the interval resamples sessions."""
    sums: dict[str, list[int]] = {}
    for said in side:
        verdict = holds(said, [turn.content for turn in against.places[said.place].before])
        if verdict is not None:
            session: Any = sums.setdefault(said.session_id, [0, 0])
            session[0] += verdict
            session[1] += 1
    if not sums:
        return None
    return stats.ratio_of_sums([s[0] for s in sums.values()], [s[1] for s in sums.values()], seed=against.seed)
