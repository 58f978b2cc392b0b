"""Simulations against a server that fails in every way, under caps, interrupted and killed; the server keeps count."""

import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from kill_simulation import IN_FLIGHT, SIMULATE, kill_many, replies, talks

from chat_server import EVERY_FAULT, chat_server
from humanturn.errors import BudgetReachedError, InputError
from humanturn.simulate.stage import SimulateSettings, simulate
from humanturn.simulate.status import status


def settings(server, smollm2, **changes):
    given = {"count": 12, "max_tokens": 200, "concurrency": 6, "user_max_tokens": 64, "tokenizer": f"hf:{smollm2}"}
    return SimulateSettings(user=server.spec, assistant=server.spec, **given | changes)


def test_twenty_kills_at_random_instants_change_nothing(tmp_path, smollm2):
    tally = kill_many(tmp_path, 20, seed=1, tokenizer=f"hf:{smollm2}", conversations=30)
    assert tally.kills == 20
    assert tally.different == tally.twice == tally.dropped == 0
    assert 0 <= tally.lost <= IN_FLIGHT * tally.kills, "at most the calls in flight are lost at each kill"


def test_a_server_that_fails_in_every_way_costs_retries_and_no_conversation(tmp_path, smollm2):
    with chat_server(faults=0.3, kinds=EVERY_FAULT) as server:
        given = settings(server, smollm2, retries=20, concurrency=12)
        result = simulate(given, tmp_path).result
        assert result["jobs"] == {"done": 12}
        assert set(server.faulted) == set(EVERY_FAULT)
        assert sum(server.paid.values()) == sum(row["replies"] for row in result["spent"])
        assert max(server.paid.values()) == 1, "no reply was paid twice"
        unclear = sum(server.faulted[kind] for kind in ("hung", "cut", "garbage"))
        assert sum(row["calls"] for row in result["lost"]) == unclear, "what may be charged for nothing is on record"
    for talk in talks(tmp_path):
        assert [turn.role for turn in talk.messages] == ["user", "assistant"] * (len(talk.messages) // 2)
        assert all(turn.content for turn in talk.messages)


def test_a_conversation_that_is_refused_is_recorded_with_its_cause_and_goes_on_when_the_server_is_mended(
    tmp_path, smollm2
):
    with chat_server() as server:
        simulate(settings(server, smollm2), tmp_path / "whole")
        server.refused = talks(tmp_path / "whole")[3].messages[2].content
        result = simulate(settings(server, smollm2), tmp_path / "torn").result
        assert result["jobs"] == {"done": 11, "failed": 1}
        ((cause, times),) = result["errors"].items()
        assert "HTTP 400" in cause
        assert times == 1
        assert simulate(settings(server, smollm2), tmp_path / "torn", resume=True).skipped
        again = simulate(settings(server, smollm2), tmp_path / "torn", resume=True, retry_failed=True).result
        assert again["jobs"] == {"done": 11, "failed": 1}, "what is refused still keeps nobody else from ending well"
        server.refused = None
        mended = simulate(settings(server, smollm2), tmp_path / "torn", resume=True, retry_failed=True).result
        assert mended["jobs"] == {"done": 12}
    assert talks(tmp_path / "torn") == talks(tmp_path / "whole")


def test_requests_refused_one_by_one_end_no_run_even_with_a_single_conversation_at_a_time(tmp_path, smollm2):
    with chat_server() as server:
        simulate(settings(server, smollm2), tmp_path / "whole")
        server.refused = talks(tmp_path / "whole")[0].messages[2].content
        result = simulate(settings(server, smollm2, concurrency=1), tmp_path / "torn").result
    assert result["jobs"] == {"done": 11, "failed": 1}


@pytest.mark.parametrize("concurrency", [1, 12])
def test_a_cap_on_tokens_holds_by_the_servers_own_count_and_a_higher_one_goes_on(tmp_path, smollm2, concurrency):
    with chat_server(latency=0.01) as server:
        simulate(settings(server, smollm2), tmp_path / "whole")
        needed, server.tokens = server.tokens, 0
        caps = (needed // 3, 2 * needed // 3)
        for cap in caps:
            given = settings(server, smollm2, concurrency=concurrency, budget=f"{cap}tok")
            with pytest.raises(BudgetReachedError, match="raise --budget and add --resume"):
                simulate(given, tmp_path / "out", resume=cap == caps[1])
            assert cap - 3000 < server.tokens <= cap, "spent up to what one more call might have taken"
            assert status(tmp_path / "out")["tokens"] == server.tokens
        simulate(settings(server, smollm2), tmp_path / "out", resume=True)
        assert server.tokens == needed
    assert talks(tmp_path / "out") == talks(tmp_path / "whole")


def test_a_cap_on_dollars_holds_and_counts_what_failed_calls_may_have_cost(tmp_path, smollm2):
    with chat_server(latency=0.01, faults=0.2, kinds=("cut",)) as server:
        given = settings(server, smollm2, budget="0.02usd", prices={server.spec: (1.0, 2.0)}, retries=20)
        with pytest.raises(BudgetReachedError, match="USD spent"):
            simulate(given, tmp_path)
        found = status(tmp_path)
        assert found["lost_calls"] == server.faulted["cut"] > 0
        assert server.tokens * 1e-6 < found["usd"] <= 0.02


def test_a_cap_on_dollars_needs_a_price(tmp_path, smollm2):
    with chat_server() as server, pytest.raises(InputError, match="needs the price of openai:m@"):
        simulate(settings(server, smollm2, budget="1usd"), tmp_path)


def test_on_the_command_line_a_cap_exits_with_3_says_how_to_go_on_and_keeps_what_is_finished(tmp_path, smollm2):
    with chat_server() as server:
        words = [
            sys.executable, "-m", "humanturn", "simulate", "--user", server.spec, "--assistant", server.spec, "--count",
            "12", "--tokenizer", f"hf:{smollm2}", "--max-tokens", "200", "--concurrency", "2", "--out", str(tmp_path),
        ]  # fmt: skip
        capped = subprocess.run([*words, "--budget", "4ktok"], capture_output=True, text=True)
        assert capped.returncode == 3
        assert "raise --budget and add --resume to go on" in capped.stderr
        assert "estimate for 12 conversations" in capped.stderr
        assert server.tokens <= 4000
        assert 0 < len(talks(tmp_path)) < 12
        done = subprocess.run([*words, "--budget", "1Mtok", "--resume"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert len(talks(tmp_path)) == 12


def test_ctrl_c_keeps_every_reply_that_was_on_its_way(tmp_path, smollm2):
    with chat_server(latency=0.3) as server:
        words = [
            sys.executable, "-m", "humanturn", "simulate", "--user", server.spec, "--assistant", server.spec, "--count",
            "12", "--tokenizer", f"hf:{smollm2}", "--max-tokens", "200", "--concurrency", "8", "--out", str(tmp_path),
        ]  # fmt: skip
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while replies(tmp_path) < 8 and time.monotonic() < deadline:
            time.sleep(0.02)
        live = status(tmp_path)
        assert live["jobs"] == {"open": 12}
        assert live["replies"] >= 8
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "replies under way" in said
        assert "--resume" in said
        assert sum(server.paid.values()) == replies(tmp_path)


def test_the_status_of_a_simulation_counts_what_is_in_its_store(tmp_path, smollm2):
    with chat_server(faults=0.1, kinds=("empty",)) as server:
        given = settings(server, smollm2, prices={server.spec: (1.0, 2.0)})
        result = simulate(given, tmp_path).result
        found = status(tmp_path)
        assert found["jobs"] == {"done": 12}
        assert found["tokens"] == server.tokens
        assert found["guard_rates"] == result["guard_rates"]
        assert found["usd"] == pytest.approx(sum(row["usd"] for row in result["spent"]))
        low, high = result["estimate"]["tokens"]
        assert low <= server.tokens <= high
    with pytest.raises(InputError, match="holds no simulation"):
        status(tmp_path / "none")


def test_a_simulation_may_leave_parquet_beside_its_jsonl(tmp_path, smollm2):
    from humanturn import formats

    with chat_server() as server:
        simulate(settings(server, smollm2, count=3), tmp_path)
        simulate(settings(server, smollm2, count=3, format="parquet"), tmp_path)
    read = [talk.messages for talk in formats.read_conversations(tmp_path / "conversations.parquet")]
    assert read == [talk.messages for talk in talks(tmp_path)]


def test_the_store_of_a_killed_simulation_is_whole(tmp_path, smollm2):
    with chat_server(latency=0.02) as server:
        given = settings(server, smollm2)
        process = subprocess.Popen([sys.executable, "-c", SIMULATE, given.model_dump_json(), str(tmp_path)])
        while replies(tmp_path) < 5:
            time.sleep(0.01)
        process.kill()
        process.wait()
    with sqlite3.connect(tmp_path / "store.sqlite") as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
