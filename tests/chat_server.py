"""A real HTTP server on loopback that speaks the chat-completions protocol, with latency and faults on demand.

Its replies are a function of the request alone (messages and seed), so that runs can be compared; it counts every reply
it was paid for, by request.
"""

import hashlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOPICS = [
    "bread",
    "rivers",
    "taxes",
    "chess",
    "gardens",
    "Python",
    "violins",
    "maps",
    "glaciers",
    "tea",
    "bicycles",
    "poems",
    "bridges",
    "owls",
]


class ChatServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, *, latency: float = 0.0, faults: float = 0.0, words: int = 12) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.latency, self.faults, self.words = latency, faults, words
        self.paid: Counter[str] = Counter()
        self.requests: list[dict] = []
        self.keys_seen: set[str] = set()
        self.lock = threading.Lock()
        self.chance = random.Random(7)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = hashlib.sha256(json.dumps([body["messages"], body["seed"]]).encode()).hexdigest()
        with self.server.lock:
            self.server.requests.append(body)
            self.server.keys_seen.add(self.headers.get("Authorization") or "")
            fault = self.server.chance.choice(["429", "500", "garbage", "cut", "empty"]) if self._unlucky() else None
        time.sleep(self.server.latency)
        if fault in ("429", "500"):
            self._send(int(fault), {"error": {"message": "not now"}}, {"Retry-After": "0.01"})
        elif fault == "garbage":
            self._send(200, {"choices": "none"})
        elif fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "5000")
            self.end_headers()
            self.wfile.write(b'{"choices": [')
            self.close_connection = True
        else:
            text = "" if fault == "empty" else speech(body["messages"], body["seed"], self.server.words)
            with self.server.lock:
                self.server.paid[key] += 1
            self._send(
                200,
                {
                    "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 10, "completion_tokens": len(text.split())},
                },
            )

    def _unlucky(self) -> bool:
        return self.server.chance.random() < self.server.faults

    def _send(self, status: int, value: dict, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, header in (headers or {}).items():
            self.send_header(name, header)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def speech(messages: list[dict], seed: int, words: int) -> str:
    """What the server says: words drawn by the request's own content."""
    draw = random.Random(json.dumps([messages, seed]))
    return "Tell me about " + " ".join(draw.choice(TOPICS) for _ in range(words))


@contextmanager
def chat_server(**behaviour: float) -> Iterator[ChatServer]:
    server = ChatServer(**behaviour)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
