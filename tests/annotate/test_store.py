"""Who sees what, in which order; votes, undo, and many at once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from humanturn.annotate.pairs import Item, judge_scores, read_items
from humanturn.annotate.store import Store
from humanturn.errors import InputError
from humanturn.records import Question


def items(count):
    return [
        Item(f'[{n},"a","b"]', Question(n, "stem", ("q?",)), "a", "b", (f"from a {n}",), (f"from b {n}",))
        for n in range(count)
    ]


def store(tmp_path, *, count=12, people=("ann", "bob", "cy"), k=3, seed=0):
    made = Store(tmp_path / "votes.sqlite", create=True)
    made.set_up(items(count), people, k=k, seed=seed)
    return made


def test_every_item_gets_k_annotators_and_annotators_get_even_shares(tmp_path):
    made = store(tmp_path, count=40, people=[f"p{n}" for n in range(7)], k=3)
    shares = [assigned for _, _, assigned in made.per_annotator()]
    assert sum(shares) == 120 and max(shares) - min(shares) <= 1
    seen = Counter()
    for annotator, share in enumerate(shares, 1):
        seen.update(made.shown(annotator, place).item.key for place in range(1, share + 1))
    assert set(seen.values()) == {3} and len(seen) == 40


def test_the_order_of_the_two_answers_is_drawn_about_evenly_and_kept(tmp_path):
    made = store(tmp_path, count=200)
    swapped = [made.shown(1, place).swapped for place in range(1, 201)]
    assert 70 < sum(swapped) < 130
    again = Store(tmp_path / "votes.sqlite")
    again.set_up(items(200), ["ann", "bob", "cy"], k=3, seed=99)
    assert [again.shown(1, place).swapped for place in range(1, 201)] == swapped
    assert [made.shown(2, place).swapped for place in range(1, 201)] != swapped


def test_a_verdict_is_about_the_model_wherever_it_was_shown(tmp_path):
    made = store(tmp_path)
    for place in range(1, 13):
        shown = made.shown(1, place)
        made.vote(1, place, "first" if "from a" in shown.answers[0][0] else "second", "")
        assert made.shown(1, place).choice == ("second" if shown.swapped else "first")
    assert {vote.verdict for vote in made.votes()} == {"model_1"}
    assert {vote.shown_first for vote in made.votes()} == {"model_1", "model_2"}


def test_a_new_vote_takes_the_place_of_the_old_one_and_undo_takes_back_the_last(tmp_path):
    made = store(tmp_path)
    made.vote(1, 1, "tie", "hm")
    made.vote(1, 2, "first", "")
    made.vote(1, 1, "second", "surer now")
    assert (made.progress(1), made.shown(1, 1).choice, made.shown(1, 1).comment) == ((2, 12), "second", "surer now")
    assert made.undo(1) == 1
    assert (made.progress(1), made.shown(1, 1).choice) == ((1, 12), None)
    assert made.next_place(1, after=2) == 3 and made.next_place(1) == 1
    assert made.undo(1) == 2 and made.undo(1) is None
    assert made.progress(2) == (0, 12)


def test_annotators_who_come_later_get_what_is_missing_and_nothing_assigned_moves(tmp_path):
    made = store(tmp_path, people=("ann", "bob"), k=2)
    made.vote(1, 1, "tie", "")
    before = [made.shown(1, place).item.key for place in range(1, 13)]
    links = made.links()
    made.set_up(items(14), ("ann", "bob", "cy"), k=3, seed=0)
    assert [made.shown(1, place).item.key for place in range(1, 13)] == before
    assert [assigned for _, _, assigned in made.per_annotator()] == [14, 14, 14]
    assert made.links() | links == made.links() and made.progress(1) == (1, 14)


def test_items_whose_answers_changed_are_refused(tmp_path):
    made = store(tmp_path, count=1)
    changed = Item('[0,"a","b"]', Question(0, "stem", ("q?",)), "a", "b", ("other",), ("from b 0",))
    with pytest.raises(InputError, match="added with other answers"):
        made.set_up([changed], ["ann", "bob", "cy"], k=3, seed=0)


def test_fewer_annotators_than_an_item_needs_are_refused_and_nothing_is_kept(tmp_path):
    with pytest.raises(InputError, match="seen by 3 annotators, and there are 1"):
        store(tmp_path, people=("ann",))
    assert Store(tmp_path / "votes.sqlite").links() == {}


def test_five_hundred_votes_at_once_from_many_threads_are_all_kept(tmp_path):
    made = store(tmp_path, count=50, people=[f"p{n}" for n in range(10)], k=10)
    jobs = [(annotator, place) for annotator in range(1, 11) for place in range(1, 51)]
    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(lambda job: made.vote(*job, "first", f"{job}"), jobs))
    assert Counter(vote.comment for vote in made.votes()) == Counter(str(job) for job in jobs)


def test_links_are_long_secrets_and_the_same_after_a_restart(tmp_path):
    made = store(tmp_path)
    tokens = [*made.links().values(), made.admin_token()]
    assert len(set(tokens)) == 4 and all(len(token) >= 40 for token in tokens)
    assert Store(tmp_path / "votes.sqlite").admin_token() == tokens[-1]
    (tmp_path / "other").mkdir()
    assert store(tmp_path / "other").links()["ann"] != tokens[0]


def test_a_folder_that_is_no_evaluation_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no evaluation"):
        read_items(tmp_path)


def test_judges_scores_are_the_same_whichever_way_round_they_compared(tmp_path):
    (tmp_path / "judgments").mkdir()
    row = '{{"question_id": 1, "model_1": "{}", "model_2": "{}", "g1_winner": "{}", "g2_winner": "{}"}}\n'
    (tmp_path / "judgments" / "j_pair.jsonl").write_text(
        row.format("a", "b", "model_1", "model_1")
        + row.format("b", "a", "model_2", "model_2")
        + row.format("a", "b", "model_1", "model_2")
        + row.format("a", "b", "error", "model_2")
    )
    assert judge_scores(tmp_path) == {'[1,"a","b"]': 2.5 / 3}
