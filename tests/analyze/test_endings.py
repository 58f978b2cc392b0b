import math

import pytest

from humanturn.analyze import endings
from humanturn.conversation import Conversation, Turn
from humanturn.records import TurnLikelihood


def talk(id_, rounds, ends, parent=None):
    turns = tuple(turn for n in range(rounds) for turn in (Turn("user", f"q{n}"), Turn("assistant", f"a{n}")))
    return Conversation(id=id_, messages=turns, parent_id=parent, meta={"ends": True} if ends else {})


WHERE = endings.places([talk("a-1", 2, False, "a"), talk("a-2", 1, True, "a"), talk("b", 2, True)])


def decided(*probabilities):
    return [
        TurnLikelihood(place.conversation.session_id, 0, False, 1, -math.log(p), 0)
        for place, p in zip(WHERE, probabilities, strict=True)
    ]


def test_places_are_the_answers_after_which_it_is_known_whether_the_person_went_on():
    assert [(place.conversation.id, place.ended) for place in WHERE] == [
        ("a-1/1", False),  # its other answer ends a segment of a session that goes on
        ("a-2/1", True),
        ("b/1", False),
        ("b/3", True),
    ]
    assert WHERE[2].conversation.messages == (Turn("user", "q0"), Turn("assistant", "a0"), Turn("user", ""))
    assert WHERE[2].conversation.turns_of("user") == [""]


@pytest.mark.parametrize(
    ("probabilities", "f1"),
    [
        ((0.1, 0.9, 0.4, 0.5), 1.0),  # ends where people ended
        ((0.9, 0.9, 0.9, 0.9), 2 * 2 / (2 * 2 + 2)),  # ends everywhere
        ((0.1, 0.1, 0.1, 0.1), 0.0),  # never ends
        ((0.9, 0.1, 0.1, 0.9), 0.5),
    ],
)
def test_f1_by_hand(probabilities, f1):
    assert endings.f1(WHERE, decided(*probabilities)).value == pytest.approx(f1)


def test_without_an_end_there_is_no_score():
    where = endings.places([talk("a", 2, False)])
    assert endings.f1(where, [TurnLikelihood("a", 0, False, 1, 5.0, 0)]) is None
