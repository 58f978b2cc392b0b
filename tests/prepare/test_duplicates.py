import random

import numpy as np

from humanturn.conversation import Turn
from humanturn.prepare import duplicates, near
from humanturn.prepare.shingles import runs

WORDS = [f"word{i}" for i in range(3000)]


def text(rng, n):
    return " ".join(rng.choices(WORDS, k=n))


def edited(rng, said, share):
    return " ".join(word if rng.random() > share else f"new{rng.random()}" for word in said.split())


def jaccard(a, b):
    a, b = set(runs(a, near.WORDS).tolist()), set(runs(b, near.WORDS).tolist())
    return len(a & b) / len(a | b)


def sketch(said):
    return near.sketch([Turn("user", said)])


def test_exact_copies_may_differ_in_white_space_and_case():
    a = [Turn("user", "What  is a\ttide?"), Turn("assistant", "Water.")]
    b = [Turn("user", "what is a tide? "), Turn("assistant", "WATER.")]
    assert duplicates.exact(a) == duplicates.exact(b)
    assert duplicates.exact(a) != duplicates.exact([a[0], Turn("assistant", "Water!")])
    assert duplicates.exact(a) != duplicates.exact([Turn("user", "What is a tide?Water."), Turn("assistant", "")])


def test_a_session_is_the_beginning_of_another_turn_for_turn():
    a = [Turn("user", "Hi"), Turn("assistant", "Hello!"), Turn("user", "A tide?"), Turn("assistant", "Water.")]
    longer = [*a, Turn("user", "Why?"), Turn("assistant", "The moon.")]
    assert duplicates.beginnings(longer)[:2] == duplicates.beginnings(a)
    other = [*a[:2], Turn("user", "A poem"), Turn("assistant", "No.")]
    assert duplicates.beginnings(other)[0] == duplicates.beginnings(a)[0]
    assert duplicates.beginnings(other)[1] not in duplicates.beginnings(longer)


def test_runs_see_through_case_punctuation_and_space():
    assert runs("The quick, brown FOX jumps!", 5).tolist() == runs("the  quick brown fox\njumps", 5).tolist()
    assert len(runs("one two three four", 5)) == 0
    assert len(runs("one two three four five six", 5)) == 2
    assert len(set(runs("a b c d e f a b c d e", 5).tolist())) == 6


def test_runs_of_scripts_without_spaces_count_characters():
    assert len(runs("请告诉我应该怎么写这个程序", 5)) == 13 - 4
    shared = set(runs("他说请告诉我应该怎么写", 5).tolist()) & set(runs("请告诉我应该做什么", 5).tolist())
    assert len(shared) == 2


def test_sketches_estimate_the_share_of_common_runs():
    rng = random.Random(0)
    errors = []
    for n in (30, 100, 1000):
        for share in (0.01, 0.03, 0.1):
            for _ in range(20):
                a = text(rng, n)
                b = edited(rng, a, share)
                same = np.frombuffer(sketch(a), np.uint32) == np.frombuffer(sketch(b), np.uint32)
                errors.append(float(same.mean()) - jaccard(a, b))
    assert abs(np.mean(errors)) < 0.02
    assert np.std(errors) < 0.06


def test_near_copies_are_found_and_others_left_alone():
    rng = random.Random(1)
    said = [text(rng, 400) for _ in range(200)]
    copies = [edited(rng, original, 0.01) for original in said]
    pairs = [at for at, (a, b) in enumerate(zip(said, copies, strict=True)) if jaccard(a, b) >= 0.85]
    found = near.originals([sketch(one) for one in said + copies], 0.8)
    assert found[:200] == list(range(200))
    right = sum(found[200 + at] == at for at in pairs)
    assert len(pairs) > 150
    assert right / len(pairs) >= 0.98


def test_a_text_too_short_for_a_run_is_nobodys_copy():
    assert near.originals([sketch("too short"), sketch("too short")], 0.8) == [0, 1]
