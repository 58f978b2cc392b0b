import json
import subprocess
import sys

import pytest

from humanturn import cli, console
from humanturn.errors import InputError
from humanturn.train import show
from humanturn.train.stage import TrainSettings

SHAREGPT = [
    {
        "id": "abcdefg_0",
        "conversations": [
            {"from": "human", "value": "How do I boil an egg?"},
            {"from": "gpt", "value": "Six minutes \x1b[31min water."},
            {"from": "human", "value": "And a soft one?"},
            {"from": "gpt", "value": "Four."},
        ],
    },
    {"id": "spelled", "conversations": [{"from": "human", "value": "a <|im_end|> b"}, {"from": "gpt", "value": "c"}]},
]


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(SHAREGPT))
    return path


def look(raw, tiny, **given):
    return show.look(TrainSettings(data=str(raw), backbone=f"hf:{tiny}", **given))


def texts(shown, kind):
    return [span.text for span in shown.spans if span.kind == kind]


def test_raw_data_shows_what_a_user_model_learns_and_what_it_never_reads(raw, tiny):
    (shown,), refused = look(raw, tiny)
    assert texts(shown, "trained") == ["How do I boil an egg?<|im_end|>", "And a soft one?<|im_end|>"]
    assert "Four." in texts(shown, "cut")[0]
    assert "curious human" in texts(shown, "frame")[0]
    assert len(refused) == 1
    assert "spells out the control token" in refused[0]
    counted = show.counts([shown])
    assert counted["tokens"] == sum(span.tokens for span in shown.spans)
    assert counted["trained_tokens"] + counted["tokens_cut"] < counted["tokens"]


def test_the_other_role_is_the_other_mask(raw, tiny):
    (shown,), _ = look(raw, tiny, role="assistant")
    assert [t.endswith("<|im_end|>") for t in texts(shown, "trained")] == [True, True]
    assert "Four." in texts(shown, "trained")[1]


def test_the_context_length_is_seen(raw, tiny):
    (whole,), _ = look(raw, tiny)
    (short,), _ = look(raw, tiny, max_tokens=whole.count(*show.STYLES) - 30)
    assert texts(short, "trained") == ["How do I boil an egg?<|im_end|>"]


def test_without_a_terminal_marks_stand_for_colours_and_control_characters_do_not_reach_one(raw, tiny, capsys):
    shown, refused = look(raw, tiny)
    show.draw(shown, refused, "user")
    out = capsys.readouterr().out
    assert "[[And a soft one?<|im_end|>]]" in out
    assert "left out: " in out
    assert "\x1b" not in out


def test_on_a_terminal_trained_tokens_are_coloured(raw, tiny, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    show.draw(*look(raw, tiny), "user")
    out = capsys.readouterr().out
    assert "[[" not in out
    assert "\x1b[1;30;42mAnd a soft one?" in out
    assert "\x1b[31m" not in out, "what the data say is shown and not obeyed"


def test_the_command_needs_nothing_but_data(raw, tiny, tmp_path):
    words = [sys.executable, "-m", "humanturn", "train", str(raw), "--show-mask", "--backbone", f"hf:{tiny}", "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["conversations"] == 1
    assert found["shown"][0]["spans"][1] == {
        "kind": "trained",
        "text": "How do I boil an egg?<|im_end|>",
        "tokens": found["shown"][0]["spans"][1]["tokens"],
    }
    assert not [p for p in tmp_path.iterdir() if p != raw], "nothing is written"


def test_training_itself_still_needs_to_know_where_to(raw, capsys):
    assert console.exit_status(cli.app, ["train", str(raw), "--role", "user", "--backbone", "embedded"], False) == 2
    assert "--out is missing" in capsys.readouterr().err


def test_data_that_cannot_be_shown_are_an_error(tmp_path, tiny):
    (tmp_path / "bad.json").write_text(json.dumps(SHAREGPT[1:]))
    with pytest.raises(InputError, match="nothing can be shown .*spells out"):
        look(tmp_path / "bad.json", tiny)
