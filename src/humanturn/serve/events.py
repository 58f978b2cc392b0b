"""Server-sent events: a streamed answer, chunk by chunk."""

import asyncio
from typing import Any

import msgspec
from starlette.types import Send

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class Events:
    """Writes chunks as they come; the response begins with the first, so that what fails before has its own status."""

    def __init__(self, send: Send) -> None:
        self.begun = False
        self._send, self._turn = send, asyncio.Lock()

    async def say(self, value: dict[str, Any]) -> None:
        """Send one chunk; waits while the client is slow to read."""
        async with self._turn:  # choices speak at the same time, and nobody may speak before the head is out
            if not self.begun:
                self.begun = True
                await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await self._write(msgspec.json.encode(value))

    async def end(self) -> None:
        """Say that everything was said."""
        await self._write(b"[DONE]")
        await self._send({"type": "http.response.body", "body": b""})

    async def fail(self, body: dict[str, Any]) -> None:
        """Say what went wrong in the middle; clients raise it."""
        await self._write(msgspec.json.encode(body))
        await self._send({"type": "http.response.body", "body": b""})

    async def _write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": b"data: " + data + b"\n\n", "more_body": True})
