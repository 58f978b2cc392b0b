import gzip
import json

import msgspec
import pytest
import zstandard

from format_examples import EXAMPLES, OASST_MESSAGES, TWO_ROUNDS
from humanturn.conversation import Conversation
from humanturn.errors import FormatError, InputError
from humanturn.formats import convert, read, read_conversations, write
from humanturn.records import Dropped


def turns(conversation):
    return tuple((turn.role, turn.content) for turn in conversation.messages)


def put(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_record_of_every_format_is_recognized_and_read(name, tmp_path):
    record, expected = EXAMPLES[name]
    (found,) = read(put(tmp_path / "data.jsonl", [record]))
    assert turns(found) == expected
    assert found.id


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("to", ["sharegpt", "messages", "parquet"])
def test_every_format_survives_a_round_trip_through_every_format_we_write(name, to, tmp_path):
    if to == "parquet":
        pytest.importorskip("pyarrow")
    source = put(tmp_path / "in.jsonl", [EXAMPLES[name][0]])
    out = tmp_path / ("out.parquet" if to == "parquet" else "out.json")
    before = list(read(source))
    assert convert([source], to, out) == (1, 0)
    (after,) = read_conversations(out)
    assert (after.id, turns(after)) == (before[0].id, turns(before[0]))
    if to != "sharegpt":
        assert (after.source, after.parent_id, after.meta) == (before[0].source, before[0].parent_id, before[0].meta)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "parts"])
def test_every_format_is_read_from_parquet(name, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    from pyarrow import Table

    record, expected = EXAMPLES[name]
    path = tmp_path / "data.parquet"
    parquet.write_table(Table.from_pylist([record] * 3), path, row_group_size=2)
    assert [turns(found) for found in read(path)] == [expected] * 3


def test_flat_oasst_messages_become_the_best_ranked_path_of_their_tree(tmp_path):
    second = [m | {"message_tree_id": "t2", "message_id": m["message_id"] + "x"} for m in OASST_MESSAGES]
    second = [m | {"parent_id": m["parent_id"] and m["parent_id"] + "x"} for m in second]
    path = put(tmp_path / "flat.jsonl", OASST_MESSAGES + second)
    assert [(found.id, turns(found)) for found in read(path)] == [("t1", TWO_ROUNDS), ("t2", TWO_ROUNDS)]


def many_trees(n):
    return [
        m | {key: m[key] and f"{m[key]}.{i}" for key in ("message_id", "parent_id", "message_tree_id")}
        for i in range(n)
        for m in OASST_MESSAGES
    ]


def test_flat_trees_are_not_torn_where_chunks_end(tmp_path, monkeypatch):
    monkeypatch.setattr("humanturn.formats.bytestream.READ", 1000)
    monkeypatch.setattr("humanturn.formats.chunks.chunks.__kwdefaults__", {"size": 3000})
    found = list(read(put(tmp_path / "flat.jsonl", many_trees(100))))
    assert [(f.id, turns(f)) for f in found] == [(f"t1.{i}", TWO_ROUNDS) for i in range(100)]


def test_flat_trees_in_parquet_are_not_torn_where_row_groups_end(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    from pyarrow import Table

    path = tmp_path / "flat.parquet"
    parquet.write_table(Table.from_pylist(many_trees(1500)), path, row_group_size=1000)
    assert [(f.id, turns(f)) for f in read(path)] == [(f"t1.{i}", TWO_ROUNDS) for i in range(1500)]


def test_all_paths_of_an_oasst_tree_share_their_session(tmp_path):
    path = put(tmp_path / "tree.jsonl", [EXAMPLES["oasst"][0]])
    found = list(read(path, oasst_paths="all"))
    assert [conversation.messages[-1].content for conversation in found] == [TWO_ROUNDS[3][1], "The worse answer."]
    assert {conversation.session_id for conversation in found} == {"t1"}
    assert len({conversation.id for conversation in found}) == 2


def test_flat_messages_of_a_tree_without_root_are_accounted_for(tmp_path):
    (lost,) = read(put(tmp_path / "flat.jsonl", OASST_MESSAGES[1:]))
    assert isinstance(lost, Dropped)
    assert lost.turns == 5


def test_one_file_may_mix_formats(tmp_path):
    path = put(tmp_path / "mixed.jsonl", [record for record, _ in EXAMPLES.values()])
    assert [turns(found) for found in read(path)] == [expected for _, expected in EXAMPLES.values()]


def test_compressed_files_read_like_plain_ones(tmp_path):
    text = "".join(json.dumps(EXAMPLES[name][0]) + "\n" for name in ("sharegpt", "messages")).encode()
    (tmp_path / "a.jsonl").write_bytes(text)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(text))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(text))
    plain, packed, zstd = (list(read(path)) for path in sorted(tmp_path.iterdir()))
    assert plain == packed == zstd
    assert len(plain) == 2


def test_a_damaged_archive_gives_what_came_before_the_damage(tmp_path):
    record = json.dumps(EXAMPLES["messages"][0]).encode() + b"\n"
    packed = gzip.compress(record * 20_000, mtime=0)
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    stream, found = read(path), []
    with pytest.raises(FormatError, match="compression is damaged"):
        for item in stream:
            found.append(item)  # noqa: PERF402 (what came before the error counts)
    assert sum(isinstance(item, Conversation) for item in found) > 1000


def test_pieces_of_a_sharegpt_session_share_their_session_id(tmp_path):
    record = EXAMPLES["sharegpt"][0]
    path = put(tmp_path / "v3.jsonl", [record | {"id": f"QWJhYvA_{start}"} for start in (0, 7)])
    assert [(found.id, found.session_id) for found in read(path)] == [
        ("QWJhYvA_0", "QWJhYvA"),
        ("QWJhYvA_7", "QWJhYvA"),
    ]


def test_our_own_files_keep_all_fields(tmp_path):
    (found,) = read(put(tmp_path / "data.jsonl", [EXAMPLES["wildchat"][0]]))
    own = msgspec.structs.replace(found, parent_id="p", meta={"context_turns": 1, "language": "en"})
    write(tmp_path / "own.jsonl", [own], "messages")
    assert list(read(tmp_path / "own.jsonl")) == [own]


def test_read_conversations_names_file_line_and_remedy(tmp_path):
    path = put(tmp_path / "data.jsonl", [EXAMPLES["messages"][0], {"id": "x", "words": 3}])
    with pytest.raises(FormatError, match=r"data\.jsonl:2: is in no known format.*mend or remove"):
        list(read_conversations(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "is empty"), (b" \n", "is empty"), (b"hello", "is no JSON"), (b"\x89PNG\r\n", "is no JSON")],
)
def test_a_file_that_holds_nothing_says_so(content, said, tmp_path):
    path = tmp_path / "data.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"data.json: {said}"):
        list(read_conversations(path))


def test_missing_inputs_say_what_may_be_given(tmp_path):
    for given in (tmp_path / "none.json", str(tmp_path / "*.json")):
        with pytest.raises(InputError, match=r"no such file|matches no file"):
            list(read_conversations(given))
    with pytest.raises(InputError, match="holds no data files"):
        list(read_conversations(tmp_path))


def test_folders_and_globs_are_read_in_the_order_of_names(tmp_path):
    for name in ("b.jsonl", "a.json", "sub/c.jsonl", ".hidden.jsonl", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        put(path, [EXAMPLES["messages"][0] | {"id": name}])
    assert [found.id for found in read_conversations(tmp_path)] == ["a.json", "b.jsonl", "sub/c.jsonl"]
    assert [found.id for found in read_conversations(str(tmp_path / "[ab].json*"))] == ["a.json", "b.jsonl"]
