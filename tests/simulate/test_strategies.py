"""Every strategy on the one engine, against a server that behaves as models do: killed, resumed, at any concurrency."""

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from chat_server import chat_server
from humanturn import jsonl, scaffold
from humanturn.conversation import Conversation
from humanturn.errors import ModelError
from humanturn.simulate import tasks
from humanturn.simulate.stage import SimulateSettings, simulate
from humanturn.simulate.strategies import evol_instruct, rouge, self_instruct, ultrachat

WORDS = re.findall(
    r"\w+",
    """amber basil cedar delta ember fjord grove heron inlet jetty kelp lemon maple nettle otter pebble quartz river
    thyme umber violet willow yarrow zinnia anchor beacon copper dune estuary fern glacier harbor island juniper""",
)


def behaviour(body):
    """What the server's models say: a function of the request alone, good and bad in the shares that models have."""
    said = body["messages"][-1]["content"]
    draw = random.Random(json.dumps([body["messages"], body["seed"], body["model"]]))

    def some(n):
        return " ".join(draw.choice(WORDS) for _ in range(n))

    if said.startswith("A human and an AI"):
        rounds = "".join(f"\n[|Human|] What of {some(2)}?\n[|AI|] It is {some(4)}." for _ in range(draw.randrange(4)))
        return f"It is {some(5)}.{rounds}" if draw.random() < 0.8 else "[|Human|] [|AI|]"
    if said.startswith("Somebody said to an AI"):
        return ", ".join(str(draw.randint(1, 100)) for _ in range(4)) if draw.random() < 0.7 else "They are all fine."
    if said.startswith("Here is a list of tasks"):
        return f"9. Say how {some(6)} goes." if draw.random() < 0.7 else draw.choice(["Bake.", "Draw a map of a lake."])
    if said.startswith("Does the answer to a task"):
        return draw.choice(["yes", "no"])
    if said.endswith("Example 1\nClass label:"):
        return f"{some(1)}\nInput: {some(3)}\nExample 2\nClass label: {some(1)}\nInput: {some(3)}"
    if said.endswith("Example 1\nInput:"):
        return f"Input: {some(3)}\nOutput: {some(3)}" if draw.random() < 0.8 else some(5)
    if said.startswith("Make an instruction") or said.startswith("Make a new instruction"):
        return f"Name {some(8)}." if draw.random() < 0.8 else f"The rewritten prompt: {some(4)}"
    if said.startswith("Do two instructions"):
        return draw.choice(["Different", "Different", "different.", "Equal", "Hm."])
    if draw.random() < 0.2:
        return "I'm sorry, I cannot." if body["model"] == "assistant" else "Thanks!"
    return f"Tell me of {some(5)}"


def settings(server, smollm2, strategy, **changes):
    given = {"count": 16, "max_tokens": 900, "concurrency": 5, "user_max_tokens": 64, "assistant_max_tokens": 64}
    seats = {seat: f"openai:{seat}@{server.url}" for seat in ("user", "assistant", "judge")}
    return SimulateSettings(**seats, strategy=strategy, tokenizer=f"hf:{smollm2}", **given | changes)


def talks(out):
    return list(jsonl.read(out / "conversations.jsonl", Conversation))


CASES = {
    "self-chat": {},
    "self-chat with SDF": {"sdf": True},
    "ultrachat": {},
    "self-instruct": {"count": 24},
    "evol-instruct": {},
    "roleplay": {"personas": "builtin", "rounds": 3},
}


def valid(talk):
    roles = [turn.role for turn in talk.messages]
    return (
        roles and roles == ["user", "assistant"] * (len(roles) // 2) and all(t.content.strip() for t in talk.messages)
    )


@pytest.mark.parametrize("case", CASES)
def test_killed_and_resumed_many_at_once_it_ends_as_one_by_one_and_undisturbed(tmp_path, smollm2, case):
    chance = random.Random(case)
    with chat_server(latency=0.002, say=behaviour) as server:
        given = settings(server, smollm2, case.split()[0], concurrency=1, **CASES[case])
        whole = simulate(given, tmp_path / "whole").result
        assert server.paid.total() == sum(row["replies"] for row in whole["spent"])
        server.paid.clear()
        server.latency = 0.02
        given = given.model_copy(update={"concurrency": 7})
        for _ in range(2):
            command = [sys.executable, "-c", _SIMULATE, given.model_dump_json(), str(tmp_path / "torn")]
            process = subprocess.Popen(command)
            before, deadline = server.paid.total(), time.monotonic() + 60
            while server.paid.total() <= before + chance.randrange(20) and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
        torn = simulate(given, tmp_path / "torn", resume=True).result
        lost = server.paid.total() - sum(row["replies"] for row in torn["spent"])
    one, other = talks(tmp_path / "whole"), talks(tmp_path / "torn")
    assert one == other
    assert len(one) >= 8
    assert all(valid(talk) and talk.meta["strategy"] == given.strategy for talk in one)
    assert (whole["stop_reasons"], whole["guards"]) == (torn["stop_reasons"], torn["guards"])
    assert 0 <= lost <= 2 * given.concurrency, "at most the calls in flight are paid twice"


_SIMULATE = """
import sys
from pathlib import Path
from humanturn.simulate import stage
stage.simulate(stage.SimulateSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2]), resume=True)
"""


def prompts(server, start):
    found = [body["messages"][-1]["content"] for body in server.requests]
    return [text for text in found if text.startswith(start)]


def test_self_instruct_shows_eight_tasks_and_at_most_two_of_the_machines_from_earlier_waves(tmp_path, smollm2):
    with chat_server(say=behaviour) as server:
        result = simulate(settings(server, smollm2, "self-instruct", count=40), tmp_path).result
    human = {" ".join(task.instruction.split()) for task in tasks.ours()}
    machine = []
    for text in prompts(server, "Here is a list"):
        shown = re.findall(r"^\d+\. (.*)$", text, re.MULTILINE)
        assert len(set(shown)) == 8
        machine.append(sum(task not in human for task in shown))
    assert set(machine) == {0, 2}
    first_wave = self_instruct.WAVE
    assert machine[:first_wave] == [0] * first_wave, "the pool is seen as it stood before the wave"
    assert result["guards"]["length"] and result["guards"]["beyond_text"]
    asked = [body for body in server.requests if body["messages"][-1]["content"].startswith("Here is a list")]
    assert {(body["temperature"], body["top_p"], body["presence_penalty"]) for body in asked} == {(0.7, 0.5, 2.0)}
    accepted = sorted({talk.messages[0].content.partition("\n\n")[0] for talk in talks(tmp_path)})
    for number, task in enumerate(accepted):
        assert not rouge.too_similar(task, [rouge.words(other) for other in accepted[:number]], self_instruct.SIMILAR)


def test_self_instruct_refuses_twins_of_one_wave_but_the_first(tmp_path, smollm2):
    def say(body):
        said = body["messages"][-1]["content"]
        return "Count the bridges of the old town." if said.startswith("Here is a list") else behaviour(body)

    with chat_server(say=say) as server:
        given = settings(server, smollm2, "self-instruct", count=20, attempts=2)
        result = simulate(given, tmp_path).result
    assert result["stop_reasons"]["similar"] >= self_instruct.WAVE - 1 - result["stop_reasons"].get("malformed", 0)
    assert len({talk.meta["seed"] for talk in talks(tmp_path)}) <= 1
    assert result["guards"]["similar"] >= 4 * 2, "the second wave sees the first one's task"


def test_self_instruct_begins_from_a_file_of_seed_tasks(tmp_path, smollm2):
    seeds = tmp_path / "seed_tasks.jsonl"
    task = {
        "id": "seed_task_0",
        "name": "x",
        "is_classification": False,
        "instances": [{"input": "", "output": "Rye."}],
    }
    rows = [task | {"instruction": f"Name the grain with number {word}."} for word in WORDS[:10]]
    seeds.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with chat_server(say=behaviour) as server:
        simulate(settings(server, smollm2, "self-instruct", count=6, seeds=str(seeds)), tmp_path / "out")
        shown = prompts(server, "Here is a list")
    assert all(text.count("Name the grain") == 8 for text in shown)


def test_evol_instruct_goes_on_from_what_evolved_and_a_failure_returns_unchanged(tmp_path, smollm2):
    with chat_server(say=behaviour) as server:
        given = settings(server, smollm2, "evol-instruct", count=24, concurrency=1)
        result = simulate(given, tmp_path).result
        asked = prompts(server, "Make ")
    evolved = {talk.id: talk.messages[0].content for talk in talks(tmp_path)}
    chains = 24 // evol_instruct.ROUNDS
    current = {n: tasks.asked(tasks.ours()[n]) for n in range(chains)}
    for number, text in enumerate(asked):
        before = text.rpartition("\n\nInstruction: ")[2].rpartition("\n")[0]
        assert before == current[number % chains]
        current[number % chains] = evolved.get(f"sim-{number:06d}", before)
    causes = set(result["guards"])
    assert {"leaked_prompt", "no_gain", "sorry", "unparsed"} <= causes
    assert result["stop_reasons"] == {"written": len(evolved), "eliminated": 24 - len(evolved)}


def test_sdf_keeps_the_best_of_four_and_the_transcripts_own_answer_where_no_score_can_be_read(tmp_path, smollm2):
    def say(body):
        said = body["messages"][-1]["content"]
        if said.startswith("A human and an AI"):
            return "Own one.\n[|Human|] Is that all?\n[|AI|] Own two."
        if said.startswith("Somebody said"):
            answers = re.findall(r"^Answer \d: (.*)$", said, re.MULTILINE)
            assert len(answers) == 4
            scores = [str(1 + int(answer) % 100) for answer in answers]
            return "Good ones." if "Is that all?" in said else ", ".join(scores)
        return str(body["seed"])

    with chat_server(say=say) as server:
        result = simulate(settings(server, smollm2, "self-chat", count=3, sdf=True), tmp_path).result
        judged = prompts(server, "Somebody said")
    for talk in talks(tmp_path):
        _, best, _, own = (turn.content for turn in talk.messages)
        answers = next(found for text in judged if best in (found := re.findall(r"^Answer \d: (\d+)$", text, re.M)))
        assert int(best) % 100 == max(int(answer) % 100 for answer in answers)
        assert own == "Own two."
        assert talk.meta["events"] == {"unparsed": 4}
    assert result["guard_rates"]["judge.unparsed"] == 4 / 5


def test_ultrachat_keeps_to_its_rounds_and_filters_exchanges_of_thanks(tmp_path, smollm2):
    with chat_server(say=behaviour) as server:
        result = simulate(settings(server, smollm2, "ultrachat", count=40), tmp_path).result
        users = [b["messages"][0]["content"] for b in server.requests if b["model"] == "user"]
    assert result["guards"]["only_thanks"]
    assert sum(text.startswith(ultrachat.USER) for text in users) > 40
    assert "Never exchange roles" in ultrachat.USER
    counted = Counter()
    for talk in talks(tmp_path):
        assert all(turn.content != "Thanks!" for turn in talk.messages if turn.role == "user")
        filtered = talk.meta["events"].get("only_thanks", 0) // 2
        counted[talk.rounds() + filtered] += talk.meta["stop_reason"] == "rounds"
    assert set(counted) == {2, 3, 4, 5, 6, 7}


def test_ultrachat_opens_with_the_material_it_speaks_of(tmp_path, smollm2):
    with chat_server(say=behaviour) as server:
        simulate(settings(server, smollm2, "ultrachat", count=24), tmp_path)
    materials = [subject.text for subject in ultrachat.subjects() if subject.kind == "material"]
    opened = [talk for talk in talks(tmp_path) if any(talk.messages[0].content.endswith("\n\n" + m) for m in materials)]
    assert opened
    assert all(talk.rounds() <= 4 for talk in opened)


@pytest.mark.parametrize("strategy", ["ultrachat", "self-chat", "evol-instruct"])
def test_a_seed_gives_its_first_user_turn_where_the_strategy_answers_itself(tmp_path, smollm2, strategy):
    seeds = tmp_path / "dolly.json"
    row = {"instruction": "Name a grain.", "context": "Rye, oats.", "response": "R.", "category": "summarization"}
    seeds.write_text(json.dumps([row]))
    with chat_server(say=behaviour) as server:
        simulate(settings(server, smollm2, strategy, seeds=str(seeds), count=8), tmp_path / "out")
        asked = [body["messages"][-1]["content"] for body in server.requests]
    found = talks(tmp_path / "out")
    assert {talk.meta["seeded_by"] for talk in found} == {"dolly-1"}
    assert {talk.meta["opening_turns"] for talk in found} == {1}
    assert any("Name a grain.\n\nRye, oats." in text for text in asked)
    if strategy == "ultrachat":
        assert all(talk.messages[0].content == "Name a grain.\n\nRye, oats." for talk in found)
        assert all(talk.rounds() <= 4 for talk in found), "a summary is work on a given text"


def test_a_trained_user_model_is_refused_where_a_chat_model_is_instructed(tmp_path, tiny):
    import shutil

    from humanturn import tokens

    folder = shutil.copytree(tiny, tmp_path / "user")
    frame = scaffold.read_off(tokens.load(tiny))
    (folder / "chat_template.jinja").write_text(scaffold.chat_template(frame))
    given = SimulateSettings(user=f"hf:{folder}", assistant=f"hf:{tiny}", count=1, strategy="self-chat")
    with pytest.raises(ModelError, match="is a trained user model .* and self-chat instructs a chat model"):
        simulate(given, tmp_path / "out")
