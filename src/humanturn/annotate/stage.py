"""The annotate verbs: serve the page, export the votes."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from humanturn import jsonl
from humanturn.annotate.results import Format
from humanturn.errors import HumanturnError, InputError


def serve(
    pairs: Path,
    db: Path,
    *,
    annotators: Sequence[str],
    k: int = 3,
    host: str = "127.0.0.1",
    port: int = 8080,
    url: str | None = None,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the page until it is interrupted; everything is in `db`, so that serving again goes on.

    Args:
        pairs: directory of an evaluation, or one laid out as FastChat's.
        db: SQLite file of the annotation; made when it is not there.
        annotators: names; adding some later is fine, whom nobody names is kept.
        k: annotators of every item.
        host: address to listen on.
        port: 0 takes a free one.
        url: what links begin with, when the page is reached through another address.
        seed: of who sees what, in which order.
        say: told the links.

    Raises:
        InputError: the pairs, the file, or the names cannot be used.
        HumanturnError: the port is taken, or the web libraries are not installed.
    """
    from humanturn.annotate.pairs import read_items
    from humanturn.annotate.store import Store

    try:
        import uvicorn

        from humanturn.annotate.app import app
    except ImportError as error:
        raise HumanturnError(f"the page needs {error.name}; pip install 'humanturn[ui]'") from None

    names = [name.strip() for name in annotators if name.strip()]
    if len(set(names)) < len(names):
        raise InputError("two annotators have the same name; tell them apart")
    store = Store(db, create=True)
    store.set_up(read_items(pairs), names, k=k, seed=seed)
    socket = _listen(host, port)
    base = (url or f"http://{host}:{socket.getsockname()[1]}").rstrip("/")
    say(f"admin: {base}/admin/{store.admin_token()}")
    for name, token in store.links().items():
        say(f"{name}: {base}/a/{token}")
    # No access log: addresses are secrets.
    config = uvicorn.Config(app(store), log_level="warning", access_log=False, server_header=False, lifespan="off")
    try:
        uvicorn.Server(config).run(sockets=[socket])
    except KeyboardInterrupt:
        say("stopped; every vote is kept, serve again to go on")
    finally:
        store.close()


def export(
    db: Path,
    out: Path | None = None,
    fmt: Format = "jsonl",
    *,
    pairs: Path | None = None,
    plot: Path | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Write every vote to `out` (to standard output without one) and return the summary.

    The summary is written beside `db` too, as `NAME.summary.json`, where a report finds it.

    With `pairs`, the directory that was served, the summary says how far people and its judges agree. With `plot`, an
    SVG of majority wins, ties and losses is written there (the paper's Figure 3).

    Raises:
        InputError: there is no such annotation.
    """
    from humanturn.annotate import results
    from humanturn.annotate.pairs import judge_scores
    from humanturn.annotate.store import Store

    store = Store(db)
    votes = store.votes()
    store.close()
    written = results.write_votes(votes, fmt)
    if out is None:
        sys.stdout.buffer.write(written)
        sys.stdout.flush()
    else:
        with jsonl.replacing(out) as file:
            file.write(written)
    found = results.summary(votes, judge_scores(pairs) if pairs else {}, seed=seed)
    jsonl.write_json(db.with_suffix(".summary.json"), found)
    if plot is not None and found["pairs"]:
        from humanturn import figures

        plot.parent.mkdir(parents=True, exist_ok=True)
        figures.verdict_bars(found["pairs"], "mean_score", plot)
    return found


def describe(summary: dict[str, Any]) -> str:
    """The summary of `export` as plain text for a terminal."""
    from humanturn.annotate import results

    return results.describe(summary)


def _listen(host: str, port: int) -> Any:
    """A listening socket, so that a taken port is told before anybody gets a link."""
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise HumanturnError(f"{host}:{port}: cannot listen there ({error.strerror}); choose another --port") from None
    listening.listen(2048)
    return listening
