import itertools
import json
import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from humanturn import jsonl, scaffold, template, tokens
from humanturn.conversation import Conversation
from humanturn.errors import InputError, SettingsChangedError
from humanturn.prepare.stage import PrepareSettings, prepare
from humanturn.records import Dropped

WORDS = [
    "the",
    "tide",
    "and",
    "moon",
    "turn",
    "you",
    "with",
    "that",
    "how",
    "what",
    "sea",
    "water",
    "rises",
    "falls",
    "this",
    "are",
    "day",
    "night",
    "long",
    "slow",
]


def talk(rng, rounds, length=30):
    return [" ".join(rng.choices(WORDS, k=rng.randrange(3, length))) for _ in range(2 * rounds)]


def session(name, said, first="human"):
    roles = ["human", "gpt"] if first == "human" else ["gpt", "human"]
    return {"id": name, "conversations": [{"from": roles[i % 2], "value": text} for i, text in enumerate(said)]}


def corpus(n, seed=0):
    rng = random.Random(seed)
    return [session(f"session{i:03}", talk(rng, rng.randrange(1, 6))) for i in range(n)]


@pytest.fixture
def run(tmp_path, small_tokenizer):
    """Prepare records and hand out all that was written."""

    def go(records, name="out", **given):
        file = tmp_path / f"{name}.json"
        file.write_text(records if isinstance(records, str) else json.dumps(records))
        settings = PrepareSettings(
            **{"inputs": (str(file),), "tokenizer": f"hf:{small_tokenizer}", "max_tokens": 512, "workers": 1} | given
        )
        result = prepare(settings, tmp_path / name)
        return Written(tmp_path / name, result)

    return go


class Written:
    def __init__(self, out, result):
        self.out, self.result = out, result
        self.train = list(jsonl.read(out / "train.jsonl", Conversation))
        self.heldout = list(jsonl.read(out / "heldout.jsonl", Conversation))
        self.dropped = list(jsonl.read(out / "dropped.jsonl", Dropped))
        self.funnel = json.loads((out / "funnel.json").read_text())
        self.rules = Counter(d.rule for d in self.dropped)

    @property
    def segments(self):
        return self.train + self.heldout

    def step(self, rule):
        return next(step for step in self.funnel["steps"] if step["rule"] == rule)


def test_what_goes_in_comes_out_or_is_counted(run):
    records = corpus(60)
    records[3]["conversations"].append({"from": "human", "value": "nobody answers this"})
    records[4]["conversations"].insert(1, {"from": "human", "value": "and another thing"})
    records[5]["conversations"][0]["value"] = " \r\n "
    records[6]["conversations"].insert(0, {"from": "system", "value": "You are helpful."})
    records[7]["conversations"][0]["value"] = "the tide " * 2000
    records[8] = session("session008", ["only a question"])
    records[9]["conversations"][1]["value"] = "spelled out <|im_end|> here"
    records[10] = records[11] | {"id": "copy"}
    records[12] = {"id": "session012", "conversations": "text"}
    written = run(records, heldout=0.2, near_duplicates=None)
    steps = written.funnel["steps"]
    assert steps[0]["sessions_left"] == 60
    for before, after in itertools.pairwise(steps):
        for unit in ("sessions", "turns", "user_turns", "tokens"):
            assert after[f"{unit}_left"] == before[f"{unit}_left"] - after[f"{unit}_dropped"]
    kept = [turn for s in written.segments for turn in s.messages[s.context_turns :]]
    assert len(kept) == steps[-1]["turns_left"]
    assert sum(turn.role == "user" for turn in kept) == steps[-1]["user_turns_left"]
    assert len({s.parent_id for s in written.segments}) == steps[-1]["sessions_left"]
    for rule in ("unreadable", "empty_turn", "system_turn", "same_role", "trailing_user", "no_exchange", "too_long"):
        assert written.rules[rule] >= 1, rule
    assert written.rules["control_token"] == written.rules["exact_duplicate"] == 1
    assert sum(d.turns for d in written.dropped) == sum(step["turns_dropped"] for step in steps)


def test_every_segment_keeps_the_rules(run, small_tokenizer):
    rng = random.Random(1)
    records = [
        session(f"s{i:05}", talk(rng, rng.randrange(1, 30), 120), rng.choice(["human", "gpt"])) for i in range(80)
    ]
    for record in records:
        if record["conversations"][-1]["from"] == "human":
            record["conversations"].pop()
    written = run(records, max_tokens=600, near_duplicates=None)
    tokenizer = tokens.load(small_tokenizer)
    tokenizer.chat_template = scaffold.trained_template(tokenizer, "user")
    said = {r["id"]: [turn["value"].strip() for turn in r["conversations"]] for r in records}
    assert len(written.segments) > 300
    by_session = {}
    for segment in written.segments:
        roles = [turn.role for turn in segment.messages]
        assert roles[-1] == "assistant"
        assert all(a != b for a, b in itertools.pairwise(roles))
        assert len(template.encode(tokenizer, segment.messages).ids) <= 600
        by_session.setdefault(segment.parent_id, []).append(segment)
    assert sum(len(segments) > 1 for segments in by_session.values()) > 50
    for name, segments in by_session.items():
        own = [turn.content for segment in segments for turn in segment.messages[segment.context_turns :]]
        human = [turn.content for s in segments for turn in s.messages if turn.role == "user"]
        assert [text for text in said[name] if text in set(human)] == human
        assert len(own) >= len(human)
        for before, after in itertools.pairwise(segments):
            opening, previous = after.messages[0], before.messages[-1]
            assert opening.role == "assistant"
            assert after.context_turns == 1
            whole = said[name][said[name].index(human[0]) :] if human else []
            if after.meta.get("context_cut"):
                assert any(text.endswith(opening.content) for text in said[name])
            elif not before.meta.get("answer_cut"):
                assert opening.content == previous.content or opening.content in whole


def test_the_result_does_not_depend_on_the_number_of_workers(run, tmp_path, monkeypatch):
    monkeypatch.setattr("humanturn.formats.chunks.CHUNK", 20_000)
    monkeypatch.setattr("humanturn.formats.chunks.chunks.__kwdefaults__", {"size": 20_000})
    monkeypatch.setattr("humanturn.prepare.pool.SMALL", 0)
    records = corpus(300) + corpus(40)
    one, three = run(records, "one", workers=1), run(records, "three", workers=3)
    for name in ("train.jsonl", "heldout.jsonl", "dropped.jsonl", "funnel.json"):
        assert (one.out / name).read_bytes() == (three.out / name).read_bytes()


def test_the_heldout_side_stays_the_same_when_the_corpus_grows(run):
    small, large = run(corpus(100), "small", heldout=0.3), run(corpus(200), "large", heldout=0.3)
    held = {s.session_id for s in small.heldout}
    assert len(held) > 15
    assert held <= {s.session_id for s in large.heldout}
    assert not held & {s.session_id for s in large.train}


def test_pieces_and_users_stay_on_one_side(run):
    rng = random.Random(2)
    pieces = [session(f"QWJhY{i:02}_{start}", talk(rng, 3)) for i in range(40) for start in (0, 6, 12)]
    written = run(pieces, "pieces", heldout=0.5)
    assert not {s.session_id for s in written.train} & {s.session_id for s in written.heldout}
    chats = [
        {
            "conversation_hash": f"c{i}",
            "hashed_ip": f"user{i % 10}",
            "conversation": [
                {"role": r, "content": t} for r, t in zip(("user", "assistant") * 2, talk(rng, 2), strict=True)
            ],
        }
        for i in range(60)
    ]
    written = run(chats, "users", heldout=0.5)
    assert {s.meta["user"] for s in written.train}.isdisjoint(s.meta["user"] for s in written.heldout)
    assert written.heldout
    assert written.train


def test_a_smaller_sample_is_inside_a_larger_and_holds_the_strata_in_their_shares(run):
    records = corpus(400)
    sizes = {n: run(records, f"n{n}", sample=n, stratify=("rounds",)) for n in (50, 100, 200)}
    drawn = {n: {s.session_id for s in written.segments} for n, written in sizes.items()}
    assert drawn[50] < drawn[100] < drawn[200]
    assert [len(found) for found in drawn.values()] == [50, 100, 200]
    rounds = {r["id"]: len(r["conversations"]) // 2 for r in records}

    def share(names):
        counted = Counter(min(rounds[name], 3) for name in names)
        return {n: count / len(names) for n, count in counted.items()}

    whole = share(list(rounds))
    assert all(abs(share(drawn[50])[n] - part) < 0.05 for n, part in whole.items())


def test_the_longest_copy_is_kept(run):
    rng = random.Random(3)
    said = talk(rng, 5, 60)
    edited = [text.replace("tide", "TIDE") for text in said]
    near = [*said[:9], said[9] + " indeed"]
    written = run(
        [session("a", said[:4]), session("b", said), session("c", edited), session("d", near), *corpus(3)],
    )
    assert {s.session_id for s in written.segments} == {"d", "session000", "session001", "session002"}
    why = {d.id: (d.rule, d.reason) for d in written.dropped}
    assert why["c"][0] == "exact_duplicate"
    assert why["a"][0] == "prefix_duplicate"
    assert {why["a"][1].split()[-1], why["b"][1].split()[-1]} <= {"b", "d"}


def test_sessions_that_open_with_the_same_greeting_are_no_copies(run):
    rng = random.Random(5)
    greeted = [
        session(name, ["hi", "Hello! How can I assist you today?", *talk(rng, n)]) for name, n in (("a", 2), ("b", 4))
    ]
    assert {s.session_id for s in run([*greeted, *corpus(3)]).segments} >= {"a", "b"}


def test_later_pieces_of_a_session_have_their_context_and_open_no_session(run):
    """ShareGPT V3: ids end in the index of the piece's first turn; an answer may stand in two pieces."""
    said = talk(random.Random(6), 5)
    rounds = [(0, said[:4]), (3, said[3:6]), (6, said[6:])]
    roles = ("human", "gpt")
    pieces = [
        {
            "id": f"QWJhYvA_{at}",
            "conversations": [{"from": roles[(at + n) % 2], "value": text} for n, text in enumerate(texts)],
        }
        for at, texts in rounds
    ]
    written = run([*pieces, *corpus(1)], heldout=0.0, max_tokens=4096)
    mine = [s for s in written.segments if s.session_id == "QWJhYvA"]
    assert [[turn.content for turn in s.messages] for s in mine] == [said[:4], said[3:6], said[5:]]
    assert [s.context_turns for s in mine] == [0, 1, 1]
    assert [bool(s.meta.get("ends")) for s in mine] == [False, False, True]
    own = [text for s in mine for role in ("user", "assistant") for text in s.turns_of(role)]
    assert sorted(own) == sorted(said)
    assert not any("piece" in s.meta for s in written.segments)


def test_ids_that_end_in_a_number_are_not_all_pieces_of_one_session(run):
    written = run([session(f"identity_{n}", talk(random.Random(n), 2)) for n in range(20)], heldout=0.5)
    assert len({s.session_id for s in written.segments}) == 20
    assert written.heldout
    assert written.train


def test_ids_that_stand_twice_become_different(run):
    rng = random.Random(4)
    written = run([session("same", talk(rng, 2)) for _ in range(3)])
    assert sorted(s.id for s in written.segments) == ["same", "same~2", "same~3"]
    assert sorted(s.parent_id for s in written.segments) == ["same", "same~2", "same~3"]
    assert written.funnel["renamed_ids"] == 2


def test_benchmark_questions_are_kept_out_and_named(run, tmp_path):
    question = "If the moon were twice as far away, how high would the tide rise at the shore of this island?"
    bank = tmp_path / "question.jsonl"
    bank.write_text(json.dumps({"question_id": 81, "turns": [question, "Why?"]}) + "\n")
    asked = session("leaky", [f"Please tell me: {question.upper()}", "Half as high."])
    written = run([asked, *corpus(3)], guard=(str(bank),))
    (lost,) = [d for d in written.dropped if d.rule == "leak"]
    assert (lost.id, lost.reason) == ("leaky", "shares a long run of words with question.jsonl 81")


def test_scrubbed_things_are_counted(run):
    records = corpus(3)
    records[0]["conversations"][0]["value"] = "Write to jo@example.org or call +1 415-555-0132 about the tide."
    written = run(records, scrub=True)
    (turn,) = [t for s in written.segments for t in s.messages if "Write to" in t.content]
    assert turn.content == "Write to [EMAIL] or call [PHONE] about the tide."
    assert written.funnel["scrubbed"] == {"email": 1, "key": 0, "ip": 0, "card": 0, "phone": 1}


def test_human_turns_are_left_as_they_are(run):
    odd = "  <div>my *own* html</div>\r\n\r\n\tx\x00 == y &amp; z   "
    written = run([session("s", [odd, "the answer is that you are here with this"])], language=None)
    assert written.segments[0].messages[0].content == "<div>my *own* html</div>\n\n\tx == y &amp; z"


def test_bad_files_in_a_folder_cost_themselves_only(tmp_path, small_tokenizer):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.json").write_text(json.dumps(corpus(5)))
    (folder / "cut.json").write_text(
        json.dumps([session(f"cut{i}", talk(random.Random(i), 2)) for i in range(5)])[:-40]
    )
    (folder / "empty.json").write_text("")
    (folder / "image.json").write_bytes(b"\x89PNG\r\n\x1a\n\x00")
    (folder / "own.jsonl").write_text(
        json.dumps({"id": "own", "messages": [{"role": "user", "content": "what is the tide"},
                                              {"role": "assistant", "content": "you are with the sea"}]}) + "\n{oops\n"
    )  # fmt: skip
    settings = PrepareSettings(inputs=(str(folder),), tokenizer=f"hf:{small_tokenizer}", near_duplicates=None)
    written = Written(tmp_path / "out", prepare(settings, tmp_path / "out"))
    assert len({s.session_id for s in written.segments}) == 5 + 4 + 1
    reasons = sorted(d.reason.replace(str(folder) + "/", "") for d in written.dropped)
    assert [reason.split(":")[0] for reason in reasons] == [
        "cut.json, record 5",
        "empty.json",
        "image.json",
        "own.jsonl",
    ]
    assert reasons[3].startswith("own.jsonl:2: is no complete JSON")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", r"no session is left of 1 \(unreadable 1\).*is empty"),
        ("[1, 2]", r"no session is left of 2 \(unreadable 2\).*record 1: is a number, not an object"),
        (json.dumps([session("s", ["only a question"])]), r"no session is left of 1 \(no_exchange 1\)"),
    ],
)
def test_when_nothing_is_left_it_says_why(run, content, said):
    with pytest.raises(InputError, match=said):
        run(content)


def test_missing_inputs_and_tokenizers_are_named_before_any_work(tmp_path, small_tokenizer):
    with pytest.raises(InputError, match="none.json: no such file"):
        prepare(
            PrepareSettings(inputs=(str(tmp_path / "none.json"),), tokenizer=f"hf:{small_tokenizer}"), tmp_path / "o"
        )
    (tmp_path / "in.json").write_text(json.dumps(corpus(2)))
    with pytest.raises(InputError, match="no such model folder"):
        prepare(PrepareSettings(inputs=(str(tmp_path / "in.json"),), tokenizer="hf:/nowhere/x"), tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_finished_preparation_is_kept_and_a_changed_one_refused(run, tmp_path):
    records = corpus(20)
    first = run(records)
    assert not first.result.skipped
    assert run(records).result.skipped
    with pytest.raises(SettingsChangedError, match="max_tokens was 512 and is 600"):
        run(records, max_tokens=600)
    with pytest.raises(SettingsChangedError, match="contents of .* changed"):
        run(corpus(21))
    assert not (tmp_path / "out" / ".spool").exists()


def test_very_long_turns_and_very_many_turns_are_cut_down(run):
    long_answer = session("long", ["what is this that you are", "word " * 2_000_000])
    long_question = session("ask", ["word " * 2_000_000, "the tide is what you are with"])
    many = session("many", ["what is the tide", "you are that with this"] * 50_000)
    alike = {"id": "alike", "conversations": [{"from": "human", "value": "what is this"}] * 20_000}
    alike["conversations"].append({"from": "gpt", "value": "that is the tide you see"})
    written = run([long_answer, long_question, many, alike])
    assert {s.session_id for s in written.segments} == {"long", "many"}
    assert next(s for s in written.segments if s.session_id == "long").meta["answer_cut"]
    assert sum(s.session_id == "many" for s in written.segments) > 1000
    assert written.rules["too_long"] == 2


def test_real_sharegpt_gives_what_the_real_tokenizer_can_train_on(sharegpt_700, smollm2, tmp_path):
    settings = PrepareSettings(inputs=(str(sharegpt_700),), tokenizer=f"hf:{smollm2}", max_tokens=1024)
    written = Written(tmp_path / "out", prepare(settings, tmp_path / "out"))
    tokenizer = tokens.load(smollm2)
    tokenizer.chat_template = scaffold.trained_template(tokenizer, "user")
    assert len(written.segments) > 1000
    longest = max(len(template.encode(tokenizer, s.messages, name=s.id).ids) for s in written.segments)
    assert 1000 < longest <= 1024


def test_a_session_ends_where_its_human_left_and_not_where_a_piece_or_an_unanswered_turn_does(run):
    said = ["what is the tide", "you are that with this"]
    pieces = [
        session("abcdefg_0", ["how is the sea", "slow and long"]),
        session("abcdefg_2", ["why the moon", "night"]),
    ]
    last = session("hijklmn_0", ["how long is the day", "long as the night"])
    written = run(
        [session("whole", said), session("asking", ["what are you", "this and that", "and the moon"]), *pieces, last],
        heldout=0.0,
    )
    ends = {s.id: s.meta.get("ends", False) for s in written.segments}
    assert ends == {"whole": True, "asking": False, "abcdefg_0": False, "abcdefg_2": True, "hijklmn_0": False}


def test_settings_are_described():
    for name, field in PrepareSettings.model_fields.items():
        assert field.description or name == "seed", name
    assert msgspec.json.encode(PrepareSettings(inputs=("x",)).binding())
    assert Path(PrepareSettings(inputs=("x",)).inputs[0]) == Path("x")
