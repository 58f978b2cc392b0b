from pathlib import Path

import pytest

from humanturn import formats, recipe
from humanturn.errors import InputError, RecipeError

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_every_recipe_that_ships_is_valid_and_keeps_its_meaning_when_frozen(path, tmp_path):
    read = recipe.read_any(path)
    for given in read.runs.values() if isinstance(read, recipe.Study) else [read]:
        frozen = tmp_path / "recipe.yaml"
        frozen.write_text(recipe.dump(given))
        assert recipe.read(frozen).wired(tmp_path) == given.wired(tmp_path)


@pytest.mark.parametrize("name", ["dolly.jsonl", "evol.json"])
def test_the_seeds_that_ship_are_rounds_of_their_format(name):
    talks = list(formats.read_conversations(RECIPES[0].parent / "seeds" / name))
    assert len(talks) >= 20
    assert {talk.source for talk in talks} == {name.partition(".")[0]}
    assert all(len(talk.messages) == 2 and all(turn.content for turn in talk.messages) for talk in talks)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("prepare:\n  inputs: [talk.json]\nuser:\n  epochs: 1\n  lora_rnk: 8\n")
    return file


def test_an_unknown_key_is_named_with_file_line_and_the_nearest_known_one(path):
    with pytest.raises(RecipeError, match=r"r\.yaml:5: unknown key user\.lora_rnk; did you mean lora_rank\?"):
        recipe.read(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("user.epochs=much", r"user\.epochs is 'much'"),
        ("user.epoch=2", r"unknown key user\.epoch; did you mean epochs\?"),
        ("user", "write it as stage.key=value"),
        ("user.epochs=[", "the value is not YAML"),
        ("prepare.inputs.x=1", "inputs is no section"),
    ],
)
def test_a_bad_change_is_named(path, change, said):
    path.write_text("prepare:\n  inputs: [talk.json]\n")
    with pytest.raises(RecipeError, match=said):
        recipe.read(path, [change])


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", r"r\.yaml:\d+: is not YAML"), ("- 1", "is not a recipe"), ("seed: 1", r"prepare is missing")],
)
def test_a_file_that_is_no_recipe_is_one_clear_sentence(path, text, said):
    path.write_text(text)
    with pytest.raises(RecipeError, match=said):
        recipe.read(path)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(InputError, match="no such recipe"):
        recipe.read(tmp_path / "none.yaml")


def test_stages_take_from_the_run_what_they_do_not_say_themselves(path):
    path.write_text(
        "seed: 5\nmax_tokens: 300\nprepare:\n  inputs: [x]\nsimulate:\n  seed: 9\nuser:\n  backbone: hf:b\n"
    )
    wired = recipe.read(path).wired(Path("runs/x"))
    assert (wired.prepare.seed, wired.user.seed, wired.simulate.seed) == (5, 5, 9)
    assert wired.prepare.tokenizer == "hf:b"
    assert {wired.prepare.max_tokens, wired.user.max_tokens, wired.simulate.max_tokens} == {300}
    assert (wired.user.role, wired.assistant.role) == ("user", "assistant")
    assert wired.simulate.user == "hf:runs/x/user"


def test_without_a_simulation_there_is_no_assistant_to_train(path):
    path.write_text("prepare:\n  inputs: [x]\nsimulate: null\n")
    wired = recipe.read(path).wired(Path("runs/x"))
    assert wired.assistant is None
    assert list(wired.analyze.corpora) == ["human"]


def test_a_judge_compares_the_backbone_with_what_was_trained(path):
    path.write_text("prepare:\n  inputs: [x]\nassistant:\n  backbone: hf:b\nevaluate:\n  judge: [openai:gpt-4o]\n")
    wired = recipe.read(path).wired(Path("runs/x"))
    assert wired.evaluate.models == {"backbone": "hf:b", "assistant": "hf:runs/x/assistant"}
    assert recipe.read(path, ["simulate=null"]).wired(Path("runs/x")).evaluate is None


def test_an_assistant_can_be_measured_on_the_run_s_own_heldout_sessions(path):
    path.write_text("prepare:\n  inputs: [x]\nassistant:\n  heldout: prepare\n")
    assert recipe.read(path).wired(Path("runs/x")).assistant.heldout == "runs/x/prepare/heldout.jsonl"
    assert recipe.read(path, ["prepare.heldout=0"]).wired(Path("runs/x")).assistant.heldout is None


def test_a_section_that_is_null_is_made_by_a_change(path):
    path.write_text("prepare:\n  inputs: [x]\nevaluate: null\n")
    assert recipe.read(path, ["evaluate.judge=[embedded]"]).evaluate.judge == ("embedded",)
