"""The serve verb."""

import asyncio
import ipaddress
import os
from collections.abc import Callable
from typing import Any, Literal

from humanturn.errors import HumanturnError, InputError

KEY = "HUMANTURN_API_KEY"
MOST_CONNECTIONS = 2048
STOP_SECONDS = 5
"""How long replies at work may go on after Ctrl-C."""


def serve(
    spec: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    roles: Literal["plain", "flipped"] = "plain",
    name: str | None = None,
    api_key_env: str | None = None,
    concurrency: int = 128,
    max_body: int = 1 << 20,
    max_tokens: int = 1024,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the model that `spec` names until it is interrupted.

    Args:
        spec: any model SPEC.
        host: address to listen on.
        port: 0 takes a free one.
        roles: `flipped` for clients that call the simulated user `assistant`.
        name: what clients call the model; the SPEC when not given.
        api_key_env: environment variable with the key that clients must bring; `HUMANTURN_API_KEY` when that is set.
        concurrency: replies at work at the same time; more are refused with 429.
        max_body: bytes of a request.
        max_tokens: length of a reply whose client names none.
        say: told the address once the model is ready.

    Raises:
        InputError: the SPEC or a setting cannot be used.
        HumanturnError: the port is taken, or the web libraries are not installed.
    """
    try:
        import uvicorn

        from humanturn.serve.app import app
        from humanturn.serve.service import Limits, Service
    except ImportError as error:
        raise HumanturnError(f"the server needs {error.name}; pip install 'humanturn[ui]'") from None
    from humanturn.serve.speaker import load, wake

    if min(concurrency, max_body, max_tokens) < 1:
        raise InputError("--concurrency, --max-body and --max-tokens must be at least 1")
    key = _key(api_key_env)
    socket = _bound(host, port)  # before the model is loaded, which takes longer than to say that the port is taken
    speaker = load(spec)
    if roles == "flipped" and speaker.plays == "assistant":
        raise InputError(f"--roles flipped is for user models; {spec} answers users (drop the option)")
    limits = Limits(concurrency=concurrency, max_body=max_body, max_tokens=max_tokens)
    service = Service(speaker, name=name or spec, roles=roles, key=key, limits=limits)
    config = uvicorn.Config(
        app(service),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )

    async def work() -> None:
        await wake(speaker)
        address = f"[{host}]" if ":" in host else host
        say(f"{service.name} at http://{address}:{socket.getsockname()[1]}/v1")
        if key is None and not _loopback(host):
            say(f"anybody who reaches {host} may use it; set {KEY} to ask for a key")
        await uvicorn.Server(config).serve(sockets=[socket])
        await speaker.model.close()

    try:
        asyncio.run(work())
    except KeyboardInterrupt:
        say("stopped")


def _key(variable: str | None) -> str | None:
    key = os.environ.get(variable or KEY) or None
    if variable and not key:
        raise InputError(f"--api-key-env {variable}: there is no such variable in the environment; export it")
    return key


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bound(host: str, port: int) -> Any:
    import socket

    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise HumanturnError(f"{host}:{port}: cannot listen there ({error.strerror}); choose another --port") from None
    return listening  # whoever connects before the model is ready is refused, and need not wait
