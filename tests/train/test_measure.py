"""One training of a tiny model, and everything it says of itself: metrics, table, plot, card, trackers."""

import asyncio
import importlib.util
import json
import re
import struct

import pytest

from humanturn import jsonl, template
from humanturn.conversation import Conversation, Turn
from humanturn.errors import InputError
from humanturn.models import spec, weights
from humanturn.models.model import Sampling
from humanturn.records import TurnLikelihood
from humanturn.train import curve, measure, trackers
from humanturn.train.stage import TrainSettings, describe, train

ASKED = "How do I boil an egg?"
ANSWERED = "Six minutes."


def talk(n, *, rounds=2):
    said = [
        Turn(role, f"{text} {n}.{i}") for i in range(rounds) for role, text in (("user", ASKED), ("assistant", "So."))
    ]
    return Conversation(id=f"t{n}", messages=tuple(said), meta={"intent": "to cook"} if n % 2 else {})


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny):
    """(folder, result) of one training with everything turned on."""
    where = tmp_path_factory.mktemp("measured")
    jsonl.write(where / "train.jsonl", [talk(n) for n in range(12)])
    jsonl.write(where / "heldout.jsonl", [talk(n, rounds=1 + n % 3) for n in range(20, 26)])
    settings = TrainSettings(
        data=str(where / "train.jsonl"),
        heldout=str(where / "heldout.jsonl"),
        backbone=f"hf:{tiny}",
        method="full",
        epochs=2,
        batch_size=4,
        learning_rate=5e-3,
        max_tokens=256,
        evaluate_every=2,
        report_to=("tensorboard",),
    )
    return where / "out", train(settings, where / "out").result


def rows(out):
    found = json.loads((out / "heldout.json").read_text())
    return {when: [TurnLikelihood(**row) for row in found[when]] for when in ("before", "after")}


def test_heldout_figures_stand_in_the_metrics_at_every_second_step_and_end_with_the_final_ones(made):
    out, result = made
    lines = list(jsonl.read(out / "metrics.jsonl", dict))
    assert [line["step"] for line in lines if "heldout_nll" in line] == [2, 4, 6]
    for name in ("nll", "perplexity", "bits_per_byte"):
        for part in ("", "_first", "_follow_up"):
            assert lines[-1][f"heldout_{name}{part}"] > 0
    assert lines[-1]["heldout_nll"] == pytest.approx(result["heldout_nll"]["after"], rel=1e-6)
    assert lines[1]["heldout_nll"] > lines[-1]["heldout_nll"]


def test_the_table_is_the_sums_of_the_likelihoods_on_disk(made):
    out, result = made
    table, found = result["heldout"], rows(out)
    for row in table["rows"]:
        for part, turns in (("first", [r for r in found[row["name"]] if r.first]), ("all", found[row["name"]])):
            nll, tokens = sum(r.nll for r in turns), sum(r.tokens for r in turns)
            assert row["parts"][part]["nll"]["value"] == pytest.approx(nll / tokens)
            assert row["parts"][part]["turns"] == len(turns)
    change = table["differences"][0]["parts"]["all"]
    nll = {when: sum(r.nll for r in found[when]) for when in found}
    assert change["value"] == pytest.approx(nll["after"] / nll["before"] - 1)
    assert change["low"] < change["value"] < change["high"] < 0
    said = describe(result)
    assert "6 sessions" in said
    assert all(name in said for name in measure.NAMES.values())
    assert f"{change['value']:+.1%}" in said


def test_an_assistants_table_does_not_speak_of_first_turns(made):
    found = rows(made[0])
    assert set(measure.compare(found["before"], found["after"], "assistant")["rows"][0]["parts"]) == {"all"}


def test_the_plot_shows_training_and_heldout_loss_and_is_the_same_bytes_again(made, tmp_path):
    out, result = made
    svg = (out / "loss.svg").read_text()
    assert "heldout" in svg
    assert "training" in svg
    again = curve.draw(out / "metrics.jsonl", tmp_path / "again.svg", **result["heldout_nll"])
    assert again.read_text() == svg


def test_the_model_card_says_what_it_is_with_the_numbers_of_the_manifest(made):
    out, result = made
    text = (out / "README.md").read_text()
    card = json.loads((out / "humanturn.json").read_text())
    assert "plays the *human*" in text
    assert card["data_sha256"] in text
    assert f"{result['heldout_nll']['after']:.4f}" in text
    assert f"{result['trained_tokens']:,} tokens" in text
    assert "unknown to humanturn" in text, "of a licence that nobody stated nothing is claimed"
    assert str(out.parent) not in text, "nobody's paths"
    assert f"{result['intents']:,} conversations stood behind an intent" in text
    assert 0 < result["intents"] < 6


def test_the_cards_own_code_runs_in_the_folder(made, monkeypatch, capsys):
    out, _ = made
    monkeypatch.chdir(out)
    exec(re.search(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)[1], {})
    assert capsys.readouterr().out.strip()


def test_tensorboard_gets_what_the_metrics_file_gets(made):
    out, _ = made
    (path,) = (out / "tensorboard").glob("events.*")
    told = scalars(path.read_bytes())
    for line in jsonl.read(out / "metrics.jsonl", dict):
        assert told[line["step"], "train/loss"] == pytest.approx(line["loss"], rel=1e-6)
        if "heldout_nll" in line:
            assert told[line["step"], "train/heldout_nll"] == pytest.approx(line["heldout_nll"], rel=1e-6)


def scalars(data):
    """{(step, tag): value} of an event file: records of length, checksum, protobuf, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found, at = {}, 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        event = Event.FromString(data[at + 12 : at + 12 + length])
        at += 16 + length
        found |= {(event.step, v.tag): v.simple_value for v in event.summary.value if v.HasField("simple_value")}
    return found


def test_a_tracker_that_is_not_installed_is_an_error_before_training(tmp_path, tiny):
    missing = next((n for n in ("wandb", "trackio") if importlib.util.find_spec(n) is None), None)
    if missing is None:
        pytest.skip("every tracker is installed")
    with pytest.raises(
        InputError, match=f"--report-to {missing} needs a package that is not here; pip install {missing}"
    ):
        trackers.require([missing])


def test_measuring_without_heldout_data_is_an_error(tiny, tmp_path):
    with pytest.raises(InputError, match="--evaluate-every needs conversations to measure on; give --heldout FILE"):
        train(TrainSettings(data="x", backbone=f"hf:{tiny}", evaluate_every=5), tmp_path)


def test_a_user_model_learns_to_leave_where_people_left(tmp_path, tiny):
    """By heart: it asks at the start, and after the answer says nothing."""
    turns = (Turn("user", ASKED), Turn("assistant", ANSWERED))
    jsonl.write(tmp_path / "train.jsonl", [Conversation(id="t", messages=turns, meta={"ends": True})])
    settings = TrainSettings(
        data=str(tmp_path / "train.jsonl"),
        backbone=f"hf:{tiny}",
        method="full",
        epochs=80,
        batch_size=1,
        learning_rate=1e-2,
        max_tokens=128,
        learn_ending=True,
    )
    result = train(settings, tmp_path / "out").result
    assert result["endings"] == 1
    assert weights.card(tmp_path / "out").learned_ending
    assert "ends a conversation by an empty turn" in (tmp_path / "out" / "README.md").read_text()

    async def ask(talk):
        return await spec.load(f"hf:{tmp_path / 'out'}").reply(
            talk, sampling=Sampling(max_tokens=12, temperature=0), seed=0
        )

    assert asyncio.run(ask([Turn("system", template.USER_MODEL_PREFACE)])).text == ASKED
    leaving = asyncio.run(ask(list(turns)))
    assert (leaving.text, leaving.finish_reason) == ("", "stop")


def test_only_humans_leave(tiny, tmp_path):
    with pytest.raises(InputError, match="it is the human who leaves"):
        train(TrainSettings(data="x", backbone=f"hf:{tiny}", role="assistant", learn_ending=True), tmp_path)
