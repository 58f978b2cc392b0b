"""FastChat's files read and written: the averages are those of its `show_result`."""

import json
import random
from collections import defaultdict

import pytest

from humanturn.errors import InputError
from humanturn.evaluate import pairwise
from humanturn.evaluate.fastchat import PairRow
from humanturn.evaluate.stage import describe, import_files


def single_file(path, *, seed=3):
    """A `gpt-4_single.jsonl` of three models over MT-Bench, as FastChat writes it, with scores of every kind."""
    draw, rows = random.Random(seed), []
    for model in ("alpha", "beta", "gamma"):
        for question in range(81, 161):
            for turn in (1, 2):
                score = draw.choice([1, 2, 3.5, 5, 7, 8, 8.5, 9, 10, -1])
                rows.append(
                    {
                        "question_id": question,
                        "model": model,
                        "judge": ["gpt-4", "single-v1"],
                        "user_prompt": "...",
                        "judgment": f"Rating: [[{score}]]",
                        "score": score,
                        "turn": turn,
                        "tstamp": 1.0,
                    }
                )
    draw.shuffle(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def means(rows, key):
    """Means of the scores that are not -1, by group: the definition, in plain Python."""
    groups = defaultdict(list)
    for row in rows:
        if float(row["score"]) != -1:
            groups[key(row)].append(float(row["score"]))
    return {group: sum(scores) / len(scores) for group, scores in groups.items()}


def test_averages_by_turn_category_and_overall_are_those_of_the_definition(tmp_path):
    rows = single_file(tmp_path / "gpt-4_single.jsonl")
    models = import_files([tmp_path])["single"]["models"]
    for model, average in means(rows, lambda r: r["model"]).items():
        assert models[model]["average"].value == pytest.approx(average, abs=1e-9)
    for (model, turn), average in means(rows, lambda r: (r["model"], str(r["turn"]))).items():
        assert models[model]["turns"][turn].value == pytest.approx(average, abs=1e-9)
    order = ["writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"]
    for (model, category), average in means(rows, lambda r: (r["model"], order[(r["question_id"] - 81) // 10])).items():
        assert models[model]["categories"][category].value == pytest.approx(average, abs=1e-9)
    unread = [r for r in rows if r["score"] == -1]
    assert sum(row["unparsed"] for row in models.values()) == len(unread) > 20
    assert sum(row["average"].n for row in models.values()) == len(rows) - len(unread)


def test_numbers_written_as_strings_are_read_as_numbers(tmp_path):
    rows = single_file(tmp_path / "a_single.jsonl")
    plain = import_files([tmp_path / "a_single.jsonl"])
    strings = [r | {k: str(r[k]) for k in ("score", "turn", "question_id")} for r in rows]
    (tmp_path / "b_single.jsonl").write_text("".join(json.dumps(r) + "\n" for r in strings))
    assert import_files([tmp_path / "b_single.jsonl"]) == plain


def test_malformed_lines_are_counted_by_reason_and_shown(tmp_path):
    rows = single_file(tmp_path / "gpt-4_single.jsonl")
    good = import_files([tmp_path])["single"]
    row = rows[0]
    bad = [
        '{"question_id": 81, "model": "alpha", "sco',
        "[1, 2]",
        json.dumps({k: v for k, v in row.items() if k != "score"}),
        json.dumps(row | {"score": "seven"}),
        json.dumps(row | {"score": None}),
        json.dumps(row | {"score": True}),
        json.dumps({k: v for k, v in row.items() if k != "question_id"}),
        json.dumps(row | {"judge": 4}),
    ]
    with (tmp_path / "gpt-4_single.jsonl").open("a") as file:
        file.write("\n".join(bad) + "\n\n")
    found = import_files([tmp_path])
    assert found["single"] == good
    assert found["malformed"] == {
        "gpt-4_single.jsonl: not JSON": 1,
        "gpt-4_single.jsonl: not an object": 1,
        "gpt-4_single.jsonl: no score": 1,
        "gpt-4_single.jsonl: score is no number": 3,
        "gpt-4_single.jsonl: no question_id": 1,
        "gpt-4_single.jsonl: judge is no judge": 1,
    }
    assert "not used: 3 lines of gpt-4_single.jsonl: score is no number" in describe(found)


def test_grades_outside_the_scale_count_as_in_fastchat_and_are_pointed_at(tmp_path):
    row = {"question_id": 81, "model": "a", "judge": ["j", "p"], "turn": 1}
    path = tmp_path / "x_single.jsonl"
    path.write_text("".join(json.dumps(row | {"score": score}) + "\n" for score in (100, 4)))
    found = import_files([path])
    assert found["single"]["models"]["a"]["average"].value == 52
    assert "1 grades outside 1 to 10" in describe(found)


def pair(a, b, g1, g2, question=81, turn=1):
    return {
        **{"question_id": question, "model_1": a, "model_2": b, "g1_winner": g1, "g2_winner": g2},
        **{"judge": ["gpt-4", "pair-v2"], "turn": turn, "g1_judgment": "", "g2_judgment": "", "tstamp": 0.0},
    }


def test_wins_ties_and_losses_are_fastchats(tmp_path):
    rows = [
        pair("a", "b", "model_1", "model_1"),
        pair("a", "b", "model_1", "model_2", turn=2),
        pair("b", "a", "model_1", "model_1", question=82),
        pair("a", "b", "tie", "model_1", question=83),
        pair("a", "b", "error", "model_1", question=84),
        pair("a", "c", "model_2", "model_2"),
    ]
    (tmp_path / "gpt-4_pair.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = import_files([tmp_path])["pairwise"]
    counts = {n: tuple(m[k] for k in ("wins", "ties", "losses", "unparsed")) for n, m in found["models"].items()}
    assert counts == {"a": (1, 2, 2, 1), "b": (1, 2, 1, 1), "c": (1, 0, 0, 0)}
    assert found["models"]["a"]["win_rate"] == pytest.approx(1 / 5)
    assert found["models"]["a"]["win_rate_adjusted"].value == pytest.approx(2 / 5)
    first = found["pairs"][0]
    assert (first["a"], first["wins"], first["ties"], first["losses"], first["unparsed"]) == ("a", 1, 2, 1, 1)
    assert found["position"]["gpt-4"]["comparisons"] == 5


def test_a_win_and_a_tie_make_a_win_under_the_lenient_rule_only():
    row = PairRow(1, "a", "b", ("j", "p"), 1, "tie", "model_2")
    assert pairwise.verdict(row) == "tie"
    assert pairwise.verdict(row, "lenient") == "loss"
    contradiction = PairRow(1, "a", "b", ("j", "p"), 1, "model_1", "model_2")
    assert pairwise.verdict(contradiction, "lenient") == "tie"
    assert pairwise.verdict(PairRow(1, "a", "b", ("j", "p"), 1, "tie", "tie"), "lenient") == "tie"


@pytest.mark.parametrize(
    "wins, losses, total, published",
    [(52, 38, 160, 54.35), (37, 20, 80, 60.63)],  # section 1 and figure 2 of the paper: against Vicuna
)
def test_win_rates_are_computed_as_the_papers_are(wins, losses, total, published):
    verdicts = ["model_1"] * wins + ["model_2"] * losses + ["tie"] * (total - wins - losses)
    rows = [PairRow(n, "realm", "vicuna", ("gpt-4", ""), 1, said, said) for n, said in enumerate(verdicts)]
    rate = pairwise.table(rows, {})["pairs"][0]["win_rate"]
    assert 100 * rate.value == pytest.approx(published, abs=0.03)


def test_a_model_that_won_everything_is_not_said_to_win_for_certain():
    rows = [PairRow(n, "a", "b", ("gpt-4", ""), 1, "model_1", "model_1") for n in range(20)]
    rate = pairwise.table(rows, {})["models"]["a"]["win_rate_adjusted"]
    # Clopper and Pearson (1934) for 20 of 20: 0.832 to 1
    assert (rate.value, rate.high) == (1.0, 1.0) and rate.low == pytest.approx(0.832, abs=5e-4)


def test_files_without_judgments_are_refused(tmp_path):
    (tmp_path / "question.jsonl").write_text('{"question_id": 1, "category": "a", "turns": ["x"]}\n')
    with pytest.raises(InputError, match="holds no judgment"):
        import_files([tmp_path])
    with pytest.raises(InputError, match="no such file"):
        import_files([tmp_path / "nowhere"])
