"""How well models predict heldout humans: negative log-likelihood per token, with paired intervals over sessions."""

import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from humanturn import stats
from humanturn.records import Measurement, TurnLikelihood

PARTS = ("all", "first", "follow_up")
"""All user turns; those that open a session; those that answer an answer."""


class Likelihood(msgspec.Struct, frozen=True):
    """One model on one part of the heldout turns."""

    turns: int
    nll: Measurement
    """Nats per token; a turn's tokens are its text and its end-of-turn token."""
    perplexity: Measurement
    bits_per_byte: Measurement
    """Bits per UTF-8 byte of the turns' text: comparable between tokenizers."""


class Row(msgspec.Struct, frozen=True):
    """One model in the table, by part (parts without turns are absent)."""

    name: str
    parts: dict[str, Likelihood]


class Difference(msgspec.Struct, frozen=True):
    """How much less (negative: better) `model` needs than `than` to predict the same turns."""

    model: str
    than: str
    parts: dict[str, Measurement]
    """Σ NLL of `model` / Σ NLL of `than` − 1, the interval by resampling sessions with both their sums."""


class Table(msgspec.Struct, frozen=True):
    """The heldout table: `heldout_nll.json`."""

    sessions: int
    turns: int
    rows: list[Row]
    differences: list[Difference]
    left_out: int
    """Turns that not every model could score (over its context length)."""


def table(likelihoods: dict[str, Sequence[TurnLikelihood]], *, of: str, seed: int = 0) -> Table:
    """Compare models on the turns that all of them scored.

    Args:
        likelihoods: per model name, one record per turn of the same heldout sessions.
        of: the model that the others are compared with.
        seed: of the resampling.
    """
    common = _common(likelihoods)
    shared = common[of]
    parts = [part for part in PARTS if _part(shared, part)]
    rows = [Row(name, {part: _likelihood(_part(r, part), seed) for part in parts}) for name, r in common.items()]
    differences = [
        Difference(of, name, {part: _difference(_part(shared, part), _part(r, part), seed) for part in parts})
        for name, r in common.items()
        if name != of
    ]
    return Table(
        sessions=len({t.session_id for t in shared}),
        turns=len(shared),
        rows=rows,
        differences=differences,
        left_out=max(map(len, likelihoods.values())) - len(shared),
    )


def _common(likelihoods: dict[str, Sequence[TurnLikelihood]]) -> dict[str, list[TurnLikelihood]]:
    """The records of turns that every model scored, in one order."""

    def key(record: TurnLikelihood) -> tuple[str, int, int]:
        return record.session_id, record.turn, record.bytes

    counts = [Counter(map(key, records)) for records in likelihoods.values()]
    shared = counts[0]
    for other in counts[1:]:
        shared &= other
    found = {}
    for name, records in likelihoods.items():
        left, kept = shared.copy(), []
        for record in sorted(records, key=key):
            if left[key(record)] > 0:
                left[key(record)] -= 1
                kept.append(record)
        found[name] = kept
    return found


def _part(records: Sequence[TurnLikelihood], part: str) -> list[TurnLikelihood]:
    return [r for r in records if part == "all" or r.first == (part == "first")]


def _by_session(records: Sequence[TurnLikelihood]) -> dict[str, tuple[float, int, int]]:
    """(nll, tokens, bytes) summed over each session's turns."""
    sums: dict[str, tuple[float, int, int]] = {}
    for r in records:
        nll, tokens, size = sums.get(r.session_id, (0.0, 0, 0))
        sums[r.session_id] = nll + r.nll, tokens + r.tokens, size + r.bytes
    return sums


def _likelihood(records: Sequence[TurnLikelihood], seed: int) -> Likelihood:
    sums = list(_by_session(records).values())
    nats = [s[0] for s in sums]
    nll = stats.ratio_of_sums(nats, [s[1] for s in sums], seed=seed, unit="nats/token")
    bits = stats.ratio_of_sums([n / math.log(2) for n in nats], [s[2] for s in sums], seed=seed, unit="bits/byte")
    perplexity = Measurement(
        value=math.exp(nll.value),
        n=nll.n,
        low=None if nll.low is None else math.exp(nll.low),
        high=None if nll.high is None else math.exp(nll.high),
    )
    return Likelihood(len(records), nll, perplexity, bits)


def _difference(model: Sequence[TurnLikelihood], than: Sequence[TurnLikelihood], seed: int) -> Measurement:
    ours, theirs = _by_session(model), _by_session(than)
    ratio = stats.ratio_of_sums([ours[s][0] for s in ours], [theirs[s][0] for s in ours], seed=seed, resamples=10_000)
    return Measurement(
        value=ratio.value - 1,
        n=ratio.n,
        low=None if ratio.low is None else ratio.low - 1,
        high=None if ratio.high is None else ratio.high - 1,
    )
