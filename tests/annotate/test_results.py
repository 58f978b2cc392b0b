"""What people found, in numbers and files."""

import csv
import io
import json

import pytest

from humanturn.annotate import pairs, results
from humanturn.annotate.pairs import Item
from humanturn.annotate.store import Vote
from humanturn.records import Question


def votes(*verdicts_by_item, comment=""):
    names = {"a": "model_1", "b": "model_2", "t": "tie"}
    return [
        Vote(
            Item(f'[{n},"x","y"]', Question(n, "stem", ("q",)), "x", "y", ("1",), ("2",)),
            f"p{person}",
            names[letter],
            "model_1",
            comment,
            1.0,
        )
        for n, verdicts in enumerate(verdicts_by_item)
        for person, letter in enumerate(verdicts)
    ]


def test_majorities_are_counted_and_scores_averaged_over_annotators():
    found = results.summary(votes("aaa", "aab", "abt", "bbt", "ttt"), {})
    pair = found["pairs"][0]
    assert (pair["wins"], pair["ties"], pair["losses"]) == (2, 2, 1)
    assert pair["mean_score"].value == pytest.approx((1 + 2 / 3 + 1 / 2 + 1 / 6 + 1 / 2) / 5)
    assert pair["mean_score"].n == 5
    assert (found["votes"], found["items"], found["annotators"]) == (15, 5, 3)


def test_agreement_of_annotators_is_fleiss_and_krippendorff_over_items():
    found = results.summary(votes("aaa", "bbb", "aab"), {})["agreement"]
    assert found["same"] == pytest.approx(7 / 9)
    # by hand: observed 7/9, chance (5/9)^2 + (4/9)^2 = 41/81
    assert found["fleiss_kappa"] == pytest.approx((7 / 9 - 41 / 81) / (1 - 41 / 81))


def test_people_are_compared_with_judges_item_by_item():
    judged = {'[0,"x","y"]': 1.0, '[1,"x","y"]': 0.5, '[2,"x","y"]': 1.0, '[9,"x","y"]': 0.0}
    found = results.summary(votes("aaa", "ttt", "bba"), judged)["human_judge"]
    assert (found["items"], found["same"], found["untied"], found["untied_items"]) == (3, 2 / 3, 1 / 2, 2)
    assert results.summary(votes("aaa"), {})["human_judge"] is None


def test_exports_hold_every_vote_and_cells_that_no_spreadsheet_runs():
    cast = votes("ab", comment="=HYPERLINK(1)")
    rows = [json.loads(line) for line in results.write_votes(cast, "jsonl").splitlines()]
    assert [row["winner"] for row in rows] == ["x", "y"] and rows[0]["comment"] == "=HYPERLINK(1)"
    table = list(csv.DictReader(io.StringIO(results.write_votes(cast, "csv").decode("utf-8-sig"))))
    assert [row["comment"] for row in table] == ["'=HYPERLINK(1)"] * 2
    assert [row["annotator"] for row in table] == ["p0", "p1"]


def test_nothing_is_said_of_nothing():
    found = results.summary([], {})
    assert found["pairs"] == [] and found["agreement"]["fleiss_kappa"] is None
    assert results.describe(found) == "0 votes of 0 annotators on 0 items"
    assert results.write_votes([], "jsonl") == b""


def test_pairs_are_named_alike_by_people_and_judges_whatever_the_models_are_called(tmp_path):
    for name in ("realm", "realm-dolly"):
        answers = [
            {
                "question_id": 1,
                "answer_id": name,
                "model_id": name,
                "choices": [{"index": 0, "turns": ["x"]}],
                "tstamp": 0,
            }
        ]
        path = tmp_path / "answers" / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(json.dumps(row) for row in answers))
    (tmp_path / "questions.jsonl").write_text(json.dumps({"question_id": 1, "category": "stem", "turns": ["q"]}))
    (item,) = pairs.read_items(tmp_path)
    assert (item.model_1, item.model_2) == ("realm", "realm-dolly")
