"""A real HTTP server on loopback that answers and judges: what it says is a function that a test gives."""

import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Say = Callable[[dict], str | int]
"""Text of the reply to a request's body, or the HTTP status it is refused with."""


class JudgeServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, say: Say, latency: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.say, self.latency = say, latency
        self.asked: Counter[str] = Counter()
        self.bodies: list[dict] = []
        self.lock = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that was killed is what tests do
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: JudgeServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.asked[json.dumps([body["model"], body["messages"], body["seed"]])] += 1
            said = self.server.say(body)
        time.sleep(self.server.latency)
        if isinstance(said, int):
            return self._send(said, {"error": {"message": "no"}})
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        reason = "length" if said.endswith("cut") else "stop"
        choice = {"message": {"role": "assistant", "content": said}, "finish_reason": reason}
        return self._send(200, {"choices": [choice], "usage": usage})

    def _send(self, status: int, value: dict) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def judge_server(say: Say, latency: float = 0.0) -> Iterator[JudgeServer]:
    server = JudgeServer(say, latency)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answers(body: dict) -> str:
    """A model `long` says much, any other little; its answers differ from question to question."""
    asked = body["messages"][-1]["content"]
    return f"About {asked[:30]!r}: " + "word " * (40 if body["model"] == "long" else 3)


def always_first(body: dict) -> str:
    """A model answers; the judge prefers whatever stands first."""
    return "The first is better. [[A]]" if body["model"] == "judge" else answers(body)


def prefers_length(body: dict) -> str:
    """A model answers; the judge compares, or grades, by length."""
    if body["model"] != "judge":
        return answers(body)
    shown = body["messages"][1]["content"]
    if "assistant B" in shown:
        first, second = shown.split("=== End of A ===")
        return "[[A]]" if first.count("word") > second.count("word") else "[[B]]"
    return f"Rating: [[{min(10, 1 + len(re.findall('word', shown)) // 10)}]]"
