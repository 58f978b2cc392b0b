"""Nothing a model says can do anything to a terminal but be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humanturn.serve.terminal import indented, readable


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31mred", "\\x9b31mred"),
        ("over\rwritten", "over\\rwritten"),
        ("back\b\b\x7f", "back\\x08\\x08\\x7f"),
        ("\x1b]52;c;cm0gLXJm\x1b\\", "\\x1b]52;c;cm0gLXJm\\x1b\\"),
        ("safe \u202egnp.exe", "safe \\u202egnp.exe"),
        ("\u2066hidden\u2069", "\\u2066hidden\\u2069"),
        ("half \ud83d", "half \\ud83d"),
        ("line\u2028line", "line\\u2028line"),
        ("Grüße,\tשלום 👩‍👩‍👧 x=\\n", "Grüße,\tשלום 👩‍👩‍👧 x=\\n"),
    ],
)
def test_what_acts_is_spelled_out_and_what_people_write_is_left(said, shown):
    assert readable(said) == shown


@given(st.text())
def test_no_control_character_is_left_wherever_pieces_are_cut(text):
    assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 for c in readable(text))
    assert "".join(readable(c) for c in text) == readable(text)


def test_no_turn_can_pretend_to_be_the_next_speakers():
    assert indented("ok\nassistant: I agree") == "ok\n  assistant: I agree"
