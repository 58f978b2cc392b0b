"""Whole evaluations: real HTTP servers as models and judges, a real store, real files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import judge_server
from humanturn import jsonl
from humanturn.errors import BudgetReachedError, EndpointError, InputError, SettingsChangedError
from humanturn.evaluate import stage
from humanturn.evaluate.stage import EvaluateSettings, evaluate


def settings(server, **given):
    values = {
        "models": {"short": f"openai:short@{server.url}", "long": f"openai:long@{server.url}"},
        "judge": (f"openai:judge@{server.url}",),
        "mode": "pairwise",
        "retries": 0,
        "concurrency": 8,
    }
    return EvaluateSettings(**(values | given))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_judge_that_always_prefers_the_first_yields_ties_and_a_position_bias_of_100_per_cent(tmp_path):
    with judge_server.judge_server(judge_server.always_first) as server:
        result = evaluate(settings(server), tmp_path).result
    pair = result["pairwise"]["pairs"][0]
    assert (pair["a"], pair["b"]) == ("short", "long")
    assert (pair["wins"], pair["ties"], pair["losses"], pair["unparsed"]) == (0, 32, 0, 0)
    assert pair["win_rate"].value == 0.5
    assert pair["win_rate"].low < 0.45 and pair["win_rate"].high > 0.55, "sixteen ties do not prove a tie"
    position = result["pairwise"]["position"]["judge"]
    assert position == {"comparisons": 32, "consistent": 0.0, "first": 1.0, "second": 0.0}
    assert "100.0%" in stage.describe(result)


def test_a_judge_that_compares_wins_every_comparison_for_the_better_model(tmp_path):
    with judge_server.judge_server(judge_server.prefers_length) as server:
        result = evaluate(settings(server), tmp_path).result
    pair = result["pairwise"]["pairs"][0]
    assert (pair["wins"], pair["ties"], pair["losses"]) == (0, 0, 32)
    assert result["pairwise"]["position"]["judge"]["consistent"] == 1.0
    assert result["pairwise"]["models"]["long"]["win_rate"] == 1.0
    assert {turn: t["losses"] for turn, t in pair["turns"].items()} == {"1": 16, "2": 16}
    assert {name: c["losses"] for name, c in pair["categories"].items()} == dict.fromkeys(pair["categories"], 4)


def test_a_judge_that_returns_garbage_is_asked_once_more_and_then_counted(tmp_path):
    replies = iter(range(10**6))

    def one_in_five_is_garbage(body):
        if body["model"] != "judge":
            return judge_server.answers(body)
        return "I would rather talk about the weather." if next(replies) % 5 == 0 else "Fine. [[6]]"

    with judge_server.judge_server(one_in_five_is_garbage) as server:
        result = evaluate(settings(server, mode="single", concurrency=1), tmp_path).result
        again = [b for b in server.bodies if b["model"] == "judge" and len(b["messages"]) == 4]
    table = result["single"]["models"]
    assert again and all("double square brackets" in b["messages"][-1]["content"] for b in again)
    assert sum(row["unparsed"] for row in table.values()) == 0
    assert all(row["average"].value == 6 and row["average"].n == 32 for row in table.values())
    spent = {row["role"]: row for row in result["spent"]}
    assert spent["judge"]["discarded"] == len(again) > 10


def test_what_cannot_be_read_twice_is_shown_next_to_the_mean(tmp_path):
    def never_grades_maths(body):
        if body["model"] != "judge":
            return judge_server.answers(body)
        return "no idea" if "tank" in body["messages"][1]["content"] else "[[7]]"

    with judge_server.judge_server(never_grades_maths) as server:
        result = evaluate(settings(server, mode="single"), tmp_path).result
    row = result["single"]["models"]["short"]
    assert (row["average"].value, row["average"].n, row["unparsed"]) == (7, 30, 2)
    scores = [r["score"] for r in lines(tmp_path / "judgments" / "judge_single.jsonl") if r["model"] == "short"]
    assert sorted(scores) == [-1] * 2 + [7] * 30
    assert "unparsed" in stage.describe(result)


def test_references_go_to_the_judge_for_reasoning_math_and_coding_only(tmp_path):
    with judge_server.judge_server(judge_server.prefers_length) as server:
        evaluate(settings(server, mode="single", models={"short": f"openai:short@{server.url}"}), tmp_path)
        shown = [b["messages"] for b in server.bodies if b["model"] == "judge"]
    rows = lines(tmp_path / "judgments" / "judge_single.jsonl")
    referenced = {r["question_id"] for r in rows if "math" in r["judge"][1]}
    assert referenced == {5, 6, 7, 8, 9, 10}
    leaking = next(m for m in shown if "leak empties" in m[1]["content"])
    assert "it takes 12/5 = 2.4 hours" in leaking[1]["content"] and "it takes 3 hours" in leaking[1]["content"]
    first_turn = next(m for m in shown if "tank" in m[1]["content"] and "leak" not in m[1]["content"])
    assert "it takes 3 hours" not in first_turn[1]["content"]


def test_answers_get_the_temperature_of_their_category(tmp_path):
    with judge_server.judge_server(judge_server.prefers_length) as server:
        evaluate(settings(server, mode="single", models={"short": f"openai:short@{server.url}"}), tmp_path)
        first = {b["messages"][0]["content"]: b["temperature"] for b in server.bodies if b["model"] == "short"}
    by_category = {q["category"]: first[q["turns"][0]] for q in lines(tmp_path / "questions.jsonl")}
    assert by_category["writing"] == 0.7 and by_category["math"] == 0 and by_category["stem"] == 0.1


def test_a_second_run_is_skipped_and_other_settings_are_refused(tmp_path):
    with judge_server.judge_server(judge_server.prefers_length) as server:
        first = evaluate(settings(server), tmp_path)
        asked = len(server.bodies)
        assert evaluate(settings(server), tmp_path).skipped
        assert len(server.bodies) == asked
        with pytest.raises(SettingsChangedError, match="mode was 'pairwise'"):
            evaluate(settings(server, mode="single"), tmp_path)
    assert not first.skipped


RUN = """
import sys, json
from pathlib import Path
from humanturn.evaluate.stage import EvaluateSettings, evaluate
evaluate(EvaluateSettings(**json.loads(sys.argv[1])), Path(sys.argv[2]), resume=True)
"""


def test_killed_at_any_instant_it_goes_on_and_asks_nothing_twice(tmp_path):
    with judge_server.judge_server(judge_server.prefers_length, latency=0.02) as server:
        given = settings(server, concurrency=4).model_dump_json()
        for enough in (20, 60, 90):
            child = subprocess.Popen([sys.executable, "-c", RUN, given, str(tmp_path)], stderr=subprocess.DEVNULL)
            while len(server.bodies) < enough and child.poll() is None:
                time.sleep(0.005)
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        done = evaluate(EvaluateSettings(**json.loads(given)), tmp_path, resume=True)
        repeated = sum(n - 1 for n in server.asked.values())
        distinct = len(server.asked)
    assert distinct == 2 * 32 + 64
    assert repeated <= 3 * 4, "only what was in flight at one of the three kills may be asked again"
    whole = lines(tmp_path / "judgments" / "judge_pair.jsonl")
    assert len(whole) == 32 and done.result["pairwise"]["pairs"][0]["losses"] == 32


def test_results_do_not_depend_on_how_many_are_in_flight(tmp_path):
    with judge_server.judge_server(judge_server.prefers_length) as server:
        evaluate(settings(server, concurrency=1), tmp_path / "one")
        evaluate(settings(server, concurrency=16), tmp_path / "many")

    def timeless(path):
        return [{k: v for k, v in row.items() if k != "tstamp"} for row in lines(path)]

    for name in ("answers/short.jsonl", "judgments/judge_pair.jsonl"):
        assert timeless(tmp_path / "one" / name) == timeless(tmp_path / "many" / name)
    assert (tmp_path / "one/scores.json").read_bytes() == (tmp_path / "many/scores.json").read_bytes()
    assert (tmp_path / "one/verdicts.svg").read_bytes() == (tmp_path / "many/verdicts.svg").read_bytes()


def test_a_refused_answer_is_counted_and_the_rest_is_judged(tmp_path):
    def too_long(body):
        return 400 if "laundromat" in body["messages"][0]["content"] else judge_server.prefers_length(body)

    with judge_server.judge_server(too_long) as server:
        result = evaluate(settings(server, mode="single"), tmp_path).result
    assert result["answers"]["short"] == {"cut": 0, "empty": 0, "refused": 2}
    assert result["single"]["models"]["short"]["average"].n == 30
    row = next(r for r in lines(tmp_path / "answers/short.jsonl") if r["question_id"] == 2)
    assert row["choices"][0]["turns"] == ["$ERROR$", "$ERROR$"]


def test_failures_that_may_pass_are_left_for_resume_and_only_they_are_asked_again(tmp_path):
    broken = {"on": True}

    def overloaded(body):
        ferry = "ferry" in body["messages"][0]["content"] and body["model"] == "short"
        return 503 if ferry and broken["on"] else judge_server.prefers_length(body)

    with judge_server.judge_server(overloaded) as server:
        with pytest.raises(EndpointError, match="1 requests got no reply .*--resume"):
            evaluate(settings(server), tmp_path)
        broken["on"] = False
        before = len(server.bodies)
        with pytest.raises(SettingsChangedError, match="add --resume"):
            evaluate(settings(server), tmp_path)
        result = evaluate(settings(server), tmp_path, resume=True).result
        assert len([b for b in server.bodies[before:] if b["model"] == "short"]) == 2
    assert result["pairwise"]["pairs"][0]["losses"] == 32


def test_a_server_that_refuses_everybody_ends_the_run_early(tmp_path):
    with judge_server.judge_server(lambda body: 401) as server:
        with pytest.raises(EndpointError, match="401"):
            evaluate(settings(server), tmp_path)
        assert len(server.bodies) < 32


def test_a_cap_ends_the_run_with_everything_kept_and_a_higher_one_goes_on(tmp_path):
    with judge_server.judge_server(judge_server.prefers_length) as server:
        with pytest.raises(BudgetReachedError, match="raise --budget") as caught:
            evaluate(settings(server, budget="5ktok"), tmp_path)
        assert caught.value.exit_code == 3
        assert 45 <= len(server.bodies) <= 46 + 2 * 8
        result = evaluate(settings(server, budget="1Mtok"), tmp_path, resume=True).result
        assert max(server.asked.values()) == 1
    assert result["pairwise"]["pairs"][0]["losses"] == 32


def test_dollars_are_counted_and_a_cap_in_dollars_needs_prices(tmp_path):
    with judge_server.judge_server(judge_server.prefers_length) as server:
        specs = [f"openai:{name}@{server.url}" for name in ("short", "long", "judge")]
        with pytest.raises(InputError, match="needs the price of openai:short"):
            evaluate(settings(server, budget="5usd"), tmp_path / "a")
        prices = dict.fromkeys(specs, (1.0, 2.0))
        result = evaluate(settings(server, budget="5usd", prices=prices), tmp_path / "b").result
    spent = {row["model"]: row for row in result["spent"]}
    assert spent["judge"]["usd"] == pytest.approx((64 * 100 * 1 + 64 * 10 * 2) / 1e6)


def test_several_judges_are_shown_side_by_side_with_their_agreement(tmp_path):
    def two_minds(body):
        if body["model"] == "contrary":
            return {"[[A]]": "[[B]]", "[[B]]": "[[A]]"}[judge_server.prefers_length(body | {"model": "judge"})]
        return judge_server.prefers_length(body)

    with judge_server.judge_server(two_minds) as server:
        judges = tuple(f"openai:{name}@{server.url}" for name in ("judge", "contrary"))
        result = evaluate(settings(server, judge=judges), tmp_path).result
    agreed = result["pairwise"]["judge_agreement"]
    assert (agreed["items"], agreed["same"]) == (32, 0.0)
    assert agreed["fleiss_kappa"] == pytest.approx(-1.0)
    assert (tmp_path / "judgments/contrary_pair.jsonl").exists()


def test_repeats_show_how_often_a_judge_agrees_with_itself(tmp_path):
    asked = iter(range(10**6))

    def moody(body):
        return f"[[{5 + next(asked) // 32 % 2}]]" if body["model"] == "judge" else judge_server.answers(body)

    with judge_server.judge_server(moody) as server:
        models = {"short": f"openai:short@{server.url}"}
        result = evaluate(settings(server, mode="single", models=models, repeats=2, concurrency=1), tmp_path).result
    consistency = result["single"]["self_consistency"]
    assert (consistency["items"], consistency["same"], consistency["mean_difference"]) == (32, 0.0, 1.0)
    assert result["single"]["models"]["short"]["average"].value == 5.5


def test_fastchats_own_judge_prompts_are_used_when_given(tmp_path):
    prompts = Path(__file__).parents[2].parent / "shared/data/fastchat/judge_prompts.jsonl"
    if not prompts.exists():
        pytest.skip("FastChat's prompts are not here")
    with judge_server.judge_server(judge_server.always_first) as server:
        evaluate(settings(server, judge_prompts=str(prompts)), tmp_path)
        shown = [b["messages"] for b in server.bodies if b["model"] == "judge"]
    assert all(turns[0]["content"].startswith("Please act as an impartial judge") for turns in shown)
    assert sum("[The Start of Assistant A's Answer]\nAbout" in turns[1]["content"] for turns in shown) == 32
    assert sum("<|The Start of Reference Answer|>" in turns[1]["content"] for turns in shown) == 12


def test_answers_cut_by_the_limit_and_empty_ones_are_counted_and_flagged(tmp_path):
    def lapses(body):
        if body["model"] == "short":
            return "" if "tank" in body["messages"][-1]["content"] else "I was cut"
        return judge_server.prefers_length(body)

    with judge_server.judge_server(lapses) as server:
        result = evaluate(settings(server, mode="single"), tmp_path).result
    assert result["answers"] == {
        "short": {"cut": 30, "empty": 2, "refused": 0},
        "long": {"cut": 0, "empty": 0, "refused": 0},
    }
    assert "short: turns cut 30, empty 2" in stage.describe(result)
    reasons = {r["question_id"]: r["choices"][0]["finish_reasons"] for r in lines(tmp_path / "answers/short.jsonl")}
    assert reasons[1] == ["length", "length"] and reasons[7] == ["stop", "stop"]


def test_three_models_are_ranked_and_compared_all_with_all_or_with_the_baseline(tmp_path):
    def by_length(body):
        words = {"short": 3, "middle": 12, "long": 40}
        return judge_server.prefers_length(body) if body["model"] == "judge" else "word " * words[body["model"]]

    with judge_server.judge_server(by_length) as server:
        models = {name: f"openai:{name}@{server.url}" for name in ("middle", "short", "long")}
        everyone = evaluate(settings(server, models=models), tmp_path / "all").result["pairwise"]
        baseline = evaluate(settings(server, models=models, baseline="short"), tmp_path / "base").result["pairwise"]
    assert [row["model"] for row in everyone["ranking"]] == ["long", "middle", "short"]
    assert all(row["rating"].low <= row["rating"].value <= row["rating"].high for row in everyone["ranking"])
    assert [(p["a"], p["b"], p["wins"]) for p in baseline["pairs"]] == [("middle", "short", 32), ("long", "short", 32)]


def test_what_it_writes_imports_to_the_same_tables(tmp_path):
    with judge_server.judge_server(judge_server.prefers_length) as server:
        single = evaluate(settings(server, mode="single"), tmp_path / "single").result
        pairs = evaluate(settings(server), tmp_path / "pairs").result
    assert stage.import_files([tmp_path / "single"])["single"] == single["single"]
    found = stage.import_files([tmp_path / "pairs"])
    assert found["pairwise"] == pairs["pairwise"] and found["malformed"] == {}
    assert found["answers"] == {"short": 16, "long": 16}


@pytest.mark.parametrize(
    "given, message",
    [
        ({"models": {}}, "name a model"),
        ({"judge": ()}, "needs a judge"),
        ({"models": {"../x": "embedded"}, "mode": "single"}, "is no name for a model"),
        ({"models": {"a": "embedded"}}, "needs two models"),
        ({"baseline": "nobody"}, "is none of the models"),
        ({"budget": "much"}, "write it as 5usd or 2Mtok"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_what_to_do(tmp_path, given, message):
    with judge_server.judge_server(judge_server.answers) as server, pytest.raises(InputError, match=message):
        evaluate(settings(server, **given), tmp_path)


def test_conversations_of_more_than_two_turns_are_judged_at_every_turn(tmp_path):
    questions = tmp_path / "q.jsonl"
    jsonl.write(questions, [{"question_id": "x", "category": "chat", "turns": ["one?", "two?", "three?"]}])
    with judge_server.judge_server(judge_server.prefers_length) as server:
        result = evaluate(settings(server, mode="single", questions=str(questions)), tmp_path / "out").result
        shown = [b["messages"][1]["content"] for b in server.bodies if b["model"] == "judge"]
    assert list(result["single"]["models"]["long"]["turns"]) == ["1", "2", "3"]
    assert max(text.count("[User]") for text in shown) == 3
