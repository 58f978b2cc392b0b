"""What strategies make of the texts that models write."""

import pytest

from humanturn.conversation import Turn
from humanturn.records import Reply
from humanturn.simulate import tasks
from humanturn.simulate.strategies import evol_instruct, rouge, self_chat, self_instruct, ultrachat
from humanturn.simulate.tasks import Instance


def said(text, finish="stop"):
    return Reply(text=text, model="m", prompt_tokens=1, completion_tokens=1, finish_reason=finish)


@pytest.mark.parametrize(
    ("one", "other", "f"),
    [
        ("police killed the gunman", "police kill the gunman", 0.75),  # Lin 2004, section 3.1: LCS 3 of 4 and 4
        ("police killed the gunman", "the gunman kill police", 0.5),
        ("the cat sat", "the cat sat", 1.0),
        ("running fast", "runs fast", 0.5),  # no stemming
        ("Alpha, beta; gamma!", "alpha BETA delta epsilon zeta", 0.5),
        ("one", "two", 0.0),
    ],
)
def test_rouge_l_is_the_f_of_the_longest_common_subsequence(one, other, f):
    assert rouge.f_measure(rouge.words(one), rouge.words(other)) == pytest.approx(f)
    assert rouge.too_similar(one, [rouge.words(other)], f / 2) is (f > 0)
    assert not rouge.too_similar(one, [rouge.words(other)], f)


@pytest.mark.parametrize(
    ("one", "other", "f"),
    [
        ("Explain in two sentences why bread rises.", "Explain in two sentences why bread rises so.", 14 / 15),
        ("Say whether this is a complaint or a joke.", "Decide whether the statement is true or false.", 6 / 17),
        ("Write a SQL query: who spent >100€?", "write an SQL-query for who has spent 100 EUR", 12 / 17),
    ],
)
def test_rouge_l_is_that_of_the_rouge_score_package(one, other, f):
    assert rouge.f_measure(rouge.words(one), rouge.words(other)) == pytest.approx(f)


def rounds(text, *, cut=False):
    turns = self_chat.transcript("Why is rye dark?", text, cut=cut)
    return [(a.content, b.content) for a, b in zip(turns[::2], turns[1::2], strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Its bran.\n[|Human|] And oats?\n[|AI|] Pale.\n[|Human|] ",
            [("Why is rye dark?", "Its bran."), ("And oats?", "Pale.")],
        ),
        ("[|AI|] Its bran.", [("Why is rye dark?", "Its bran.")]),
        ("[|Human|] Why is rye black?\n[|AI|] It is not.", [("Why is rye black?", "It is not.")]),
        ("Bran.\n[|Human|] And?\n[|Human|] Well?\n[|AI|] Yes.", [("Why is rye dark?", "Bran.")]),
        ("Bran.\n[|Human|] Oats?\n[|AI|]\n[|Human|] Hey?\n[|AI|] Yes.", [("Why is rye dark?", "Bran.")]),
        ("Bran.\n[|Human|] Oats?\n[|AI|] Pale.\nHuman: Why?", [("Why is rye dark?", "Bran.")]),
        ("[|AI|]", []),
        ("", []),
    ],
)
def test_a_transcript_is_read_up_to_its_first_malformed_pair(text, expected):
    assert rounds(text) == expected


def test_what_the_token_limit_cut_is_no_answer():
    assert rounds("Bran.\n[|Human|] And oats?\n[|AI|] They are", cut=True) == [("Why is rye dark?", "Bran.")]
    assert rounds("It is the bran tha", cut=True) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80, 70, 90, 1", [80, 70, 90, 1]),
        ("Answer 1: 80\nAnswer 2: 70\nAnswer 3: 90\nAnswer 4: 100", [80, 70, 90, 100]),
        ("1. 80\n2. 70\n3. 90\n4. 60", [80, 70, 90, 60]),
        ("80/100 70/100 90/100 60/100", [80, 70, 90, 60]),
        ("80, 70, 90", None),
        ("80, 70, 90, 60, 50", None),
        ("80, 70, 900, 60", None),
        ("0, 1, 2, 3", None),
        ("All are good.", None),
    ],
)
def test_four_scores_from_1_to_100_are_read_and_nothing_else(text, expected):
    assert self_chat.scores(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("9. Name a bread that keeps for a month.", None),
        ("Task 9: Name a bread that keeps for a month.", None),
        ("Bake bread.", "length"),
        ("word " * 151, "length"),
        ("Describe what you see in the picture of bread.", "beyond_text"),
        ("Draw a map of the way to the bakery.", "beyond_text"),
        ("Write a program that counts the loaves.", "beyond_text"),
        ("*Name a bread that keeps for a month.", "punctuation"),
        ("Übersetze den Satz in das Englische.", "punctuation"),
        ("Explain in two sentences why bread rises so.", "similar"),
        ("Explain briefly to a child how bread is baked at home in an oven.", None),
    ],
)
def test_a_task_is_refused_for_the_reasons_of_self_instruct(text, why):
    known = [rouge.words("Explain in two sentences why bread rises.")]
    assert self_instruct.refused(self_instruct.task_of(text), known) == why


def test_a_task_is_the_first_line_without_its_number():
    assert self_instruct.task_of("9. Name 3 breads.\n10. Name 4.") == "Name 3 breads."
    assert self_instruct.task_of("Task: Name 3 breads.") == "Name 3 breads."
    assert self_instruct.task_of("3 breads, please") == "3 breads, please"


def test_instances_are_read_inputs_first_or_labels_first():
    text = "Example 1\nInput: 2 + 2\nOutput: 4\nExample 2\nInput: 3 + 3\nOutput: 6"
    assert self_instruct.instances_of(text, False) == [Instance("2 + 2", "4"), Instance("3 + 3", "6")]
    assert self_instruct.instances_of("Input: <noinput>\nOutput: Rye\nand oats.", False) == [
        Instance("", "Rye\nand oats.")
    ]
    assert self_instruct.instances_of("2 + 2\nOutput: 4", False) == [Instance("2 + 2", "4")], "the prompt ends so"
    assert self_instruct.instances_of("good\nInput: Yes!", True) == [Instance("Yes!", "good")]
    labelled = "Class label: good\nInput: I like it.\nExample 2\nClass label: bad\nInput: I do not."
    assert self_instruct.instances_of(labelled, True) == [Instance("I like it.", "good"), Instance("I do not.", "bad")]


def test_instances_that_repeat_contradict_or_say_nothing_are_left_out_and_five_are_enough():
    def examples(*pairs):
        return "\n".join(f"Example {n}\nInput: {i}\nOutput: {o}" for n, (i, o) in enumerate(pairs, 1))

    bad = examples(("a", "a"), ("b", "1"), ("b", "2"), ("c:", "x"), ("d", ""), ("e", "ok"), ("e", "ok"))
    assert self_instruct.instances_of(bad, False) == [Instance("e", "ok")]
    assert len(self_instruct.instances_of(examples(*((str(n), "r") for n in range(9))), False)) == 5
    assert self_instruct.instances_of("Sure, rye is a grain.", False) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("I am sorry, but I cannot do that.", "sorry"),
        ("Sorry to hear it. " + "Rye needs little water and grows on sand. " * 12, None),
        ("... !!", "no_content"),
        ("It is so.", "no_content"),
        ("Rye.", None),
    ],
)
def test_an_answer_that_is_sorry_or_says_nothing_eliminates(text, why):
    assert evol_instruct.nothing_said(said(text)) == why


def test_words_of_the_prompt_in_an_instruction_are_a_leak():
    assert evol_instruct.leaked("Here is the rewritten prompt: name four lakes")
    assert evol_instruct.leaked("Name four lakes.\nHarder: Name five lakes.")
    assert not evol_instruct.leaked("Name four lakes, and be prompt about it.")


def test_what_ships_is_enough_to_begin_with():
    ours = tasks.ours()
    assert len(ours) >= 30
    assert sum(task.is_classification for task in ours) >= 6
    assert len({task.id for task in ours}) == len(ours)
    for number, task in enumerate(ours):
        others = [rouge.words(o.instruction) for o in ours[:number]]
        assert not rouge.too_similar(task.instruction, others, self_instruct.SIMILAR)
        assert all(instance.output for instance in task.instances)
    assert {subject.kind for subject in ultrachat.subjects()} == set(ultrachat.ROUNDS)


def test_an_example_in_the_prompt_reads_as_an_example_in_a_reply():
    for labelled in (False, True):
        prompt = self_instruct.instance_prompt("Name a lake.", labelled, tasks.ours())
        examples = prompt.partition("\n\nGo on")[0].split("\n\nTask: ")
        assert len(examples) == 2
        assert all(self_instruct.instances_of(e.partition("\n")[2], labelled) for e in examples)
        assert prompt.endswith("Task: Name a lake.\nExample 1\n" + ("Class label:" if labelled else "Input:"))


def test_a_task_with_material_is_asked_as_one_turn():
    task = tasks.Task("Give the plural.", (Instance("leaf", "leaves"),))
    assert tasks.opening(task) == (Turn("user", "Give the plural.\n\nleaf"),)
