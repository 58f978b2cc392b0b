"""Whole simulations against real servers and scripts, killed and resumed."""

import json
from pathlib import Path

import pytest

from chat_server import chat_server
from humanturn import jsonl
from humanturn.conversation import Conversation, Turn
from humanturn.errors import EndpointError, InputError, ModelError, SettingsChangedError
from humanturn.simulate.stage import SimulateSettings, simulate


def settings(server, smollm2, **changes):
    given = {"count": 12, "max_tokens": 200, "concurrency": 4, "user_max_tokens": 64}
    spec = f"openai:m@{server.url}"
    return SimulateSettings(user=spec, assistant=spec, tokenizer=f"hf:{smollm2}", **given | changes)


def talks(out: Path) -> list[Conversation]:
    return list(jsonl.read(out / "conversations.jsonl", Conversation))


def test_conversations_fill_the_context_alternate_and_end_with_an_answer(tmp_path, smollm2):
    with chat_server() as server:
        result = simulate(settings(server, smollm2), tmp_path).result
        assert result["stop_reasons"] == {"context": 12}
        assert sum(server.paid.values()) == sum(row["replies"] for row in result["spent"])
    found = talks(tmp_path)
    assert [c.id for c in found] == [f"sim-{i:06d}" for i in range(12)]
    for talk in found:
        assert [t.role for t in talk.messages] == ["user", "assistant"] * (len(talk.messages) // 2)
        assert talk.meta["stop_reason"] == "context"
    assert len({talk.messages[0].content for talk in found}) == 12, "each conversation has its own seed"


def test_results_do_not_depend_on_how_many_are_in_flight(tmp_path, smollm2):
    with chat_server(latency=0.002) as server:
        for concurrency in (1, 12):
            simulate(settings(server, smollm2, concurrency=concurrency), tmp_path / str(concurrency))
    same = [[(t.id, t.messages) for t in talks(tmp_path / str(n))] for n in (1, 12)]
    assert same[0] == same[1]


def test_a_finished_simulation_asks_nobody_again(tmp_path, smollm2):
    with chat_server() as server:
        simulate(settings(server, smollm2), tmp_path)
        asked = len(server.requests)
        assert simulate(settings(server, smollm2, concurrency=1), tmp_path).skipped
        assert len(server.requests) == asked
        with pytest.raises(SettingsChangedError, match="count was 12 and is 13"):
            simulate(settings(server, smollm2, count=13), tmp_path)


def test_the_context_is_by_default_what_the_user_model_was_trained_with(tmp_path, smollm2):
    from humanturn.models.weights import Card
    from humanturn.simulate import context

    card = Card(role="user", backbone="embedded", max_tokens=384, data_sha256="", humanturn="")
    jsonl.write_json(tmp_path / "humanturn.json", card)
    assert context.size(f"hf:{tmp_path}", None) == 384
    assert context.size(f"hf:{tmp_path}", 100) == 100
    assert context.size(f"hf:{smollm2}", None) == context.PAPER_CONTEXT


def test_rounds_end_a_conversation_when_they_are_given(tmp_path, smollm2):
    with chat_server(words=3) as server:
        result = simulate(settings(server, smollm2, rounds=2, max_tokens=600), tmp_path).result
    assert result["stop_reasons"] == {"rounds": 12}
    assert {talk.rounds() for talk in talks(tmp_path)} == {2}


def test_a_server_with_faults_costs_retries_and_no_conversation(tmp_path, smollm2):
    with chat_server(faults=0.3) as server:
        result = simulate(settings(server, smollm2, retries=20), tmp_path).result
        assert result["jobs"] == {"done": 12}
        stored = sum(row["replies"] for row in result["spent"])
        assert sum(server.paid.values()) == stored, "every reply that was paid for is in the store, once"
        assert max(server.paid.values()) == 1


def test_seeds_open_conversations_in_turn_and_too_long_ones_are_counted(tmp_path, smollm2):
    seeds = tmp_path / "dolly.jsonl"
    rows = [
        {"instruction": "Name a grain.", "context": "", "response": "Rye.", "category": "open_qa"},
        {"instruction": "Name a river.", "context": "", "response": "word " * 400, "category": "open_qa"},
        {"instruction": "Name a lake.", "context": "", "response": "Garda.", "category": "open_qa"},
    ]
    seeds.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with chat_server() as server:
        result = simulate(settings(server, smollm2, count=4, seeds=str(seeds)), tmp_path / "out").result
    assert result["seeds_too_long"] == 1
    opened = [talk.messages[0].content for talk in talks(tmp_path / "out")]
    assert opened == ["Name a grain.", "Name a lake."] * 2
    assert talks(tmp_path / "out")[0].messages[1] == Turn("assistant", "Rye.")


def test_an_endpoint_that_is_not_there_ends_the_run_with_one_sentence(tmp_path, smollm2):
    nowhere = "openai:m@http://127.0.0.1:9/v1"
    given = SimulateSettings(user=nowhere, assistant=nowhere, tokenizer=f"hf:{smollm2}", count=3, retries=1)
    with pytest.raises(EndpointError, match="nothing answers there"):
        simulate(given, tmp_path)


def test_an_assistant_is_refused_as_a_trained_user(tmp_path, tiny):
    with pytest.raises(ModelError, match="answers users, it does not play one .* --strategy roleplay"):
        simulate(SimulateSettings(user=f"hf:{tiny}", assistant=f"hf:{tiny}", count=1), tmp_path)


def test_a_remote_user_needs_a_tokenizer_to_count_with(tmp_path):
    remote = "openai:m@http://127.0.0.1:9/v1"
    with pytest.raises(ModelError, match="add --tokenizer SPEC"):
        simulate(SimulateSettings(user=remote, assistant=remote, count=1), tmp_path)


def test_a_simulation_needs_a_user(tmp_path):
    with pytest.raises(InputError, match="--user"):
        simulate(SimulateSettings(count=1), tmp_path)


def test_a_user_that_only_repeats_itself_ends_by_guards_and_is_counted(tmp_path, smollm2):
    script = tmp_path / "script.jsonl"
    jsonl.write(
        script, [Conversation(id="a", messages=(Turn("user", "Will you say that again?"), Turn("assistant", "Yes.")))]
    )
    given = SimulateSettings(
        user=f"scripted:{script}", assistant=f"scripted:{script}", tokenizer=f"hf:{smollm2}", count=2, attempts=3
    )
    result = simulate(given, tmp_path / "out").result
    assert result["stop_reasons"] == {"guards": 2}
    assert result["guards"] == {"repeats": 6}
    assert [talk.meta["events"] for talk in talks(tmp_path / "out")] == [{"repeats": 3}] * 2
