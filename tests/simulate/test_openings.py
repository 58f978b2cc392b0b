"""What conversations begin with and end by: seeds, lines, intents, personas, rounds, learned endings, older stores."""

import json
import sqlite3
from collections import Counter

import pytest

from chat_server import chat_server
from humanturn import jsonl, scaffold, template, tokens
from humanturn.conversation import Conversation, Turn
from humanturn.errors import InputError
from humanturn.simulate import context, openings
from humanturn.simulate.stage import SimulateSettings, simulate
from humanturn.simulate.store import Store
from humanturn.simulate.termination import REASONS, Budget, reason_to_end
from humanturn.template import USER_MODEL_PREFACE


def settings(server, smollm2, **changes):
    given = {"count": 6, "max_tokens": 300, "user_max_tokens": 64, "assistant_max_tokens": 64}
    seats = {seat: f"openai:{seat}@{server.url}" for seat in ("user", "assistant")}
    return SimulateSettings(**seats, tokenizer=f"hf:{smollm2}", **given | changes)


def talks(out):
    return list(jsonl.read(out / "conversations.jsonl", Conversation))


def asked_of(server, model):
    return [body["messages"] for body in server.requests if body["model"] == model]


FORMATS = {
    "dolly": lambda ask, answer: {"instruction": ask, "context": "", "response": answer, "category": "open_qa"},
    "evol": lambda ask, answer: {"instruction": ask, "output": answer},
    "evol V2": lambda ask, answer: {
        "conversations": [{"from": "human", "value": ask}, {"from": "gpt", "value": answer}]
    },
    "messages": lambda ask, answer: {
        "messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]
    },
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("strategy", ["trained", "roleplay"])
def test_seeds_of_any_format_open_conversations_and_too_long_ones_are_passed_over_and_counted(
    tmp_path, smollm2, name, strategy
):
    row = FORMATS[name]
    rows = [row("Name a grain.", "Rye."), row("Name a river.", "word " * 400), row("Name a lake.", "Garda.")]
    seeds = tmp_path / "seeds.json"
    seeds.write_text(json.dumps(rows))
    with chat_server() as server:
        given = settings(server, smollm2, seeds=str(seeds), strategy=strategy, count=4)
        result = simulate(given, tmp_path / "out").result
    assert result["seeds_too_long"] == 1
    found = talks(tmp_path / "out")
    assert [talk.messages[:2] for talk in found] == [
        (Turn("user", "Name a grain."), Turn("assistant", "Rye.")),
        (Turn("user", "Name a lake."), Turn("assistant", "Garda.")),
    ] * 2
    assert all(len(talk.messages) > 2 for talk in found), "the user model goes on"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lines.txt", "Name a grain.\n\n  Name a lake.\n"),
        ("lines.jsonl", '"Name a grain."\n"Name a lake."\n'),
    ],
)
def test_opening_lines_are_answered_first(tmp_path, smollm2, name, text):
    (tmp_path / name).write_text(text)
    with chat_server() as server:
        simulate(settings(server, smollm2, seeds=str(tmp_path / name), count=2), tmp_path / "out")
        first = [messages for messages in asked_of(server, "assistant") if len(messages) == 1]
    assert sorted(m[0]["content"] for m in first) == ["Name a grain.", "Name a lake."]
    assert [talk.messages[0].content for talk in talks(tmp_path / "out")] == ["Name a grain.", "Name a lake."]


def test_intents_come_before_the_conversation_and_stay_with_it(tmp_path, smollm2):
    file = tmp_path / "wants.txt"
    file.write_text("to bake rye bread\nto buy a boat\n")
    with chat_server() as server:
        simulate(settings(server, smollm2, intents=str(file), count=4), tmp_path / "out")
        shown = {messages[0]["content"] for messages in asked_of(server, "user")}
    assert shown == {f"{USER_MODEL_PREFACE}\nWhat the human wants: {w}" for w in ("to bake rye bread", "to buy a boat")}
    assert [talk.meta["intent"] for talk in talks(tmp_path / "out")] == ["to bake rye bread", "to buy a boat"] * 2
    assert all(talk.messages[0].role == "user" for talk in talks(tmp_path / "out")), "what it wants is no turn of it"


def test_intents_are_also_taken_from_what_a_conversation_knows(tmp_path, smollm2):
    file = tmp_path / "known.jsonl"
    turns = (Turn("user", "Name a grain."), Turn("assistant", "Rye."))
    known = [Conversation(id=f"c{n}", messages=turns, meta={"intent": f"to eat {n}"}) for n in range(2)]
    jsonl.write(file, [*known, Conversation(id="none", messages=turns)])
    assert openings.intents(file) == ["to eat 0", "to eat 1"]
    with chat_server() as server:
        simulate(settings(server, smollm2, seeds=str(file), count=3), tmp_path / "out")
    assert [talk.meta.get("intent") for talk in talks(tmp_path / "out")] == ["to eat 0", "to eat 1", None]
    file.write_text("")
    with pytest.raises(InputError, match="is empty"):
        openings.intents(file)


def test_a_persona_and_an_intent_are_told_to_who_plays_the_user(tmp_path, smollm2):
    file = tmp_path / "people.jsonl"
    file.write_text('{"persona": "A baker."}\n')
    with chat_server() as server:
        given = settings(server, smollm2, strategy="roleplay", personas=str(file), count=1)
        simulate(given, tmp_path / "out")
        system = asked_of(server, "user")[0][0]["content"]
    assert system.endswith("You are this person: A baker.")
    assert talks(tmp_path / "out")[0].meta["persona"] == "A baker."
    assert len(openings.personas("builtin")) >= 12


def sessions(path, counts):
    def segment(session, part, rounds):
        turns = (Turn("user", "Go on?"), Turn("assistant", "Yes."))
        carried = turns[1:] if part else ()
        meta = {"context_turns": len(carried)}
        return Conversation(
            id=f"s{session}-{part}", parent_id=f"s{session}", messages=carried + turns * rounds, meta=meta
        )

    rows = [segment(n, part, rounds) for n, parts in enumerate(counts) for part, rounds in enumerate(parts)]
    jsonl.write(path, rows)


def test_rounds_are_drawn_from_the_sessions_of_a_human_corpus_by_each_jobs_own_seed(tmp_path, smollm2):
    sessions(tmp_path / "human.jsonl", [[1]] * 6 + [[2]] * 3 + [[1, 2]])
    assert openings.rounds(str(tmp_path / "human.jsonl")) == [1] * 6 + [2] * 3 + [3]
    with chat_server(words=2) as server:
        given = settings(server, smollm2, rounds=str(tmp_path / "human.jsonl"), count=60, max_tokens=600)
        result = simulate(given, tmp_path / "out").result
    assert result["stop_reasons"] == {"rounds": 60}
    counted = Counter(talk.rounds() for talk in talks(tmp_path / "out"))
    assert set(counted) == {1, 2, 3}
    assert counted[1] > counted[2] > counted[3]
    assert all(talk.rounds() == talk.meta["rounds"] for talk in talks(tmp_path / "out"))


def ends_after(rounds):
    def say(body):
        users = sum(message["role"] == "user" for message in body["messages"])
        if body["model"] == "user" and users >= rounds:
            return ""
        return f"Number {body['seed']}"

    return say


@pytest.mark.parametrize("rounds", [1, 3])
def test_an_empty_turn_ends_a_conversation_whose_user_has_learned_to_end(tmp_path, smollm2, rounds):
    with chat_server(say=ends_after(rounds)) as server:
        result = simulate(settings(server, smollm2, ending="learned", max_tokens=600), tmp_path / "a").result
        assert result["stop_reasons"] == {"learned": 6}
        assert result["guards"] == {}
        assert {talk.rounds() for talk in talks(tmp_path / "a")} == {rounds}
        assert {talk.messages[-1].role for talk in talks(tmp_path / "a")} == {"assistant"}
        result = simulate(settings(server, smollm2, max_tokens=600), tmp_path / "b").result
        assert result["stop_reasons"] == {"guards": 6}, "of a user that has not learned it, an empty turn is a fault"
        assert result["guards"] == {"empty": 24}


def test_a_conversation_does_not_begin_with_its_end(tmp_path, smollm2):
    with chat_server(say=ends_after(0)) as server, pytest.raises(InputError, match="no conversation came about"):
        simulate(settings(server, smollm2, ending="learned", attempts=2), tmp_path)


def test_whether_a_user_model_has_learned_to_end_stands_in_its_card(tmp_path):
    from humanturn.models.weights import Card

    for learned in (True, False):
        card = Card(
            role="user", backbone="b", max_tokens=384, data_sha256="", humanturn="", learned_ending=learned
        )  # fmt: skip
        jsonl.write_json(tmp_path / "humanturn.json", card)
        assert context.user_card(f"hf:{tmp_path}").learned_ending is learned
    assert context.user_card("embedded") is None


def test_an_assistant_that_says_nothing_ends_the_conversation_after_the_answer_before(tmp_path, smollm2):
    def say(body):
        return "" if body["model"] == "assistant" and len(body["messages"]) > 2 else f"Number {body['seed']}"

    with chat_server(say=say) as server:
        result = simulate(settings(server, smollm2, attempts=2), tmp_path).result
    assert result["stop_reasons"] == {"unanswered": 6}
    assert {talk.rounds() for talk in talks(tmp_path)} == {1}
    assert result["guard_rates"] == {"assistant.empty": 12 / 18}


@pytest.mark.parametrize("intent", [None, "to buy a boat"])
def test_the_context_is_counted_as_the_user_model_reads_it(tiny, tmp_path, intent):
    import shutil

    from humanturn.simulate.strategies import trained

    folder = shutil.copytree(tiny, tmp_path / "user")
    tokenizer = tokens.load(tiny)
    (folder / "chat_template.jinja").write_text(scaffold.trained_template(tokenizer, "user"))
    tokenizer = tokens.load(folder)
    count = context.counter(f"hf:{folder}", None, "trained")
    for rounds in (1, 3):
        turns = [Turn("user", "Where is the boat?"), Turn("assistant", "It is at sea, *far* out.")] * rounds
        shown = trained.shown(turns, intent)
        prompt = template.prompt_ids(tokenizer, shown)
        said = template.encode(tokenizer, [*shown, Turn("user", "And now?")]).ids
        assert count(shown) == len(template.encode(tokenizer, [*shown, Turn("user", "")]).ids)
        assert len(prompt) <= count(shown) < len(said)


def test_the_context_ends_a_conversation_when_too_little_is_left_and_never_cuts_what_is_shown():
    budget = Budget(100, 16, lambda turns: 10 * len(turns))
    turns = [Turn("user", "a"), Turn("assistant", "b")] * 4
    assert reason_to_end(turns, budget.left(turns), budget, None) is None
    assert reason_to_end(turns + turns[:1], budget.left(turns + turns[:1]), budget, None) == "context"
    assert reason_to_end(turns, budget.left(turns), budget, 4) == "rounds"
    assert {"context", "rounds", "learned", "guards"} < set(REASONS)


def test_a_store_of_an_older_version_is_refused_in_one_sentence(tmp_path):
    with sqlite3.connect(tmp_path / "store.sqlite") as old:
        old.execute("PRAGMA user_version = 1")
    with pytest.raises(InputError, match=r"store\.sqlite: has schema 1, and this humanturn reads \d+; use the version"):
        Store(tmp_path / "store.sqlite")
