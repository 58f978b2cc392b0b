import random

import pytest

from humanturn.analyze import humanlike
from humanturn.conversation import Conversation, Turn

pytest.importorskip("sklearn")
TOPICS = ("sorting lists", "rain", "a cover letter", "tax", "my cat", "sql joins", "a trip to lisbon", "chess")


def corpus(name, openings, sessions=40, seed=0):
    draw = random.Random(seed)

    def talk(n):
        asked = [f"{draw.choice(openings)} {draw.choice(TOPICS)} {draw.choice(TOPICS)}" for _ in range(3)]
        return Conversation(
            id=f"{name}{n}", messages=tuple(t for q in asked for t in (Turn("user", q), Turn("assistant", "a")))
        )

    return [talk(n) for n in range(sessions)]


PEOPLE = ("how do i do", "pls explain", "write about", "what about")
MACHINES = ("could you kindly elaborate on", "i am interested in learning about", "furthermore, tell me about")


@pytest.fixture(scope="module")
def detector():
    return humanlike.teach(corpus("h", PEOPLE), corpus("m", MACHINES, seed=1))


def test_a_detector_tells_other_people_from_other_machines(detector):
    people = humanlike.ratio(detector, corpus("x", PEOPLE, seed=7))
    machines = humanlike.ratio(detector, corpus("y", MACHINES, seed=8))
    assert people.value > 0.9
    assert machines.value < 0.1
    assert detector.report.auroc.value > 0.95


def test_a_detector_with_nothing_to_learn_says_so_itself():
    found = humanlike.teach(corpus("h", PEOPLE), corpus("m", PEOPLE, seed=1)).report
    assert found.auroc.value < 0.6
    assert found.surface.value < 0.6


def test_the_surface_baseline_shows_when_case_is_all_there_is():
    loud = [
        Conversation(id=c.id, messages=tuple(Turn(t.role, t.content.upper()) for t in c.messages))
        for c in corpus("m", PEOPLE, seed=1)
    ]
    assert humanlike.teach(corpus("h", PEOPLE), loud).report.surface.value > 0.95


def test_turns_it_was_taught_on_are_left_out(detector):
    assert humanlike.ratio(detector, corpus("h", PEOPLE)) is None
    mixed = humanlike.ratio(detector, [*corpus("h", PEOPLE), *corpus("x", MACHINES, sessions=5, seed=30)])
    assert mixed.value < 0.2
