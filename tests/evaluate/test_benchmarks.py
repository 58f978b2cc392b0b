"""Question files: ours, and those of FastChat where they are at hand."""

import re
from collections import Counter
from pathlib import Path

import pytest

from humanturn import fetch
from humanturn.errors import FormatError, InputError
from humanturn.evaluate import benchmarks, prompts

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "fastchat"


def mini():
    found = benchmarks.files("mini", None, None)
    return benchmarks.read_questions(found["questions"]), benchmarks.read_references(found["references"])


def test_mini_has_sixteen_two_turn_questions_over_the_eight_categories_of_mt_bench():
    questions, _ = mini()
    assert Counter(q.category for q in questions) == dict.fromkeys(benchmarks.MT_BENCH, 2)
    assert all(len(q.turns) == 2 for q in questions)


def test_mini_has_references_for_every_question_that_is_judged_by_one():
    questions, references = mini()
    for question in questions:
        wanted = question.category in benchmarks.REFERENCE_CATEGORIES
        assert (benchmarks.reference_for(question, references, 2) is not None) == wanted


def test_the_coding_references_of_mini_do_what_they_say():
    questions, references = mini()
    runs = [
        r
        for q in questions
        if q.category == "coding" and "longest run" in q.turns[0]
        for r in references[q.question_id]
    ]
    for text in runs:
        space = {}
        exec(text.partition("\n\ngroupby reads")[0], space)
        assert space["longest_run"]([1, 2, 2, 3, 3]) == (2, 2)
        assert space["longest_run"]([]) is None
        assert space["longest_run"](["a", "b", "b", "b"]) == ("b", 3)
    assert len(runs) == 2


@pytest.mark.parametrize("name, first, last", [("mt_bench", 81, 160), ("vicuna_bench", 1, 80)])
def test_categories_known_by_id_are_those_of_the_published_files(name, first, last):
    if not SHARED.exists():
        pytest.skip("FastChat's questions are not here")
    questions = benchmarks.read_questions(SHARED / name / "question.jsonl")
    known = benchmarks.known_categories(range(first, last + 1))
    assert known == {q.question_id: q.category for q in questions}


def test_ids_of_neither_benchmark_have_no_known_category():
    assert benchmarks.known_categories([80, 81]) == {}
    assert benchmarks.known_categories(["81"]) == {}


def test_mt_bench_is_fetched_under_the_hash_of_fastchats_own_file():
    if not SHARED.exists():
        pytest.skip("FastChat's questions are not here")
    import hashlib

    for asset, path in (("mt-bench", "question.jsonl"), ("mt-bench-references", "reference_answer/gpt-4.jsonl")):
        digest = hashlib.sha256((SHARED / "mt_bench" / path).read_bytes()).hexdigest()
        assert fetch.ASSETS[asset].sha256 == digest


def test_questions_that_stand_twice_or_have_no_turn_are_refused(tmp_path):
    path = tmp_path / "q.jsonl"
    line = '{"question_id": 1, "category": "a", "turns": ["x"]}\n'
    path.write_text(line + line)
    with pytest.raises(InputError, match="question 1 stands there twice"):
        benchmarks.read_questions(path)
    path.write_text('{"question_id": 1, "category": "a", "turns": []}\n')
    with pytest.raises(InputError, match="has no turn"):
        benchmarks.read_questions(path)
    path.write_text(line + '{"question_id": 2}\n')
    with pytest.raises(FormatError, match=r"q\.jsonl:2"):
        benchmarks.read_questions(path)


def test_our_prompts_share_no_sentence_with_fastchats():
    if not SHARED.exists():
        pytest.skip("FastChat's prompts are not here")

    def windows(text):
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[i : i + 9]) for i in range(len(words) - 8)}

    ours = set().union(*(windows(p.system_prompt + p.prompt_template) for p in prompts.own().values()))
    theirs = prompts.read(SHARED / "judge_prompts.jsonl").values()
    assert not ours & set().union(*(windows(p.system_prompt + p.prompt_template) for p in theirs))


def test_text_with_braces_reaches_the_judge_as_it_is():
    _, turns = prompts.messages(prompts.own(), ["f{x}"], [["{conversation} {0}"]], None)
    assert "f{x}" in turns[1].content and "{conversation} {0}" in turns[1].content
