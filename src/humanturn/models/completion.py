"""The OpenAI chat-completions protocol: what is asked, and what servers of many makes say to it."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from humanturn.conversation import Turn
from humanturn.errors import EndpointError
from humanturn.models.model import Sampling
from humanturn.models.spending import most_tokens
from humanturn.records import Reply


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Completion).decode


class _Part(msgspec.Struct):
    delta: _Message = msgspec.field(default_factory=_Message)
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Part] = []
    usage: _Usage | None = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode

CUT = {"length", "max_tokens", "model_length", "content_filter"}
"""Reasons to finish that leave a turn without its end."""
BROKEN_OFF = {"error", "abort"}
"""Reasons that are failures."""


def request(model: str, messages: Sequence[Turn], sampling: Sampling, seed: int) -> dict[str, Any]:
    """The body of a request."""
    asked = {
        "model": model,
        "messages": messages,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": seed % 2**31,
    }
    if sampling.stop:
        asked["stop"] = sampling.stop
    if sampling.presence:
        asked["presence_penalty"] = sampling.presence
    return asked


def whole(name: str, body: bytes, messages: Sequence[Turn], sampling: Sampling, began: float) -> Reply:
    """The reply in the body of an answer."""
    try:
        answer = _decode(body)
        choice = answer.choices[0]
    except (msgspec.MsgspecError, UnicodeDecodeError, IndexError) as error:
        raise _no_completion(name, error) from None
    return reply(name, choice.message.content or "", choice.finish_reason, answer.usage, messages, sampling, began)


def chunk(name: str, event: bytes) -> _Chunk:
    """One event of a stream."""
    try:
        found = _decode_chunk(event)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _no_completion(name, error) from None
    if found.error is not None:
        said = " ".join(str(found.error)[:300].split())
        raise EndpointError(f"{name}: failed while it wrote: {said}", passing=True, perhaps_paid=True)
    return found


def _no_completion(name: str, error: Exception) -> EndpointError:
    said = f"{name}: answered something that is no chat completion ({error!r})"
    return EndpointError(said, passing=True, perhaps_paid=True)


def reply(
    name: str,
    text: str,
    finish: str | None,
    usage: _Usage | None,
    messages: Sequence[Turn],
    sampling: Sampling,
    began: float,
) -> Reply:
    """What the server said, counted.

    A server that writes more than it was asked for has not ended its turn, whatever it says. One that does not tell its
    usage is counted at the most it can have been, so that caps hold.

    Raises:
        EndpointError: it broke off.
    """
    if finish in BROKEN_OFF:
        raise EndpointError(f"{name}: broke off while it wrote ({finish})", passing=True, perhaps_paid=True)
    text, usage = text.strip(), usage or _Usage()
    written = len(text.encode()) if usage.completion_tokens is None else usage.completion_tokens
    cut = finish in CUT or (usage.completion_tokens or 0) > sampling.max_tokens
    return Reply(
        text=text,
        model=name,
        prompt_tokens=most_tokens(messages) if usage.prompt_tokens is None else usage.prompt_tokens,
        completion_tokens=written,
        finish_reason="length" if cut else "stop",
        seconds=round(time.monotonic() - began, 3),
    )
