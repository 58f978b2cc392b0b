"""Real servers for tests: `humanturn serve` as a process of its own, and a service in a thread of this one."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import uvicorn

from humanturn.records import Reply
from humanturn.serve.app import app
from humanturn.serve.service import Service
from humanturn.serve.speaker import Speaker
from humanturn.serve.stage import _bound

EGGS = [
    ("user", "How do I boil an egg?"),
    ("assistant", "Six minutes."),
    ("user", "And a soft one?"),
    ("assistant", "Four.\nUse a \x1b[31mtimer."),
]


def messages(*turns):
    return [{"role": role, "content": content} for role, content in turns]


def write_script(path):
    path.write_text(json.dumps({"id": "eggs", "messages": messages(*EGGS)}) + "\n")
    return f"scripted:{path}"


@contextmanager
def served(spec, *options, **environment):
    """Base URL of `humanturn serve`, run by the real command line; the process is `served.process`."""
    command = [sys.executable, "-m", "humanturn", "serve", spec, "--port", "0", *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
    )
    try:
        url = process.stdout.readline().split()[-1]
        yield url
        assert process.poll() is None, "the server died"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert process.stdout.read().endswith("stopped\n")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def hosted(model, *, plays=None, **behaviour):
    """Root URL of a real server in this process around `model`, which the test can look into."""
    service = Service(Speaker("m", model, plays=plays), name="m", **behaviour)
    socket = _bound("127.0.0.1", 0)
    server = uvicorn.Server(
        uvicorn.Config(app(service), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()
        assert service.free == service.limits.concurrency, "a place was never given back"


def wait_until(true, seconds=20):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Talker:
    """Says its pieces, waiting for `go_on` before the second; remembers what it was asked and what was called off."""

    name = "talker"

    def __init__(self, *pieces, error=None):
        self.pieces, self.error = pieces, error
        self.asked, self.called_off = [], 0
        self.go_on = threading.Event()
        self.go_on.set()

    async def reply(self, messages, *, sampling, seed):
        async for piece in self.stream(messages, sampling=sampling, seed=seed):
            whole = piece
        return whole

    async def stream(self, messages, *, sampling, seed):
        import asyncio

        self.asked.append((list(messages), sampling, seed))
        finished = False
        try:
            for number, piece in enumerate(self.pieces):
                while number and not self.go_on.is_set():
                    await asyncio.sleep(0.005)
                yield piece
            if self.error:
                raise self.error
            finished = True
            yield Reply("".join(self.pieces).strip(), "talker", 3, len(self.pieces), "stop")
        finally:
            self.called_off += not finished and not self.error

    async def close(self):
        pass
