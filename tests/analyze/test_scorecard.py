import json
import math
import random
import shutil
from pathlib import Path

import msgspec
import pytest

from humanturn import formats, jsonl
from humanturn.analyze import replies, twosample
from humanturn.analyze import scorecard as scorecards
from humanturn.analyze.scorecard import ScorecardSettings, scorecard
from humanturn.conversation import Conversation, Turn
from humanturn.errors import HumanturnError, InputError
from humanturn.models import weights

pytest.importorskip("sklearn")
SHAREGPT = Path(__file__).parents[2] / ".." / "shared" / "data" / "sharegpt" / "sharegpt_700.json"
real = pytest.mark.skipif(not SHAREGPT.exists(), reason="the ShareGPT sample is not beside this checkout")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """(heldout, training): 240 and 200 real conversations."""
    folder = tmp_path_factory.mktemp("data")
    found = [c for c in formats.read_conversations(SHAREGPT) if c.messages[0].role == "user"]
    jsonl.write(folder / "heldout.jsonl", found[:240])
    jsonl.write(folder / "training.jsonl", found[300:500])
    return folder / "heldout.jsonl", folder / "training.jsonl"


def script(path, conversations):
    jsonl.write(path, conversations)
    return f"scripted:{path}"


def rows(tiny_model, data, tmp_path, user, **more):
    heldout, training = data
    settings = ScorecardSettings(
        user=user,
        heldout=str(heldout),
        training=str(training),
        tokenizer=f"hf:{tiny_model}",
        sessions=60,
        per_session=2,
        context_tokens=4000,
        max_tokens=300,
        **more,
    )
    scorecard(settings, tmp_path / "card")
    written = json.loads((tmp_path / "card/scorecard.json").read_text())
    return {row["key"]: row for row in written["rows"]}


@real
def test_people_are_not_told_apart_from_people():
    where = replies.places(list(formats.read_conversations(SHAREGPT)), per_session=2)
    sessions = sorted({place.session_id for place in where})
    random.Random(0).shuffle(sessions)
    asked = set(sessions[: len(sessions) // 2])
    ours = replies.human([place for place in where if place.session_id in asked])
    theirs = replies.human([place for place in where if place.session_id not in asked])
    assert abs(twosample.auroc(theirs, ours, "surface").value - 0.5) < 0.05
    found = twosample.auroc(theirs, ours, "ngrams")
    assert abs(found.value - 0.5) < 0.05
    assert found.low < 0.5 < found.high


@real
def test_a_model_that_speaks_as_people_do_is_not_caught_by_any_row(tiny_model, data, tmp_path):
    # It replays the heldout people: their follow-ups in place, and somebody's first turn.
    heldout = data[0]
    found = rows(tiny_model, data, tmp_path, script(tmp_path / "s.jsonl", formats.read_conversations(heldout)))
    value = {key: row["sides"]["user"]["value"] for key, row in found.items()}
    assert value["auroc_ngrams"] < 0.6
    assert value["drift"] < 0.15
    assert value["copying"] < 0.05
    assert all(row["nearness"]["user"] > 0.5 for row in found.values())


@real
def test_a_model_that_copies_its_training_data_is_caught_by_the_copying_row(tiny_model, data, tmp_path):
    found = rows(tiny_model, data, tmp_path, script(tmp_path / "s.jsonl", formats.read_conversations(data[1])))
    copying = found["copying"]["sides"]
    assert copying["user"]["value"] > 0.8
    assert copying["user"]["low"] > copying["human"].get("high", 0) + 0.5
    assert found["auroc_ngrams"]["sides"]["user"]["value"] < 0.65  # and by no other: its words are people's
    assert found["drift"]["sides"]["user"]["value"] < 0.2


@real
def test_a_model_that_answers_like_an_assistant_is_caught_by_the_drift_row(tiny_model, data, tmp_path):
    def flipped(conversation):
        answers = [turn.content for turn in conversation.messages if turn.role == "assistant"]
        return Conversation(id=conversation.id, messages=tuple(Turn("user", answer) for answer in answers))

    others = [flipped(c) for c in formats.read_conversations(data[1])]
    found = rows(tiny_model, data, tmp_path, script(tmp_path / "s.jsonl", others))
    drift = found["drift"]["sides"]
    assert drift["user"]["value"] > 0.5
    assert drift["user"]["low"] > drift["human"]["high"] + 0.3
    assert found["auroc_ngrams"]["sides"]["user"]["value"] > 0.85


@real
def test_a_row_that_is_less_human_than_asked_fails_after_the_card_is_written(tiny_model, data, tmp_path):
    parrot = Conversation(id="p", messages=(Turn("user", "Thanks!"), Turn("assistant", "ok")))
    user = script(tmp_path / "s.jsonl", [parrot])
    with pytest.raises(HumanturnError, match=r"thanks is 1\.000, a nearness of 0\.000, less than 0\.9"):
        rows(tiny_model, data, tmp_path, user, fail_under={"thanks": 0.9})
    written = json.loads((tmp_path / "card/scorecard.json").read_text())
    assert any(row["key"] == "thanks" and row["sides"]["user"]["value"] == 1 for row in written["rows"])


@real
def test_user_and_baseline_stand_side_by_side_with_their_likelihoods(tiny_model, data, tmp_path):
    short = tmp_path / "short.jsonl"
    jsonl.write(
        short,
        [
            msgspec.structs.replace(
                c, messages=tuple(Turn(t.role, t.content.strip()[:80].strip()) for t in c.messages[:4])
            )
            for c in list(formats.read_conversations(data[0]))[:60]
            if all(t.content.strip() for t in c.messages[:4])
        ],
    )
    settings = ScorecardSettings(
        user=f"hf:{tiny_model}",
        baseline=f"hf:{tiny_model}",
        heldout=str(short),
        tokenizer=f"hf:{tiny_model}",
        sessions=12,
        per_session=2,
        max_tokens=12,
    )
    simulated = tmp_path / "simulated.jsonl"
    jsonl.write(simulated, [c for c in formats.read_conversations(data[1]) if c.rounds() > 8])
    settings = settings.model_copy(update={"simulated": str(simulated)})
    done = scorecard(settings, tmp_path / "card")
    found = {row.key: row for row in done.result["rows"]}
    assert set(found["auroc_ngrams"].sides) == {"human", "user", "baseline"}
    assert found["auroc_ngrams"].sides["user"].value > 0.9  # an untrained model babbles
    assert set(found["nll_first"].sides) == {"user", "baseline"}
    assert "human" not in found["nll_first"].sides
    nll, perplexity = found["nll"].sides["user"].value, found["perplexity"].sides["user"].value
    assert math.log(perplexity) == pytest.approx(nll)
    assert {"bits_per_byte", "bits_per_byte_first", "bits_per_byte_follow_up"} < set(found)
    assert found["rounds"].sides["user"].value > 1.5 > found["rounds"].sides["human"].value  # it never stops
    assert found["rounds_js"].sides["user"].low > found["rounds_js"].sides["human"].high
    assert scorecard(settings, tmp_path / "card").skipped


@real
def test_the_card_is_one_page_with_a_radar_and_a_flat_file_for_trackers(tiny_model, data, tmp_path):
    user = script(tmp_path / "s.jsonl", formats.read_conversations(data[0]))
    found = rows(tiny_model, data, tmp_path, user)
    page = (tmp_path / "card/scorecard.html").read_text()
    assert all(row["label"] in page for row in found.values())
    assert page.count("<svg") == 1
    assert "http-equiv" in page
    assert "<script" not in page
    flat = json.loads((tmp_path / "card/metrics.json").read_text())
    assert flat["user/auroc_ngrams"] == found["auroc_ngrams"]["sides"]["user"]["value"]
    assert flat["human/length/nearness"] == found["length"]["nearness"]["human"]


def test_likelihoods_are_held_from_above_and_what_was_not_measured_fails():
    row = {"sides": {"user": {"value": 3.5}}, "kind": "nll", "nearness": {}}
    assert scorecards._falls_short(row, "nll", 4.0) is None
    assert scorecards._falls_short(row, "nll", 3.2) == "nll is 3.500, more than 3.2"
    assert scorecards._falls_short(None, "copying", 0.9) == "copying was not measured"


def test_an_unknown_row_is_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match="fail_under names charm; there are: auroc_ngrams"):
        scorecard(ScorecardSettings(user="x", heldout="y", fail_under={"charm": 1.0}), tmp_path / "card")
    assert not (tmp_path / "card").exists()


def test_too_few_sessions_are_refused(tiny_model, conversations_file, tmp_path):
    settings = ScorecardSettings(user=f"hf:{tiny_model}", heldout=str(conversations_file), tokenizer=f"hf:{tiny_model}")
    with pytest.raises(InputError, match="12 sessions to compare in; a scorecard needs 20 or more"):
        scorecard(settings, tmp_path / "card")


@real
def test_a_model_that_has_learned_to_end_is_scored_by_where_it_ends(tiny_model, data, tmp_path):
    # The untrained weights end nowhere, so the score is 0 and not missing.
    heldout, user = tmp_path / "heldout.jsonl", tmp_path / "user"
    talks = [
        Conversation(
            id=c.id,
            messages=tuple(Turn(t.role, t.content.strip()[:60].strip()) for t in c.messages[:4]),
            meta={"ends": True},
        )
        for c in list(formats.read_conversations(data[0]))[:60]
        if all(t.content.strip() for t in c.messages[:4])
    ]
    jsonl.write(heldout, talks)
    shutil.copytree(tiny_model, user)
    card = weights.Card(
        role="user", backbone=f"hf:{tiny_model}", max_tokens=512, data_sha256="", humanturn="0", learned_ending=True
    )
    jsonl.write_json(user / "humanturn.json", card)
    settings = ScorecardSettings(
        user=f"hf:{user}",
        heldout=str(heldout),
        tokenizer=f"hf:{tiny_model}",
        sessions=12,
        per_session=1,
        max_tokens=4,
    )
    found = {row.key: row for row in scorecard(settings, tmp_path / "card").result["rows"]}
    assert {side: m.value for side, m in found["termination_f1"].sides.items()} == {"user": 0.0, "baseline": 0.0}
    assert found["termination_f1"].nearness["user"] == 0
