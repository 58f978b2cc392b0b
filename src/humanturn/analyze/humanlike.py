"""Human-like ratio: the share of user turns that a detector takes for a person's (the paper's Table 5).

The detector is taught here, on turns of people and of machines that are given, or it is a sequence classifier that is
checked on them. It is always reported with its own AUROC (cross-validated when it was taught), and with that of the
surface alone (length, case, punctuation): a detector that is no better than its surface baseline has learned how
machines type, not what they say.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from humanturn import stats
from humanturn.analyze import twosample
from humanturn.analyze.replies import Said
from humanturn.conversation import Conversation
from humanturn.records import Measurement


class Report(msgspec.Struct, frozen=True):
    """How good the detector is; part of `corpora.json`."""

    human_turns: int
    machine_turns: int
    auroc: Measurement
    """0.5 is a coin. Cross-validated with folds by session when the detector was taught on these turns."""
    surface: Measurement
    """Of length, case, punctuation, digits and line breaks alone; always cross-validated."""
    model: str = "taught here on n-grams"
    """What it is: a SPEC and the label that means a person, or taught here."""


class Detector(msgspec.Struct):
    """A taught detector."""

    report: Report
    machine: Callable[[Sequence[str]], Any]
    """Texts -> probability of a machine, shape (texts,)."""
    taught: frozenset[str]
    """Texts it was taught on: it must not be asked about them."""


def teach(human: Iterable[Conversation], machine: Iterable[Conversation], *, seed: int = 0) -> Detector:
    """A detector from the user turns of two corpora.

    Raises:
        InputError: a corpus has too few sessions, or scikit-learn is missing.
    """
    ours, theirs = _said(human), _said(machine)
    report = Report(
        len(ours),
        len(theirs),
        twosample.auroc(ours, theirs, "ngrams", seed=seed),
        twosample.auroc(ours, theirs, "surface", seed=seed),
    )
    score = twosample.classifier([said.text for said in ours], [said.text for said in theirs], "ngrams")
    return Detector(report, score, frozenset(said.text for said in (*ours, *theirs)))


def check(
    machine: Callable[[Sequence[str]], Any],
    name: str,
    human: Iterable[Conversation],
    by_machine: Iterable[Conversation],
    *,
    seed: int = 0,
) -> Detector:
    """A detector that was taught elsewhere, and how well it does on the user turns of two corpora.

    Args:
        machine: texts -> probability of a machine, shape (texts,).
        name: what it is, for the report.
        human: conversations of people.
        by_machine: conversations whose user turns a machine wrote.
        seed: of the resampling.

    Raises:
        InputError: a corpus has too few sessions, or scikit-learn is missing.
    """
    ours, theirs = _said(human), _said(by_machine)
    scores = machine([said.text for said in ours]), machine([said.text for said in theirs])
    report = Report(
        len(ours),
        len(theirs),
        twosample.auroc_of_scores(ours, theirs, *scores, seed=seed),
        twosample.auroc(ours, theirs, "surface", seed=seed),
        name,
    )
    return Detector(report, machine, frozenset())


def ratio(detector: Detector, conversations: Iterable[Conversation], *, seed: int = 0) -> Measurement | None:
    """Share of user turns taken for a person's, the interval by resampling sessions.

    Turns that the detector was taught on are left out; None when no other is there.
    """
    said = [said for said in _said(conversations) if said.text not in detector.taught]
    sums: dict[str, list[int]] = {}
    for one, machine in zip(said, detector.machine([one.text for one in said]), strict=True):
        session = sums.setdefault(one.session_id, [0, 0])
        session[0] += bool(machine < 0.5)
        session[1] += 1
    if not sums:
        return None
    return stats.ratio_of_sums([s[0] for s in sums.values()], [s[1] for s in sums.values()], seed=seed)


def _said(conversations: Iterable[Conversation]) -> list[Said]:
    return [
        Said(f"{conversation.id}/{number}", conversation.session_id, number == 0, turn)
        for conversation in conversations
        for number, turn in enumerate(conversation.turns_of("user"))
        if turn.strip()
    ]
