"""Does a user model end conversations where people did? Termination as a decision after every answer (UserLM).

A user model that has learned to end does so by an empty turn: its end-of-turn token alone. So the decision at a place
is the probability of that token as the whole turn, of which the model says "end" from one half on. `meta.ends` marks
the segments after which the person really left; the end of any other segment is no place, since the person went on.
"""

import math
from collections.abc import Sequence

import msgspec

from humanturn import stats
from humanturn.conversation import Conversation, Turn
from humanturn.records import Measurement, TurnLikelihood

END_FROM = 0.5
"""Probability of an empty turn from which on a model is said to end the conversation."""


class Place(msgspec.Struct, frozen=True):
    """A conversation up to an answer, and an empty user turn behind it whose likelihood is the model's decision."""

    conversation: Conversation
    ended: bool
    """True where the person left."""


def places(conversations: Sequence[Conversation]) -> list[Place]:
    """Every answer of `conversations` after which it is known whether the person went on."""
    found = []
    for talk in conversations:
        last = len(talk.messages) - 1
        for number, turn in enumerate(talk.messages):
            known = number < last or bool(talk.meta.get("ends"))
            if turn.role == "assistant" and known:
                empty = Conversation(
                    id=f"{talk.id}/{number}",
                    messages=(*talk.messages[: number + 1], Turn("user", "")),
                    parent_id=talk.session_id,
                    meta={"context_turns": number + 1},
                )
                found.append(Place(empty, number == last))
    return found


def f1(where: Sequence[Place], likelihoods: Sequence[TurnLikelihood], *, seed: int = 0) -> Measurement | None:
    """F1 of the decision to end, the interval by resampling sessions; n is the number of sessions.

    Args:
        where: the places, in order.
        likelihoods: of each place's empty turn.
        seed: of the resampling.

    None when nobody ends anywhere.
    """
    sums: dict[str, list[int]] = {}
    for place, found in zip(where, likelihoods, strict=True):
        ends = math.exp(-found.nll) >= END_FROM
        session = sums.setdefault(place.conversation.session_id, [0, 0])
        session[0] += 2 * (ends and place.ended)
        session[1] += ends + place.ended
    if not any(both for _, both in sums.values()):
        return None
    return stats.ratio_of_sums([s[0] for s in sums.values()], [s[1] for s in sums.values()], seed=seed)
