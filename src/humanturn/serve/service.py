"""One model, who may ask it, and how much is taken on."""

import hmac
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from starlette.requests import Request

from humanturn.serve.protocol import Refused
from humanturn.serve.roles import ROLES
from humanturn.serve.speaker import Speaker


class Limits(msgspec.Struct, frozen=True):
    """How much is taken on."""

    concurrency: int = 128
    """Replies at work at the same time."""
    max_body: int = 1 << 20
    """Bytes of a request."""
    body_seconds: float = 30.0
    """How long a client may take to send it."""
    max_tokens: int = 1024
    """Length of a reply whose client names none."""


class Service:
    """One model and who may ask it."""

    def __init__(
        self, speaker: Speaker, *, name: str, roles: str = "plain", key: str | None = None, limits: Limits | None = None
    ) -> None:
        self.speaker, self.name, self.key = speaker, name, key
        self.view, self.limits = ROLES[roles], limits or Limits()
        self.free, self.began = self.limits.concurrency, int(time.time())

    def admit(self, request: Request) -> None:
        """Let through who brings the key, when there is one.

        Raises:
            Refused: the key is missing or another.
        """
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        if self.key is not None and not hmac.compare_digest(given, self.key.encode()):
            raise Refused(401, "the API key is missing or wrong", code="invalid_api_key")

    def check(self, name: str) -> None:
        """Let through who asks for this model.

        Raises:
            Refused: it is called otherwise.
        """
        if name != self.name:
            raise Refused(404, f"the model {name!r} is not served here", code="model_not_found", param="model")

    @contextmanager
    def slots(self, count: int) -> Iterator[None]:
        """Room for `count` replies, for as long as the block takes.

        Raises:
            Refused: there is none now, or never.
        """
        if count > self.limits.concurrency:
            raise Refused(400, f"n is at most {self.limits.concurrency} here", code="invalid_value", param="n")
        if count > self.free:
            raise Refused(429, "all places are taken; ask again", code="rate_limit_exceeded", retry_after=1)
        self.free -= count
        try:
            yield
        finally:
            self.free += count

    def card(self) -> dict[str, Any]:
        """The model as `/v1/models` lists it."""
        known = {"id": self.name, "object": "model", "created": self.began, "owned_by": "humanturn"}
        return known | ({"max_model_len": self.speaker.context} if self.speaker.context else {})
