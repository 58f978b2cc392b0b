import json
import shutil

import msgspec
import pytest

from humanturn import jsonl, run, scaffold
from humanturn.analyze.stage import AnalyzeSettings, analyze, describe
from humanturn.conversation import Conversation, Turn
from humanturn.errors import InputError, SettingsChangedError
from humanturn.records import TurnLikelihood


@pytest.fixture
def user(tiny_model, tmp_path):
    """A user model folder as training leaves it: the same weights, and a chat template that opens the user's turn."""
    from humanturn import tokens

    folder = tmp_path / "user"
    shutil.copytree(tiny_model, folder)
    tokenizer = tokens.load(folder)
    tokenizer.chat_template = scaffold.trained_template(tokenizer, "user")
    tokenizer.save_pretrained(folder)
    return folder


def settings(tiny_model, conversations_file, **more):
    return AnalyzeSettings(
        **{"corpora": {"talks": str(conversations_file)}, "tokenizer": f"hf:{tiny_model}", "seed": 1} | more
    )


def test_corpora_are_measured_side_by_side(tiny_model, conversations_file, tmp_path):
    both = {"one": str(conversations_file), "two": str(conversations_file)}
    result = analyze(settings(tiny_model, conversations_file, corpora=both), tmp_path / "out").result
    written = json.loads((tmp_path / "out/corpora.json").read_text())
    assert written["corpora"]["one"] == written["corpora"]["two"]
    assert written["corpora"]["one"]["columns"]["rounds"]["value"] == 2.0
    assert {column["key"] for column in written["columns"]} >= set(written["corpora"]["one"]["columns"])
    assert "Rounds" in describe(result)


def test_scores_are_correlated_with_the_corpora(tiny_model, conversations_file, tmp_path):
    names, scores = ("a", "b", "c"), tmp_path / "scores.json"
    for n, name in enumerate(names):
        jsonl.write(tmp_path / f"{name}.jsonl", list(talks(conversations_file))[n : n + 4 + 2 * n])
    jsonl.write_json(scores, {name: {"MT-Bench": 5.0 + n} for n, name in enumerate(names)})
    corpora = {name: str(tmp_path / f"{name}.jsonl") for name in names}
    analyze(settings(tiny_model, conversations_file, corpora=corpora, scores=str(scores)), tmp_path / "out")
    found = json.loads((tmp_path / "out/correlations.json").read_text())
    assert found["models"] == list(names)
    assert {cell["benchmark"] for cell in found["cells"]} == {"MT-Bench"}
    assert "rounds" in {cell["statistic"] for cell in found["cells"]}
    drawn = (tmp_path / "out/correlations.svg").read_text()
    assert "MT-Bench" in drawn
    assert "over 3 models" in drawn
    assert "fewer than 10 models" in drawn


def test_a_judge_and_a_detector_fill_their_columns(tiny_model, conversations_file, tmp_path):
    verdict = "{Complexity: 6, Relevancy: 8, Logicality: 10}"
    jsonl.write(
        tmp_path / "verdicts.jsonl", [Conversation(id="v", messages=(Turn("user", "?"), Turn("assistant", verdict)))]
    )
    machine = [
        Conversation(
            id=f"m{n}", messages=(Turn("user", f"Kindly elaborate, please: number {n}."), Turn("assistant", "a"))
        )
        for n in range(12)
    ]
    jsonl.write(tmp_path / "machine.jsonl", machine)
    jsonl.write(tmp_path / "other.jsonl", [msgspec.structs.replace(c, id=f"o{c.id}") for c in machine[:1]])
    given = settings(
        tiny_model,
        conversations_file,
        judge=f"scripted:{tmp_path / 'verdicts.jsonl'}",
        detector={"human": str(conversations_file), "machine": str(tmp_path / "machine.jsonl")},
    )
    analyze(given, tmp_path / "out")
    document = json.loads((tmp_path / "out/corpora.json").read_text())
    columns = document["corpora"]["talks"]["columns"]
    assert [columns[name]["value"] for name in ("complexity", "relevancy", "logicality")] == [6, 8, 10]
    assert document["detector"]["auroc"]["value"] > 0.9
    assert "human_like" not in columns  # every turn was in the lesson
    assert analyze(given, tmp_path / "out").skipped


def test_the_same_model_before_and_after_shows_no_difference(tiny_model, user, conversations_file, tmp_path):
    given = settings(
        tiny_model, conversations_file, user=str(user), backbone=f"hf:{tiny_model}", heldout=str(conversations_file)
    )
    done = analyze(given, tmp_path / "out")
    nll = done.result["heldout_nll"]
    assert set(nll) == {"untrained", "roleplay", "trained"}
    assert nll["trained"] == pytest.approx(nll["untrained"], rel=1e-6)
    assert nll["roleplay"] != pytest.approx(nll["untrained"], rel=1e-4)
    table = json.loads((tmp_path / "out/heldout_nll.json").read_text())
    assert table["sessions"] == 12
    assert table["turns"] == 24
    assert {row["name"]: row["parts"]["first"]["turns"] for row in table["rows"]} == dict.fromkeys(nll, 12)
    assert "trained user model" in describe(done.result)
    again = analyze(given, tmp_path / "out")
    assert again.skipped
    assert describe(again.result) == describe(done.result)


def test_what_training_measured_is_not_measured_again(tiny_model, user, conversations_file, tmp_path):
    sizes = {c.id: len(c.messages[0].content.encode()) for c in talks(conversations_file)}
    rows = {
        name: [TurnLikelihood(session, 0, True, 4, nll, size) for session, size in sizes.items()]
        for name, nll in (("before", 8.0), ("after", 4.0))
    }
    jsonl.write_json(user / "heldout.json", rows)
    mark = run.fingerprint(conversations_file)
    jsonl.write_json(
        user / "manifest.json",
        run.Manifest(
            stage="train",
            status="done",
            settings={"role": "user", "heldout_limit": None},
            inputs={"heldout": mark},
            versions={},
            started=run.now(),
        ),
    )
    given = settings(
        tiny_model,
        conversations_file,
        corpora={},
        user=str(user),
        backbone=f"hf:{tiny_model}",
        heldout=str(conversations_file),
    )
    nll = analyze(given, tmp_path / "all").result["heldout_nll"]
    assert (nll["untrained"], nll["trained"]) == (2.0, 1.0)
    few = given.model_copy(update={"heldout_sessions": 3})
    assert analyze(few, tmp_path / "few").result["heldout_sessions"] == 3


def test_another_heldout_file_is_measured_afresh(tiny_model, user, conversations_file, tmp_path):
    jsonl.write_json(user / "heldout.json", {"before": [], "after": []})
    other = tmp_path / "other.jsonl"
    jsonl.write(other, list(talks(conversations_file))[:5])
    given = settings(
        tiny_model, conversations_file, corpora={}, user=str(user), backbone=f"hf:{tiny_model}", heldout=str(other)
    )
    assert analyze(given, tmp_path / "out").result["heldout_sessions"] == 5


def test_other_settings_are_refused(tiny_model, conversations_file, tmp_path):
    given = settings(tiny_model, conversations_file)
    analyze(given, tmp_path / "out")
    with pytest.raises(SettingsChangedError, match="seed was 1 and is 2"):
        analyze(given.model_copy(update={"seed": 2}), tmp_path / "out")


def test_nothing_to_do_and_missing_inputs_are_told(tiny_model, user, conversations_file, tmp_path):
    with pytest.raises(InputError, match="nothing to analyze"):
        analyze(settings(tiny_model, conversations_file, corpora={}), tmp_path / "a")
    with pytest.raises(InputError, match=r"needs analyze\.heldout"):
        analyze(settings(tiny_model, conversations_file, user=str(user)), tmp_path / "b")
    with pytest.raises(InputError, match="no such file"):
        analyze(settings(tiny_model, conversations_file, corpora={"x": str(tmp_path / "none.jsonl")}), tmp_path / "c")
    with pytest.raises(InputError, match="does not say what it was trained from"):
        analyze(
            settings(tiny_model, conversations_file, user=str(user), heldout=str(conversations_file)), tmp_path / "d"
        )
    assert not (tmp_path / "c").exists()


def talks(path):
    from humanturn import formats

    return formats.read_conversations(path)
