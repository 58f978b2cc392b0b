"""Any server that speaks the OpenAI chat-completions protocol: OpenAI, vLLM, Ollama, OpenRouter."""

import contextlib
import email.utils
import os
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from humanturn.conversation import Turn
from humanturn.errors import EndpointError, ModelError
from humanturn.models import completion
from humanturn.models.model import Sampling
from humanturn.records import Reply

OFFICIAL = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"
TIMEOUT_S = 300.0
KEEP_IDLE_S = 4.0
"""Connections are given up sooner than uvicorn's 5 seconds, so that no request goes into one that just closes."""
CONNECT_S = 30.0
LARGEST_BODY = 32 << 20
"""A longer answer is no reply to anything we ask."""


class OpenAIModel:
    """A model behind `/chat/completions`. The key comes from the environment and is never stored or printed."""

    def __init__(self, model: str, url: str | None, *, key: str = KEY, timeout_s: float = TIMEOUT_S) -> None:
        """`key` is the environment variable that holds the key."""
        self.name = f"openai:{model}" + (f"@{url}" if url else "")
        self.model, self.key, self.timeout_s = model, key, timeout_s
        if (url is None or key != KEY) and not os.environ.get(key):
            raise ModelError(
                f"{self.name} needs a key in the environment: export {key}=..."
                + ("" if url else f", or name a server: openai:{model}@http://host:port/v1")
            )
        self._url = (url or OFFICIAL).rstrip("/") + "/chat/completions"
        self._session: aiohttp.ClientSession | None = None

    async def reply(self, messages: Sequence[Turn], *, sampling: Sampling, seed: int) -> Reply:
        """Ask the server for the next turn; it decides whose, by its chat template."""
        began = time.monotonic()
        async with self._answer(completion.request(self.model, messages, sampling, seed)) as response:
            body = await _body(response)
        return completion.whole(self.name, body, messages, sampling, began)

    async def stream(
        self, messages: Sequence[Turn], *, sampling: Sampling, seed: int
    ) -> AsyncGenerator[str | Reply, None]:
        """Pieces of text as they come, and last the whole `Reply`; the pieces joined and stripped are its text."""
        began = time.monotonic()
        said, finish, usage = [], None, None
        asked = completion.request(self.model, messages, sampling, seed)
        async with self._answer(asked | {"stream": True, "stream_options": {"include_usage": True}}) as response:
            if response.content_type != "text/event-stream":  # a server that does not stream
                reply = completion.whole(self.name, await _body(response), messages, sampling, began)
                yield reply.text
                yield reply
                return
            async for event in _events(response):
                chunk = completion.chunk(self.name, event)
                usage = chunk.usage or usage
                for part in chunk.choices[:1]:
                    finish = part.finish_reason or finish
                    if part.delta.content:
                        said.append(part.delta.content)
                        yield part.delta.content
        if finish is None:
            raise EndpointError(f"{self.name}: the stream broke off", passing=True, perhaps_paid=True)
        yield completion.reply(self.name, "".join(said), finish, usage, messages, sampling, began)

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def _answer(self, asked: Mapping[str, Any]) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """The answer of a server that took the request, to be read in the block; every failure in our words."""
        try:
            async with self._connected().post(self._url, data=msgspec.json.encode(asked)) as response:
                if response.status >= 400:
                    raise _refusal(self.name, response, await _body(response))
                yield response
        except aiohttp.ClientConnectorError as error:
            said = f"{self.name}: nothing answers there ({error}); is the server running?"
            raise EndpointError(said, passing=True) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            connected = not isinstance(error, aiohttp.ConnectionTimeoutError)
            said = f"{self.name}: {type(error).__name__} {error}".rstrip()
            raise EndpointError(said, passing=True, perhaps_paid=connected) from None

    def _connected(self) -> aiohttp.ClientSession:
        """The session, made within the running loop that it belongs to."""
        if self._session is None:
            _allow_many_files()
            key = os.environ.get(self.key)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_IDLE_S),
                timeout=aiohttp.ClientTimeout(total=self.timeout_s, connect=min(CONNECT_S, self.timeout_s)),
                headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {}),
                trust_env=bool(urllib.request.getproxies()),  # looked up once: aiohttp would at every request
            )
        return self._session


def _allow_many_files() -> None:
    """Each request in flight holds a connection, and the usual soft limit is 1,024 files."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS promises more than it gives
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _body(response: aiohttp.ClientResponse) -> bytes:
    if response.content_length is not None and response.content_length <= LARGEST_BODY:
        return await response.read()
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > LARGEST_BODY:
            raise _too_long(response)
    return bytes(body)


async def _events(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    """What stands behind `data:` in each event of a stream, up to `[DONE]`."""
    size, rest = 0, b""
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > LARGEST_BODY:
            raise _too_long(response)
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line.strip() == b"data: [DONE]":
                return
            if line.startswith(b"data:"):
                yield line[5:]


def _too_long(response: aiohttp.ClientResponse) -> aiohttp.ClientPayloadError:
    response.close()
    return aiohttp.ClientPayloadError(f"sends more than {LARGEST_BODY >> 20} MB")


def _refusal(name: str, response: aiohttp.ClientResponse, body: bytes) -> EndpointError:
    """The server's own words, shortened, and whether asking again may help."""
    said = " ".join(body[:300].decode(errors="replace").split())
    return EndpointError(
        f"{name}: HTTP {response.status} {response.reason}: {said}",
        retry_after=_seconds(response.headers.get("retry-after", "")),
        passing=response.status in (408, 409, 425, 429) or response.status >= 500,
        status=response.status,
    )


def _seconds(after: str) -> float | None:
    """A Retry-After header: seconds, or a date."""
    if after.replace(".", "", 1).isdigit():
        return float(after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(after).timestamp() - time.time())
    except ValueError:
        return None
