"""The chat as a person (or a pipe) has it: lines in, turns out, files saved, Ctrl-C."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from chat_server import chat_server
from humanturn import jsonl
from humanturn.conversation import Conversation, Turn
from serving import EGGS, write_script

CHAT = [sys.executable, "-m", "humanturn", "chat"]


@pytest.fixture
def script(tmp_path):
    return write_script(tmp_path / "eggs.jsonl")


def chat(*arguments, typed="", **options):
    done = subprocess.run(
        [*CHAT, *arguments, "--json", "--seed", "1"],
        input=typed,
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )
    lines = done.stdout.splitlines()
    return done.returncode, lines, done.stderr


def said(lines):
    return [line for line in lines if line.startswith(("user: ", "assistant: "))]


def test_the_person_asks_and_an_assistant_answers(script):
    status, lines, _ = chat(script, typed=f"{EGGS[0][1]}\n{EGGS[2][1]}\n")
    assert status == 0
    assert "You are the user." in lines[0]
    assert said(lines) == ["assistant: Six minutes.", "assistant: Four."]
    assert "  Use a \\x1b[31mtimer." in lines
    assert json.loads(lines[-1]) == {"rounds": 2, "turns": 4, "seed": 1}


def test_the_person_answers_and_a_user_model_asks_first(script):
    status, lines, _ = chat(script, "--role", "user", typed="Six minutes.\n")
    assert status == 0
    assert "You are the assistant." in lines[0]
    assert said(lines) == [f"user: {EGGS[0][1]}", f"user: {EGGS[2][1]}"]


def test_two_models_talk_for_so_many_rounds_and_go_on_when_told(script):
    status, lines, _ = chat(script, "--with", script, "--rounds", "1", typed="")
    assert status == 0 and json.loads(lines[-1])["rounds"] == 1
    _, lines, _ = chat(script, "--with", script, "--rounds", "1", typed="\n")
    assert said(lines) == [f"user: {EGGS[0][1]}", "assistant: Six minutes.", f"user: {EGGS[2][1]}", "assistant: Four."]


def test_a_conversation_is_saved_as_one_of_ours_and_no_file_of_others_is_replaced(script, tmp_path):
    theirs = tmp_path / "theirs.txt"
    theirs.write_text("precious")
    ours = tmp_path / "new" / "talk.jsonl"
    typed = f"{EGGS[0][1]}\n/save {ours}\n{EGGS[2][1]}\n/save {ours}\n/save {theirs}\n/save\n/save {tmp_path}\n"
    status, _, _ = chat(script, typed=typed)
    assert status == 0
    (kept,) = jsonl.read(ours, Conversation)
    assert kept.messages == tuple(Turn(*turn) for turn in EGGS)
    assert kept.meta == {"assistant": script, "seed": 1}
    assert theirs.read_text() == "precious"


def test_turns_are_taken_back(script, tmp_path):
    saved = tmp_path / "talk.jsonl"
    _, lines, _ = chat(script, typed=f"/undo\n{EGGS[0][1]}\nWhat?\n/undo\n/save {saved}\n/quit\nnever read\n")
    assert "there is nothing to take back" in lines
    (kept,) = jsonl.read(saved, Conversation)
    assert [turn.content for turn in kept.messages] == [EGGS[0][1], "Six minutes."]
    _, lines, _ = chat(script, "--with", script, "--rounds", "2", typed="/undo\n/undo\n/undo\n")
    assert json.loads(lines[-1])["turns"] == 0
    assert "there is nothing to take back" in lines


def test_a_turn_is_said_anew_with_another_seed_and_a_chat_is_the_same_for_its_seed():
    with chat_server() as server:
        spec = f"openai:m@{server.url}"
        _, first, _ = chat(spec, typed="Hello\n/retry\n")
        _, again, _ = chat(spec, typed="Hello\n/retry\n")
    one, other = said(first)
    assert one != other and said(again) == [one, other]
    assert json.loads(first[-1])["turns"] == 2


def test_an_ordinary_model_is_told_to_play_the_user(smollm2):
    status, lines, errors = chat("embedded", "--role", "user", "--max-tokens", "12")
    assert status == 0, errors
    assert "an ordinary chat model told to play one. You are the assistant." in lines[0]
    assert len(said(lines)) == 1 and len(said(lines)[0]) > len("user: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["scripted:none.jsonl"], "none.jsonl"),
        (["gpt"], "'gpt' is no model SPEC"),
        (["{script}", "--with", "{script}", "--role", "assistant"], "plays the user here"),
        (["{script}", "--rounds", "0"], "--rounds"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(script, arguments, words):
    status, _, errors = chat(*(word.format(script=script) for word in arguments))
    assert status == 2 and words in errors and "Traceback" not in errors


def test_a_model_that_fails_fails_a_pipe():
    status, _, errors = chat("openai:m@http://127.0.0.1:9/v1", typed="Hello\n")
    assert status == 1 and "nothing answers there" in errors


class Terminal:
    """A chat in a real terminal."""

    def __init__(self, *arguments):
        self.master, child = pty.openpty()
        self.process = subprocess.Popen(
            [*CHAT, *arguments], stdin=child, stdout=child, stderr=child, start_new_session=True
        )
        os.close(child)
        self.seen = ""

    def until(self, words, seconds=60):
        deadline = time.monotonic() + seconds
        while words not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += os.read(self.master, 65536).decode()
        seen, _, self.seen = self.seen.partition(words)
        return seen + words

    def type(self, text):
        os.write(self.master, text.encode())

    def interrupt(self):
        os.kill(self.process.pid, signal.SIGINT)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


def test_ctrl_c_stops_the_turn_that_is_being_said_and_a_second_one_the_chat():
    with chat_server(latency=2.0) as server:
        terminal = Terminal(f"openai:m@{server.url}", "--seed", "1")
        try:
            terminal.until("user:")
            terminal.type("Hello\n")
            terminal.until("assistant:")
            terminal.interrupt()
            terminal.until("(stopped)")
            terminal.type("/retry\n")
            terminal.until("Tell me about")
            terminal.until("user:")
            time.sleep(1)  # until the prompt listens, as it does before any finger has moved
            terminal.interrupt()
            assert terminal.process.wait(timeout=60) == 0
        finally:
            terminal.close()


def test_in_a_terminal_a_model_that_fails_leaves_the_choice_to_the_person():
    terminal = Terminal("openai:m@http://127.0.0.1:9/v1")
    try:
        terminal.until("user:")
        terminal.type("Hello\n")
        terminal.until("nothing answers there")
        terminal.type("/undo\n")
        terminal.until("taken back; 0 turns are left")
        terminal.type("/quit\n")
        assert terminal.process.wait(timeout=30) == 0
    finally:
        terminal.close()


def test_what_a_model_says_does_nothing_to_the_terminal(script):
    terminal = Terminal(script)
    try:
        terminal.until("user:")
        terminal.type(f"{EGGS[0][1]}\n")
        terminal.until("Six minutes.")
        terminal.type(f"{EGGS[2][1]}\n")
        seen = terminal.until("timer.")
        assert "\\x1b[31mtimer." in seen and "\x1b[31m" not in seen
    finally:
        terminal.close()
