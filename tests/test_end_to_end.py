"""The README, word for word: every command it shows is run, with the real SmolLM2, on raw ShareGPT, at a small size."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import openai
import pytest
import typer

import raw_sharegpt
from chat_server import chat_server
from humanturn import cli, jsonl, recipe
from humanturn.conversation import Conversation

pytestmark = pytest.mark.timeout(1800)  # a real model on a busy CPU

ROOT = Path(__file__).parents[1]

SESSIONS = 120
"""Enough for a scorecard to have twenty heldout ones."""

SMALLER = {
    "--count 50": "--count 2",
    "--max-tokens 512": "--max-tokens 256",
    "--max-tokens 400": "--max-tokens 8",
    "--benchmark mini --judge": "--benchmark mini --max-tokens 8 --judge",
    "--benchmark mt-bench": "--benchmark mini --max-tokens 8",
    "--epochs 1": "--epochs 0.4",
    "--batch-size 8": "--batch-size 4",
    "--limit 16": "--limit 2",
    "--sessions 10": "--sessions 10 --max-tokens 8",
    "--max-tokens 8 --max-tokens 24": "--max-tokens 8",
    "openai:gpt-4o ": "openai:gpt-4o@{url} ",
    "http://localhost:8000/v1": "{url}",
    "sharegpt --sample": "my_chats.json --sample",
    "data/mt_bench/model_judgment": "runs/score",
}
"""What the test changes in a command, so that it ends in seconds; and where the endpoint is."""

UNBUFFERED = {"PYTHONUNBUFFERED": "1"}


def shown_commands(path: Path) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", path.read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line.split("#")[0].split()) for line in lines if line.startswith("humanturn")]


def run(command: str, where: Path, url: str) -> str:
    for given, small in SMALLER.items():
        command = command.replace(given, small.format(url=url))
    words = [sys.executable, "-m", *shlex.split(command)]
    if words[3] == "serve":
        return ask_served(words, where)
    done = subprocess.run(words, cwd=where, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def serving(words: list[str], where: Path) -> Iterator[str]:
    """Where the server that a command starts is to be reached."""
    words = [*words, "--port", "0"]
    process = subprocess.Popen(words, cwd=where, stdout=subprocess.PIPE, text=True, env=os.environ | UNBUFFERED)
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def ask_served(words: list[str], where: Path) -> str:
    """What the model that a command serves says to a greeting."""
    with serving(words, where) as url:
        client = openai.OpenAI(base_url=url, api_key="none")
        (model,) = client.models.list()
        hello = [{"role": "user", "content": "Hello"}]
        return client.chat.completions.create(model=model.id, messages=hello, max_tokens=4).choices[0].message.content


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, smollm2):
    """A directory in which every command of the README has been run, in order."""
    where = tmp_path_factory.mktemp("user")
    (where / "recipes").symlink_to(ROOT / "recipes")
    raw_sharegpt.write(where / "my_chats.json", SESSIONS)
    (where / "runs").mkdir()
    (where / "runs" / "demo").symlink_to(where / "runs" / "mine")  # pages and --help speak of the demo's run
    with chat_server() as server:
        for command in shown_commands(ROOT / "README.md"):
            run(command, where, server.url)
        yield where, server.url


def test_the_loop_goes_from_raw_html_to_a_report(workspace):
    where, _ = workspace
    mine = where / "runs" / "mine"
    page = (mine / "report.html").read_text()
    funnel = json.loads((mine / "prepare" / "funnel.json").read_text())
    assert funnel["steps"][0]["sessions_left"] == SESSIONS
    for part in ("Prepare funnel", "Training", "Corpora", "Predicting people", "Conversations", "Position bias"):
        assert part in page
    assert "# Human conversations" in (mine / "prepare" / "README.md").read_text()
    assert "# Simulated conversations" in (mine / "simulate" / "README.md").read_text()
    first = next(jsonl.read(mine / "prepare" / "train.jsonl", Conversation))
    assert "<p>" not in first.messages[1].content
    assert "Copy code" not in (mine / "prepare" / "train.jsonl").read_text()
    table = json.loads((mine / "analyze" / "manifest.json").read_text())["result"]["heldout_nll"]
    assert set(table) == {"untrained", "roleplay", "trained"}
    assert table["trained"] < table["untrained"]


def test_the_folder_the_readme_loads_with_transformers_writes_a_user_turn(workspace):
    where, _ = workspace
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_page_of_the_docs_shows_commands_that_run(workspace):
    where, url = workspace
    pages = sorted((ROOT / "docs").glob("*.md"))
    commands = {page.name: shown_commands(page) for page in pages}
    assert sum(map(len, commands.values())) >= 10
    for command in [c for found in commands.values() for c in found if "annotate" not in c]:
        run(command, where, url)
    served, exported = commands["annotate.md"]
    _serve_until_a_link_answers(served + " --port 0", where)
    run(exported, where, url)


def _serve_until_a_link_answers(command, where):
    words = [sys.executable, "-m", *shlex.split(command)]
    process = subprocess.Popen(words, cwd=where, stdout=subprocess.PIPE, text=True, env=os.environ | UNBUFFERED)
    try:
        links = [process.stdout.readline().split()[-1] for _ in range(4)]
        assert httpx.get(links[1], follow_redirects=True).status_code == 200
        assert httpx.get(links[1][:-4] + "none", follow_redirects=True).status_code >= 400
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def test_the_page_on_serve_shows_a_client_that_hears_the_next_user_turn(workspace):
    where, _ = workspace
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "serve.md").read_text(), re.DOTALL)[1]
    with serving([sys.executable, "-m", "humanturn", "serve", "hf:runs/demo/user"], where) as url:
        code = code.replace("http://127.0.0.1:8000/v1", url)
        done = subprocess.run([sys.executable, "-c", code], cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_helps_example_runs(workspace):
    where, url = workspace
    verbs = typer.main.get_command(cli.app).commands
    for name, verb in verbs.items():
        example = verb.epilog.removeprefix("Example:  ")
        assert example.split()[:2] == ["humanturn", name]
        if name not in ("demo", "run"):  # those take minutes; their recipe is checked below and in test_recipe
            run(example, where, url)
    run(verbs["evaluate"].commands["import"].epilog.removeprefix("Example:  "), where, url)


def test_the_demo_is_a_recipe_within_the_loop(tmp_path):
    wired = recipe.read(ROOT / "recipes" / "demo.yaml").wired(tmp_path)
    assert wired.user.heldout_limit >= 60
    assert wired.analyze.user == str(tmp_path / "user")
