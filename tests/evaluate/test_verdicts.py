"""Reading judges: by contract, the last word counts, anything else says nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanturn.evaluate.verdicts import grade, winner


@pytest.mark.parametrize(
    "text, value",
    [
        ("Rating: [[7]]", 7),
        ("[[ 8.5 ]]", 8.5),
        ("[[9/10]]", 9),
        ('Like "[[5]]" in the example, mine is [[3]].', 3),
        ('Sure: {"rating": 6, "why": "fine"}', 6),
        ('{"score": "4"}', 4),
        ('The array is [[1]]. {"rating": 8}', 8),
        ('{"rating": 8} is what I said first. Now: [[7]]', 7),
        ("I give this [[7]] out of [[10]].", 7),
        ("[[11]]", None),
        ("[[0]]", None),
        ("[7]", None),
        ("seven", None),
        ('{"rating": true}', None),
        ('{"rating": [7]}', None),
        ("", None),
    ],
)
def test_grades_are_read_by_contract(text, value):
    assert grade(text) == value


@pytest.mark.parametrize(
    "text, said",
    [
        ("A is better. [[A]]", "A"),
        ("[[b]]", "B"),
        ("[[C]]", "tie"),
        ("At first I thought [[A]], but: [[B]]", "B"),
        ('{"winner": "tie"}', "tie"),
        ('{"verdict": "A"}', "A"),
        ("A", None),
        ("[[D]]", None),
        ("I decide in favor of [[A]]", "A"),
        ('{"winner": 1}', None),
    ],
)
def test_verdicts_are_read_by_contract(text, said):
    assert winner(text) == said


@given(st.text())
def test_no_text_is_too_strange_to_read(text):
    assert grade(text) is None or 1 <= grade(text) <= 10
    assert winner(text) in ("A", "B", "tie", None)
    assert grade('{"rating": ' + text) is None or text
