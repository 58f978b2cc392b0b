"""Human-like ratio: the share of user turns that a detector takes for a person's (the paper's Table 5).

The detector is taught here, on turns of people and of machines that are given. It is always reported with its own
cross-validated AUROC, and with that of the surface alone (length, case, punctuation): a detector that is no better than
its surface baseline has learned how machines type, not what they say.
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
    """Cross-validated, folds by session: 0.5 is a coin."""
    surface: Measurement
    """The same for length, case, punctuation, digits and line breaks alone."""


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
