import gzip

import pytest
import zstandard

from humanturn import formats, jsonl
from humanturn.conversation import Conversation, Turn
from humanturn.errors import FormatError, HumanturnError, InputError

TALK = Conversation(id="a", messages=(Turn("user", "hi"), Turn("assistant", "hello")))


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_what_is_written_is_read_back_compressed_or_not(tmp_path, suffix):
    path = tmp_path / "talk.jsonl"
    assert jsonl.write(path, [TALK, TALK]) == 2
    packed = path.with_name(path.name + suffix)
    if suffix == ".gz":
        packed.write_bytes(gzip.compress(path.read_bytes()))
    if suffix == ".zst":
        packed.write_bytes(zstandard.compress(path.read_bytes()))
    assert list(jsonl.read(packed, Conversation)) == [TALK, TALK]


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("cut", [0.5, 0.99])
def test_a_compressed_file_that_is_cut_off_is_no_whole_one(tmp_path, compress, cut):
    lines = [jsonl_line(n) for n in range(20_000)]
    packed = compress(b"".join(lines))
    path = tmp_path / ("talk.jsonl.gz" if compress is gzip.compress else "talk.jsonl.zst")
    path.write_bytes(packed + packed)
    assert len(list(jsonl.read(path, Conversation))) == 2 * len(lines)
    path.write_bytes(packed[: int(len(packed) * cut)])
    with pytest.raises(FormatError, match="its compression is damaged"):
        list(jsonl.read(path, Conversation))
    with pytest.raises(FormatError, match="its compression is damaged"):
        list(formats.read(path))


def jsonl_line(number):
    return f'{{"id": "t{number * 7919 % 10007}", "messages": [{{"role": "user", "content": "{number}"}}]}}\n'.encode()


def test_a_bad_line_is_named_by_file_and_number(tmp_path):
    path = tmp_path / "talk.jsonl"
    path.write_text('{"id": "a", "messages": []}\n\n{"id": 7, "messages": []}\n')
    with pytest.raises(FormatError, match=r"talk\.jsonl:3: Expected `str`, got `int`"):
        list(jsonl.read(path, Conversation))


@pytest.mark.parametrize("what", ["missing.jsonl", "."])
def test_a_missing_file_or_a_directory_is_one_clear_sentence(tmp_path, what):
    with pytest.raises(InputError, match="no such file|is a directory"):
        list(jsonl.read(tmp_path / what, Conversation))


def test_a_write_that_fails_halfway_leaves_what_was_there(tmp_path):
    path = tmp_path / "talk.jsonl"
    jsonl.write(path, [TALK])

    def torn():
        yield TALK
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        jsonl.write(path, torn())
    assert list(jsonl.read(path, Conversation)) == [TALK]
    assert [p.name for p in tmp_path.iterdir()] == ["talk.jsonl"]


def test_no_disk_space_is_said_with_what_is_free(tmp_path):
    said = pytest.raises(HumanturnError, match="cannot write .*No space left on device.* MB are free")
    with said, jsonl.replacing(tmp_path / "x") as file:
        with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
            full.write(b"x")
        file.write(b"never")


def test_a_torn_last_line_is_cut_and_nothing_else(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"st')
    assert jsonl.repair(path) == 4
    assert [line["step"] for line in jsonl.read(path, dict)] == [1, 2]
    assert jsonl.repair(path) == 0
