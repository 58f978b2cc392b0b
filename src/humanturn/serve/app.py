"""The server: `/v1/chat/completions`, `/v1/models`, `/health`.

Everything that comes in is bounded before it is read (bytes, seconds, replies at work), every refusal has the
protocol's error body, and work stops when its client goes away.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from humanturn import run
from humanturn.conversation import Turn
from humanturn.errors import EndpointError, FormatError, HumanturnError
from humanturn.models.model import Sampling
from humanturn.models.streaming import stream
from humanturn.records import Reply
from humanturn.serve import protocol
from humanturn.serve.events import Events
from humanturn.serve.protocol import ChatRequest, Refused
from humanturn.serve.service import Limits, Service
from humanturn.serve.speaker import ContextFullError, fitted

T = TypeVar("T")
log = logging.getLogger("humanturn.serve")


def app(service: Service) -> Starlette:
    """`service` as an ASGI application."""

    async def models(request: Request) -> Response:
        service.admit(request)
        return _json({"object": "list", "data": [service.card()]})

    async def model(request: Request) -> Response:
        service.admit(request)
        service.check(request.path_params["name"])
        return _json(service.card())

    async def health(_: Request) -> Response:
        return _json({"status": "ok"})

    return Starlette(
        routes=[
            Route("/v1/chat/completions", ChatCompletions(service), methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", model),
            Route("/health", health),
        ],
        exception_handlers={Refused: _refused, HTTPException: _no_such_thing},  # type: ignore[dict-item]
    )


class ChatCompletions:
    """`POST /v1/chat/completions`, as an ASGI application."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whole or as events."""
        request, events = Request(scope, receive), Events(send)
        try:
            self.service.admit(request)
            asked = protocol.parse(await _body(request, self.service.limits))
            self.service.check(asked.model)
            turns = self.service.view(self.service.speaker, asked.turns())
            work = self._stream(asked, turns, events) if asked.stream else self._whole(asked, turns)
            response = await _unless_gone(request, work)
        except ClientDisconnect:
            return
        except Exception as error:
            refused = _as_refusal(error)
            if events.begun:
                await events.fail(refused.body)
                return
            response = await _refused(request, refused)
        if response is not None:
            await response(scope, receive, send)

    async def _whole(self, asked: ChatRequest, turns: Sequence[Turn]) -> Response:
        sampling, seeds = await self._drawing(asked, turns)
        model = self.service.speaker.model
        with self.service.slots(len(seeds)):
            replies = await _all(*(model.reply(turns, sampling=sampling, seed=seed) for seed in seeds))
        return _json(protocol.completion(self._head(), replies))

    async def _stream(self, asked: ChatRequest, turns: Sequence[Turn], events: Events) -> None:
        sampling, seeds = await self._drawing(asked, turns)
        head = self._head()
        wants_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        more = {"usage": None} if wants_usage else {}

        async def say(index: int, seed: int) -> Reply:
            whole, begun = None, False
            pieces = stream(self.service.speaker.model, turns, sampling=sampling, seed=seed)
            async with aclosing(pieces):
                async for piece in pieces:
                    if not begun:
                        begun = True
                        await events.say(protocol.chunk(head, index, {"role": "assistant", "content": ""}, **more))
                    if isinstance(piece, Reply):
                        whole = piece
                    else:
                        await events.say(protocol.chunk(head, index, {"content": piece}, **more))
            if whole is None:
                raise EndpointError(f"{self.service.name}: broke off", passing=True)
            await events.say(protocol.chunk(head, index, {}, whole.finish_reason, **more))
            return whole

        with self.service.slots(len(seeds)):
            replies = await _all(*(say(index, seed) for index, seed in enumerate(seeds)))
        if wants_usage:
            await events.say(protocol.usage_chunk(head, replies))
        await events.end()

    async def _drawing(self, asked: ChatRequest, turns: Sequence[Turn]) -> tuple[Sampling, list[int]]:
        """How to draw the replies, and the seed of each: the first is what the request would get without `n`."""
        wanted = asked.max_completion_tokens or asked.max_tokens
        usual = self.service.limits.max_tokens
        sampling = Sampling(
            temperature=1.0 if asked.temperature is None else asked.temperature,
            top_p=asked.top_p or 1.0,
            max_tokens=await fitted(self.service.speaker, turns, wanted=wanted, usual=usual),
            stop=asked.stops(),
            presence=asked.presence_penalty or 0.0,
        )
        seed = secrets.randbits(63) if asked.seed is None else asked.seed % 2**63
        return sampling, [seed, *(run.derived_seed(seed, index) for index in range(1, asked.n or 1))]

    def _head(self) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": self.service.name,
            "system_fingerprint": None,
        }


async def _body(request: Request, limits: Limits) -> bytes:
    """The body, unless it is too long or too slow.

    One that is too long is received to its end, without keeping it, so that its sender gets to hear why.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    kept = bytearray()
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for piece in request.stream():
                size += len(piece)
                if size <= limits.max_body:
                    kept += piece
                else:
                    kept.clear()
    except TimeoutError:
        raise Refused(408, f"the body took more than {limits.body_seconds:g} s", code="timeout") from None
    if size > limits.max_body:
        raise Refused(413, f"the body has more than {limits.max_body:,} bytes", code="request_too_large")
    if kind != "application/json":  # anything else a browser sends from any web page without asking
        raise Refused(415, "the content type must be application/json", code="unsupported_media_type")
    return bytes(kept)


async def _all(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Everything done at once; when one fails the others stop."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """What comes of `work`; None when its client hangs up, which stops it."""
    tasks = asyncio.create_task(work), asyncio.create_task(_hangs_up(request))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].result() if tasks[0].done() else None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _hangs_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _as_refusal(error: Exception) -> Refused:
    match error:
        case Refused():
            return error
        case ContextFullError():
            return Refused(400, str(error), code="context_length_exceeded", param="messages")
        case FormatError():
            return Refused(400, str(error), code="invalid_value", param="messages")
        case EndpointError(status=400 | 413 | 422):
            return Refused(400, str(error), code="refused_by_model")
        case EndpointError(passing=True):
            return Refused(503, str(error), code="unavailable", retry_after=int(error.retry_after or 1))
        case HumanturnError():
            return Refused(502, str(error), code="model_failed")
    log.error("a request failed", exc_info=error)
    return Refused(500, "the server failed; its log says why", code="internal_error")


async def _refused(request: Request, refused: Refused) -> Response:
    headers = {"Retry-After": str(refused.retry_after)} if refused.retry_after else {}
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if refused.status == 408:
        headers["Connection"] = "close"
    return Response(msgspec.json.encode(refused.body), refused.status, headers, "application/json")


async def _no_such_thing(request: Request, error: HTTPException) -> Response:
    said = f"{request.method} {request.url.path}: {error.detail}"
    response = await _refused(request, Refused(error.status_code, said, code="not_found"))
    response.headers.update(error.headers or {})
    return response


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
