import json
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from format_examples import EXAMPLES, OASST_MESSAGES
from humanturn.conversation import Conversation
from humanturn.errors import FormatError
from humanturn.formats import chunks as chunking
from humanturn.formats import decode, detect, read
from humanturn.formats.chunks import Chunk
from humanturn.records import Dropped

RECORD = EXAMPLES["sharegpt"][0]


def numbered(n, text="x"):
    return [
        RECORD | {"id": f"session{i}", "conversations": [{"from": "human", "value": f"{text}{i}"}]} for i in range(n)
    ]


def ids(path):
    return [item.id if isinstance(item, Conversation) else item for item in read(path)]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("tricky", ["", '},{"id": "', '"},{"id":', '\\"}, {\\"id\\": \\"', "[{]}", "\\"])
def test_chunks_of_any_size_give_the_same_records(indent, tricky, tmp_path, monkeypatch):
    path = tmp_path / "data.json"
    path.write_text(json.dumps(numbered(300, tricky), indent=indent))
    monkeypatch.setattr("humanturn.formats.bytestream.READ", 1000)
    for size in (500, 5000, 1 << 20):
        found = [record["id"] for chunk in chunking.chunks(path, size=size) for _, record in decode.records(chunk)]
        assert found == [f"session{i}" for i in range(300)]


def test_records_are_numbered_through_the_whole_file(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps([*numbered(50), {"id": "bad", "conversations": 3}, *numbered(2)]))
    (bad,) = [item for item in ids(path) if isinstance(item, Dropped)]
    assert bad.reason == f"{path}, record 51: its 'conversations' is a number, not a list"
    for size in (200, 3000):
        first = [(chunk.first, len(list(decode.records(chunk)))) for chunk in chunking.chunks(path, size=size)]
        assert all(at + count == following for (at, count), (following, _) in pairwise(first))


def test_a_file_cut_off_anywhere_keeps_all_its_complete_records(tmp_path):
    text = json.dumps(numbered(20), indent=1)
    path = tmp_path / "cut.json"
    rng = random.Random(0)
    for stop in (rng.randrange(60, len(text)) for _ in range(60)):
        path.write_text(text[:stop])
        found = ids(path)
        whole = [item for item in found if isinstance(item, str)]
        assert whole == [f"session{i}" for i in range(len(whole))]
        assert len(whole) == text[:stop].count("\n }")
        assert len(found) - len(whole) <= 1


def test_a_record_damaged_in_the_middle_costs_itself_only(tmp_path):
    text = json.dumps(numbered(9))
    for wrong in ('"value": "x4', '"value": "x4" "', '"value" "x4"', '"value": x4"'):
        path = tmp_path / "data.json"
        path.write_text(text.replace('"value": "x4"', wrong))
        found = ids(path)
        assert [item for item in found if isinstance(item, str)] == [f"session{i}" for i in range(9) if i != 4], wrong
        assert [item.rule for item in found if isinstance(item, Dropped)] == ["unreadable"]


def test_jsonl_errors_name_the_line(tmp_path):
    lines = [json.dumps(record) for record in numbered(3)]
    path = tmp_path / "data.jsonl"
    path.write_text(f"{lines[0]}\n\n{lines[1][:30]}\n{lines[2]}\n[1]\nnull\n")
    found = ids(path)
    assert [item for item in found if isinstance(item, str)] == ["session0", "session2"]
    assert [item.reason.split(":")[1] for item in found if isinstance(item, Dropped)] == ["3", "5", "6"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_read(encoding, tmp_path):
    path = tmp_path / "data.json"
    path.write_bytes(json.dumps(numbered(3, "größe 大"), ensure_ascii=False).encode(encoding))
    (first, *_) = read(path)
    assert first.messages[0].content == "größe 大0"


def test_zeros_control_characters_and_halves_of_surrogate_pairs_do_not_cost_the_record(tmp_path):
    text = json.dumps(numbered(4))
    text = text.replace("x0", "a\x00b").replace("x1", "tab\there").replace("x2", "half \\ud83d end")
    path = tmp_path / "data.json"
    path.write_bytes(text.encode() + b"\n")
    found = [item.messages[0].content for item in read(path)]
    assert found == ["a\x00b", "tab\there", "half \ufffd end", "x3"]


def test_bytes_that_are_no_utf8_are_replaced(tmp_path):
    path = tmp_path / "data.json"
    path.write_bytes(json.dumps(numbered(2)).encode().replace(b"x0", b"caf\xe9"))
    assert [item.messages[0].content for item in read(path)] == ["caf\ufffd", "x1"]


def test_a_document_over_many_lines_is_one_record(tmp_path):
    path = tmp_path / "one.json"
    path.write_text(json.dumps(RECORD, indent=2))
    assert ids(path) == ["QWJhYvA_0"]
    path.write_text(json.dumps(RECORD, indent=2) + "\n" + json.dumps(RECORD, indent=2))
    assert ids(path) == ["QWJhYvA_0"] * 2


def test_values_that_are_no_objects_are_reported_one_by_one(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps([1, "x", None, [], RECORD, True]))
    found = ids(path)
    assert found[4] == "QWJhYvA_0"
    assert sum(isinstance(item, Dropped) for item in found) == 5


def test_a_very_deep_record_is_reported(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"a":' * 30_000 + "1" + "}" * 30_000 + "\n" + json.dumps(RECORD) + "\n")
    deep, whole = ids(path)
    assert "nested too deeply" in deep.reason
    assert whole == "QWJhYvA_0"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    record = json.dumps({"id": "s", "conversations": [{"from": "human", "value": "lorem ipsum " * 2000}] * 4})
    with (tmp_path / "big.json").open("w") as file:
        file.write("[" + ",\n".join([record] * 1600) + "]")
    script = (
        "import sys; from pathlib import Path; from humanturn.formats import read;"
        "n = sum(1 for _ in read(Path(sys.argv[1])));"
        "print(n, Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    said = subprocess.run([sys.executable, "-c", script, str(tmp_path / "big.json")], capture_output=True, check=True)
    count, kilobytes = map(int, said.stdout.split())
    assert count == 1600
    assert (tmp_path / "big.json").stat().st_size > 140 << 20
    assert kilobytes < 110 << 10


ODD = (None, True, 0, -1.5, 10**30, "", "x", "\x00", "\ud83d", [], [[]], [None], {}, {"a": 1}, {"role": "user"})


def mangled(rng, value):
    """The value with one thing in it replaced, removed, doubled or cut."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(sorted(value))
        action = rng.randrange(5)
        if action == 0:
            return {k: v for k, v in value.items() if k != key}
        return value | {key: rng.choice(ODD) if action == 1 else mangled(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        at = rng.randrange(len(value))
        return [*value[:at], mangled(rng, value[at]), *value[at + rng.randrange(2) :]]
    if isinstance(value, str) and rng.random() < 0.6:
        at = rng.randrange(len(value) + 1)
        return value[:at] + rng.choice(["", "\n\nHuman:", "[|AI|]", "\x00", "\ud83d"]) + value[at + rng.randrange(6) :]
    return rng.choice(ODD)


def test_each_of_10_000_mangled_records_is_kept_or_accounted_for():
    rng, kept = random.Random(0), 0
    examples = [record for record, _ in EXAMPLES.values()] + OASST_MESSAGES
    for number in range(10_000):
        record = mangled(rng, rng.choice(examples))
        found = list(detect.conversations([(number, record)], place="f:", stem="f"))
        assert found, record
        for item in found:
            if isinstance(item, Conversation):
                kept += 1
                assert item.id, record
                assert all(isinstance(turn.content, str) for turn in item.messages), record
            else:
                assert item.reason.startswith(f"f:{number}"), record
    assert 2000 < kept < 9000


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.data())
def test_every_mangled_file_is_read_to_its_end(tmp_path_factory, data):
    text = json.dumps(numbered(6)).encode()
    at, gone = data.draw(st.integers(2, len(text))), data.draw(st.integers(0, 9))
    path = tmp_path_factory.getbasetemp() / "mangled.json"
    path.write_bytes(text[:at] + data.draw(st.binary(max_size=6)) + text[at + gone :])
    try:
        found = list(read(path))
    except FormatError as error:
        assert str(path) in str(error)
    else:
        assert sum(isinstance(item, Conversation) for item in found) >= 2


def test_a_chunk_is_cheap_to_hand_to_another_process():
    import pickle

    chunk = Chunk("f", 1, b"[" + b"1," * 1000 + b"1]")
    assert len(pickle.dumps(chunk, protocol=5)) < len(chunk.data) + 300
