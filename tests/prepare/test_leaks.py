import json

import pytest

from humanturn.conversation import Turn
from humanturn.errors import InputError
from humanturn.prepare.leaks import guard

LONG = "Compose an engaging travel blog post about a recent trip to Hawaii, highlighting cultural experiences."
SHORT = "How many times has the average human blinked?"


@pytest.fixture
def bank(tmp_path):
    path = tmp_path / "question.jsonl"
    path.write_text(
        json.dumps({"question_id": 81, "category": "writing", "turns": [LONG, "Rewrite it."]})
        + "\n"
        + json.dumps({"question_id": 82, "turns": [SHORT]})
        + "\n"
    )
    return guard([path], 13)


def asked(text):
    return [Turn("user", "Hello"), Turn("assistant", "Hi"), Turn("user", text), Turn("assistant", "Yes")]


def test_a_long_run_of_a_question_gives_it_away(bank):
    assert bank.leak(asked(f"please {LONG.lower()[10:]} thanks")) == "question.jsonl 81"


def test_a_short_question_is_recognized_as_a_whole(bank):
    assert bank.leak(asked(f"Tell me: {SHORT}")) == "question.jsonl 82"
    assert bank.leak(asked("How many times has the average human laughed?")) is None


def test_common_words_and_answers_are_no_leak(bank):
    assert bank.leak(asked("Rewrite it.")) is None
    assert bank.leak([Turn("user", "Hello"), Turn("assistant", LONG)]) is None


def test_questions_are_read_from_other_shapes_too(tmp_path):
    for name, content in (
        ("a.json", json.dumps([{"prompt": LONG}])),
        ("b.json", json.dumps({"messages": [{"role": "user", "content": LONG}]})),
        ("c.txt", LONG + "\n"),
    ):
        (tmp_path / name).write_text(content)
        assert guard([tmp_path / name], 13).leak(asked(LONG)) == f"{name} 1"


def test_a_file_without_questions_is_refused(tmp_path):
    (tmp_path / "q.jsonl").write_text('{"turns": ["Why?"]}\n')
    with pytest.raises(InputError, match=r"q\.jsonl: holds no question"):
        guard([tmp_path / "q.jsonl"], 13)
    with pytest.raises(InputError, match="no such file"):
        guard([tmp_path / "none"], 13)
