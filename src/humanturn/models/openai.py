"""Any server that speaks the OpenAI chat-completions protocol: OpenAI, vLLM, Ollama, OpenRouter."""

import os
import time
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from humanturn.conversation import Turn
from humanturn.errors import EndpointError, ModelError
from humanturn.models.model import Sampling
from humanturn.records import Reply

OFFICIAL = "https://api.openai.com/v1"
KEY = "OPENAI_API_KEY"
TIMEOUT_S = 300.0


class OpenAIModel:
    """A model behind `/chat/completions`. The key comes from the environment and is never stored or printed."""

    def __init__(self, model: str, url: str | None) -> None:
        key = os.environ.get(KEY)
        if url is None and not key:
            raise ModelError(
                f"openai:{model} needs a key in the environment: export {KEY}=..., or name a server: openai:{model}@http://host:port/v1"
            )
        self.name = f"openai:{model}" + (f"@{url}" if url else "")
        self.model = model
        self._client = httpx.AsyncClient(
            base_url=(url or OFFICIAL).rstrip("/") + "/",
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(TIMEOUT_S, connect=10),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=512),
        )

    async def reply(self, messages: Sequence[Turn], *, sampling: Sampling, seed: int) -> Reply:
        """Ask the server for the next turn; it decides whose, by its chat template."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": seed % 2**31,
        }
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        began = time.monotonic()
        try:
            response = await self._client.post("chat/completions", json=body)
        except httpx.ConnectError as error:
            raise EndpointError(
                f"{self.name}: nothing answers there ({error}); is the server running?", passing=True
            ) from None
        except httpx.HTTPError as error:
            raise EndpointError(f"{self.name}: {type(error).__name__} {error}".rstrip(), passing=True) from None
        if response.status_code >= 400:
            raise _refusal(self.name, response)
        return _reply(self.name, response, time.monotonic() - began)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _refusal(name: str, response: httpx.Response) -> EndpointError:
    """The server's own words, shortened, and whether asking again may help."""
    after = response.headers.get("retry-after", "")
    return EndpointError(
        f"{name}: HTTP {response.status_code} {response.reason_phrase}: {' '.join(response.text[:300].split())}",
        retry_after=float(after) if after.replace(".", "", 1).isdigit() else None,
        passing=response.status_code in (408, 409, 425, 429) or response.status_code >= 500,
    )


def _reply(name: str, response: httpx.Response, seconds: float) -> Reply:
    try:
        body = msgspec.json.decode(response.content)
        choice = body["choices"][0]
        text = choice["message"]["content"]
        usage = body.get("usage") or {}
        return Reply(
            text=(text or "").strip(),
            model=name,
            prompt_tokens=int(usage.get("prompt_tokens") or 0),
            completion_tokens=int(usage.get("completion_tokens") or 0),
            finish_reason=str(choice.get("finish_reason") or "stop"),
            seconds=round(seconds, 3),
        )
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise EndpointError(
            f"{name}: answered something that is no chat completion ({error!r})", passing=True
        ) from None
