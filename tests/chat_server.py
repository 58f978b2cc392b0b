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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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


EVERY_FAULT = ("429", "500", "hung", "cut", "empty", "garbage", "over-long")
"""What may go wrong. Of these, `empty` and `over-long` are replies all the same: delivered whole, and paid."""

HUNG_S = 1.5
"""How long a server that hangs holds a request before it drops the connection."""


class ChatServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self,
        *,
        latency: float = 0.0,
        faults: float = 0.0,
        kinds: tuple[str, ...] = ("429", "500", "garbage", "cut", "empty"),
        words: int = 12,
        refused: str | None = None,
        say: Callable[[dict], str] | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.say = say
        """Makes the text of a request's body, in place of words drawn by its content."""
        self.latency, self.faults, self.kinds, self.words = latency, faults, kinds, words
        self.refused = refused
        """Whoever says this gets a 400."""
        self.paid: Counter[str] = Counter()
        """Replies delivered whole, by request. One that was cut off was not: nobody can use it."""
        self.tokens = 0
        """Of all replies delivered whole, prompts and completions."""
        self.faulted: Counter[str] = Counter()
        self.requests: list[dict] = []
        self.in_flight = self.most_in_flight = 0
        self.keys_seen: set[str] = set()
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.chance = random.Random(7)

    def handle_error(self, *_: object) -> None:
        """Clients that are killed hang up; that is no news."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def spec(self) -> str:
        return f"openai:m@{self.url}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ChatServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append(body)
            self.server.keys_seen.add(self.headers.get("Authorization") or "")
            self.server.in_flight += 1
            self.server.most_in_flight = max(self.server.most_in_flight, self.server.in_flight)
            fault = self._fault(body)
            self.server.faulted.update([fault] if fault else [])
        time.sleep(self.server.latency)
        with self.server.lock:
            self.server.in_flight -= 1
        if fault is None or fault in ("empty", "over-long"):
            self._speak(body, fault)
        elif fault == "hung":
            self.server.closing.wait(HUNG_S)
            self.close_connection = True
        elif fault == "garbage":
            self._send(200, {"choices": "none"})
        elif fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "5000")
            self.end_headers()
            self.wfile.write(b'{"choices": [')
            self.close_connection = True
        else:
            self._send(int(fault), {"error": {"message": "not now"}}, {"Retry-After": "0.01"})

    def _fault(self, body: dict) -> str | None:
        if self.server.refused and any(self.server.refused in m["content"] for m in body["messages"]):
            return "400"
        unlucky = self.server.chance.random() < self.server.faults
        return self.server.chance.choice(self.server.kinds) if unlucky else None

    def _speak(self, body: dict, fault: str | None) -> None:
        words = 2 * body["max_tokens"] if fault == "over-long" else self.server.words
        said = self.server.say(body) if self.server.say else speech(body["messages"], body["seed"], words)
        text = "" if fault == "empty" else said
        prompt, written = 7 + sum(len(m["content"].split()) for m in body["messages"]), len(text.split())
        with self.server.lock:
            self.server.paid[hashlib.sha256(json.dumps([body["messages"], body["seed"]]).encode()).hexdigest()] += 1
            self.server.tokens += prompt + written
        self._send(
            200,
            {
                "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": prompt, "completion_tokens": written},
            },
        )

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
def chat_server(**behaviour: Any) -> Iterator[ChatServer]:
    server = ChatServer(**behaviour)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
