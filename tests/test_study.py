import json

import pytest
import yaml

import raw_sharegpt
from humanturn import jsonl, recipe, study
from humanturn.conversation import Conversation, Turn
from humanturn.errors import RecipeError

SMALL = {"epochs": 1, "batch_size": 4, "limit": 8, "lora_rank": 2, "heldout_limit": 3, "heldout_segments": 1}


@pytest.fixture
def path(tiny, tmp_path):
    """A study at the smallest size: three assistants on nested samples of one simulation, graded by a script."""
    raw_sharegpt.write(tmp_path / "raw.json", 40)
    jsonl.write(
        tmp_path / "judge.jsonl",
        [Conversation(id="j", messages=(Turn("user", "?"), Turn("assistant", "Fair. Rating: [[6]]")))],
    )
    (tmp_path / "questions.jsonl").write_text(
        '{"question_id": 1, "category": "writing", "turns": ["Write a line."]}\n'
        '{"question_id": 2, "category": "math", "turns": ["1 + 1?"]}\n'
    )
    given = {
        "max_tokens": 256,
        "prepare": {"inputs": [str(tmp_path / "raw.json")], "heldout": 0.3},
        "user": {"backbone": f"hf:{tiny}", **SMALL},
        "simulate": {
            "assistant": f"hf:{tiny}",
            "count": 4,
            "rounds": 2,
            "user_max_tokens": 12,
            "assistant_max_tokens": 12,
            "guards": {"off": ["unfinished"]},  # untrained weights never end a turn
        },
        "assistant": {"backbone": f"hf:{tiny}", **SMALL, "batch_size": 1, "learning_rate": 0.01, "heldout": "prepare"},
        "evaluate": {
            "questions": str(tmp_path / "questions.jsonl"),
            "judge": [f"scripted:{tmp_path / 'judge.jsonl'}"],
            "max_tokens": 8,
        },
        "runs": {"1": {"assistant.limit": 1}, "2": {"assistant.limit": 2}, "4": {"assistant.limit": 4}},
    }
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(given, sort_keys=False))
    return file


def carry_out(path, out):
    told = []
    found = study.run_study(recipe.read_any(path), out, lambda name, result: told.append((name, result.skipped)))
    return found, dict(told)


def test_a_study_trains_what_differs_once_each_and_the_rest_once_and_ends_in_its_plots(path, tmp_path):
    out = tmp_path / "out"
    found, told = carry_out(path, out)
    assert {name for name, skipped in told.items() if skipped} == {
        f"{run}: {stage}" for run in ("2", "4") for stage in ("prepare", "user", "simulate")
    }
    assert [row["assistant"]["conversations"] for row in found["runs"]] == [1, 2, 4]
    assert len({row["assistant"]["nll_after"].value for row in found["runs"]}) == 3
    assert {row["assistant"]["nll_before"].value for row in found["runs"]} == {
        found["runs"][0]["assistant"]["nll_before"].value
    }
    assert (out / "4" / "user").resolve() == (out / "1" / "user").resolve()
    written = json.loads((out / "study.json").read_text())
    assert [row["scores"]["assistant"]["value"] for row in written["runs"]] == [6, 6, 6]
    assert set(written["runs"][0]["categories"]) == {"writing", "math"}
    assert list(written["corpora"]) == ["human", "simulated"]  # one simulation, one column
    page = (out / "study.html").read_text()
    assert page.count("<svg") == 2
    assert "<script" not in page
    assert (out / "nll.svg").exists()
    assert (out / "scores.svg").exists()
    assert (out / "2" / "report.html").exists()

    (out / "2" / "assistant" / "model.safetensors").unlink()  # one run's model is lost: it alone is made again
    _, again = carry_out(path, out)
    assert {name for name, skipped in again.items() if not skipped} <= {"2: assistant", "2: evaluate", "2: report"}
    assert not again["2: assistant"]


def test_runs_that_change_the_simulation_share_what_comes_before_it(path, tmp_path):
    changes = {"free": {}, "seeded": {"simulate.seeds": "x.jsonl"}, "other": {"user.limit": 4}}
    given = recipe.read_any(path, [f"runs={json.dumps(changes)}"])
    found = study.shared_stages(given, tmp_path)
    assert {name: sorted(stages) for name, stages in found.items()} == {
        "free": [],
        "seeded": ["prepare", "user"],
        "other": ["prepare"],
    }
    assert found["seeded"]["user"] == tmp_path / "free" / "user"


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ({"one": {}}, "two runs or more"),
        ({"a": {}, "b": 3}, "two runs or more"),
        ({"a": {}, "../b": {}}, "cannot be the name of a run"),
        ({"a": {}, "prepare": {}}, "cannot be the name of a run"),
        ({"a": {}, "b": {"user.epoch": 1}}, r"unknown key user\.epoch; did you mean epochs\?"),
        ({"a": {}, "b": {"seed.x": 1}}, r"runs\.b\.seed\.x: seed is no section"),
    ],
)
def test_a_bad_study_is_one_clear_sentence(path, runs, said):
    document = yaml.safe_load(path.read_text()) | {"runs": runs, "seed": 0}
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(RecipeError, match=said):
        recipe.read_any(path)


def test_a_study_is_no_single_recipe(path):
    with pytest.raises(RecipeError, match="a study of 3 runs"):
        recipe.read(path)
