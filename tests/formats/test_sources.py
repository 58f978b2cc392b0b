import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from format_examples import EXAMPLES

FILES = {
    "data/train-00000.jsonl": "".join(json.dumps(EXAMPLES[name][0]) + "\n" for name in ("messages", "lmsys")).encode(),
    "README.md": b"# a data set",
    "big.bin": b"never asked for",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub():
    """A Hugging Face hub with one data set, `some/set`, as far as downloads need one."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self, status, body=b"", **headers):
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self):
            path = self.path.split("?")[0]
            asked.append(path)
            name = path.removeprefix(f"/datasets/some/set/resolve/{COMMIT}/")
            if path.startswith("/api/datasets/some/set/tree/"):
                tree = [{"type": "file", "path": n, "size": len(b), "oid": "0" * 40} for n, b in FILES.items()]
                self.answer(200, json.dumps(tree).encode(), Content_Type="application/json")
            elif path.startswith("/api/datasets/some/set"):
                info = {"id": "some/set", "sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]}
                self.answer(200, json.dumps(info).encode(), Content_Type="application/json")
            elif name in FILES:
                mark = hashlib.sha256(FILES[name]).hexdigest()
                self.answer(200, FILES[name], ETag=f'"{mark}"', X_Repo_Commit=COMMIT)
            else:
                self.answer(404, b"{}", X_Error_Code="RepoNotFound")

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


def read_from(hub, name, home):
    script = "import sys; from humanturn.formats import *; print(*(c.id for c in read_conversations(sys.argv[1])))"
    environment = os.environ | {"HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    return subprocess.run([sys.executable, "-c", script, name], capture_output=True, text=True, env=environment)


def test_data_sets_are_downloaded_from_the_hub_once_and_only_their_data(hub, tmp_path):
    address, asked = hub
    for _ in range(2):
        done = read_from(address, "hf:some/set", tmp_path)
        assert done.stdout.split() == ["m1", "l1"], done.stderr
    fetched = [path for path in asked if "/resolve/" in path]
    assert {path.rsplit("/", 1)[1] for path in fetched} == {"train-00000.jsonl"}


def test_a_data_set_that_is_not_there_is_named(hub, tmp_path):
    done = read_from(hub[0], "hf:no/such", tmp_path)
    assert done.returncode
    assert "hf:no/such: no such data set, or the hub cannot be reached" in done.stderr
