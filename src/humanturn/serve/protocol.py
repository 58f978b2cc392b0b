"""The chat-completions protocol: what a client may ask, and how it is answered or refused."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from humanturn.conversation import Role, Turn
from humanturn.records import Reply

MOST_CHOICES = 64
MOST_STOPS = 16

Stop = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
Tokens = Annotated[int, msgspec.Meta(ge=1, le=2**31)]

OFF: dict[str, tuple[Any, ...]] = {
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "top_k": (0, -1),
    "min_p": (0,),
    "modalities": (["text"],),
    "chat_template": (),
    "continue_final_message": (False,),
    "add_generation_prompt": (True,),
}
"""What we cannot do, with the values that ask for nothing; any other is refused rather than passed over in silence."""


class Refused(Exception):
    """A request that gets an error body; `status` is its HTTP status."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None, retry_after: int = 0
    ) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(status, "invalid_request_error")
        self.body = {
            "error": {
                "message": message,
                "type": kind if status < 500 else "server_error",
                "param": param,
                "code": code,
            }
        }


class Part(msgspec.Struct, frozen=True):
    """A piece of a message's content; only text can be read."""

    type: Literal["text"]
    text: str


class Message(msgspec.Struct, frozen=True):
    """One message as a client sends it."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]

    def turn(self) -> Turn:
        """The message as one of our turns."""
        role: Role = "system" if self.role == "developer" else self.role
        content = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Turn(role, content)


class StreamOptions(msgspec.Struct, frozen=True):
    """How to stream."""

    include_usage: bool | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """The body of a request, with the defaults of the protocol."""

    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    presence_penalty: Annotated[float, msgspec.Meta(ge=-2, le=2)] | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=MOST_CHOICES)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: Stop | Annotated[list[Stop], msgspec.Meta(max_length=MOST_STOPS)] | None = None

    def turns(self) -> list[Turn]:
        """The conversation so far."""
        return [message.turn() for message in self.messages]

    def stops(self) -> tuple[str, ...]:
        """Texts that end the reply."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


def parse(body: bytes) -> ChatRequest:
    """Read a request.

    Raises:
        Refused: it is no JSON, or asks for what is not there; names the place in the body.
    """
    try:
        given = msgspec.json.decode(body.decode("utf-8"))  # msgspec alone overlooks bad bytes in fields it skips
        asked = msgspec.convert(given, ChatRequest)
    except msgspec.ValidationError as error:
        place = re.search(r"`\$\.?([^`]*)`", str(error))
        raise Refused(400, str(error), code="invalid_value", param=(place and place[1]) or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(400, f"the body is no JSON that can be read: {error}", code="invalid_json") from None
    for name, harmless in OFF.items():
        if given.get(name) is not None and given[name] not in harmless:
            raise Refused(400, f"{name} is not supported here", code="unsupported_parameter", param=name)
    return asked


def completion(head: dict[str, Any], replies: Sequence[Reply]) -> dict[str, Any]:
    """The whole answer; `head` is what its chunks would share."""
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": reply.text},
            "logprobs": None,
            "finish_reason": reply.finish_reason,
        }
        for index, reply in enumerate(replies)
    ]
    return {**head, "object": "chat.completion", "choices": choices, "usage": usage(replies)}


def chunk(
    head: dict[str, Any], index: int, delta: dict[str, str], finish_reason: str | None = None, **more: Any
) -> dict[str, Any]:
    """A piece of a streamed answer."""
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {**head, "object": "chat.completion.chunk", "choices": [choice], **more}


def usage_chunk(head: dict[str, Any], replies: Sequence[Reply]) -> dict[str, Any]:
    """The last chunk of a stream whose client wants to know what it cost."""
    return {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage(replies)}


def usage(replies: Sequence[Reply]) -> dict[str, int]:
    """Tokens of the prompt, counted once, and of every reply."""
    prompt, written = replies[0].prompt_tokens, sum(reply.completion_tokens for reply in replies)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
