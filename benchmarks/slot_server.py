"""A chat-completions server of so many slots and known delays, as light as Python allows; it logs its slots' load.

python benchmarks/slot_server.py --slots 64      prints its port

GET /log gives [[time, busy slots], ...]; GET /reset forgets it.
"""

import argparse
import asyncio
import json
import random
import time
from collections import deque

WORDS = ("bread", "river", "taxes", "chess", "garden", "violin", "map", "glacier", "tea", "bicycle", "poem", "bridge")
LENGTH = {"user": (8, 40), "assistant": (40, 120)}
DELAY_S = (0.150, 0.400)


class Slots:
    def __init__(self, most):
        self.most, self.busy = most, 0
        self.waiting = deque()
        self.log = []
        self.served = 0

    def enter(self, start):
        if self.busy < self.most:
            self.change(1)
            start()
        else:
            self.waiting.append(start)

    def leave(self):
        self.served += 1
        if self.waiting:
            self.waiting.popleft()()
        else:
            self.change(-1)

    def change(self, by):
        self.busy += by
        self.log.append((time.time(), self.busy))


class Connection(asyncio.Protocol):
    slots: Slots

    def connection_made(self, transport):
        self.transport, self.data = transport, b""

    def data_received(self, data):
        self.data += data
        head, found, rest = self.data.partition(b"\r\n\r\n")
        if not found:
            return
        if head.startswith(b"GET"):
            if b"/reset" in head:
                self.slots.log.clear()
            self.data = b""
            self.send(json.dumps(self.slots.log).encode())
            return
        at = head.lower().index(b"content-length:") + 15
        if len(rest) < int(head[at:].split(b"\r\n", 1)[0]):
            return
        body, self.data = rest, b""
        self.slots.enter(lambda: self.start(body))

    def start(self, body):
        draw = random.Random(body)
        side = "user" if b'"model":"user"' in body or b'"model": "user"' in body else "assistant"
        text = " ".join(draw.choices(WORDS, k=draw.randint(*LENGTH[side])))
        asyncio.get_running_loop().call_later(draw.uniform(*DELAY_S), self.finish, text, len(body) // 4)

    def finish(self, text, prompt_tokens):
        self.slots.leave()
        usage = b'"usage":{"prompt_tokens":%d,"completion_tokens":%d}' % (prompt_tokens, text.count(" ") + 1)
        message = b'{"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}' % text.encode()
        self.send(b'{"choices":[%s],%s}' % (message, usage))

    def send(self, body):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        if not self.transport.is_closing():
            self.transport.write(head + body)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--slots", type=int, default=64)
    Connection.slots = Slots(parser.parse_args().slots)
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
