"""One thread that computes for all local models, because two models at once slow each other many times over."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from humanturn import template
from humanturn.models import pieces, thin, weights
from humanturn.models.generate import Engine, Request, Writing

LONGEST_STAY = 8
"""Steps in a row for one model while another waits."""

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="humanturn-model")
_lock = Lock()  # guards what the thread and the event loops share: `_loaded`, its `users`, `arrived`, and `_busy`


class Ticket:
    """A turn that somebody waits for."""

    def __init__(self, request: Request, on_growth: Callable[[], None] | None = None) -> None:
        """To be made where an event loop runs; `on_growth` is called in it after every new token."""
        self.writing = Writing(request)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_growth = on_growth

    def moved(self, tokenizer: Any) -> None:
        """Called by the thread when the turn has grown or is over; stops it at its stop strings."""
        writing, stops = self.writing, self.writing.request.sampling.stop
        if stops and pieces.cut(text(tokenizer, writing), stops) is not None:
            writing.over = True
        if writing.over:
            self.settle(None)
        if self._on_growth is not None:
            self._call(self._on_growth)

    def settle(self, error: Exception | None) -> None:
        """Called by the thread at the end."""
        self._call(_settle, self.over, error)

    def _call(self, what: Callable[..., None], *about: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.over.get_loop().call_soon_threadsafe(what, *about)


class Loaded(msgspec.Struct, eq=False):
    """A model in memory, shared by everyone who names its folder."""

    engine: Engine
    tokenizer: Any
    context: int | None = None
    """Tokens it can read and write together."""
    users: set[Any] = set()
    arrived: list[Ticket] = []
    """Turns that the thread has not taken up yet."""
    tickets: dict[int, Ticket] = {}
    """Turns being written, by the identity of their `Writing`; the thread's own."""


_loaded: dict[Path, Loaded] = {}
_busy: list[Loaded] = []


async def load(folder: Path, user: Any) -> Loaded:
    """The model in `folder`, in memory until `user` and everyone else let go of it."""
    with _lock:
        found = _loaded.get(folder)
    if found is None:
        found = await asyncio.get_running_loop().run_in_executor(_thread, _load, folder)
    with _lock:
        found.users.add(user)
        return _loaded.setdefault(folder, found)


def let_go(folder: Path, user: Any) -> None:
    """Take the model out of memory if nobody else uses it."""
    with _lock:
        if folder in _loaded:
            _loaded[folder].users.discard(user)
            if not _loaded[folder].users:
                del _loaded[folder]


def hand_over(loaded: Loaded, ticket: Ticket) -> None:
    """Give a turn to the thread, and see to it that it works."""
    with _lock:
        idle = not _busy
        loaded.arrived.append(ticket)
        if loaded not in _busy:
            _busy.append(loaded)
        if idle:
            _thread.submit(_work)


def text(tokenizer: Any, writing: Writing) -> str:
    """What has been written so far."""
    return str(tokenizer.decode(list(writing.ids), skip_special_tokens=True))


def _settle(over: "asyncio.Future[None]", error: Exception | None) -> None:
    if over.done():
        return
    if error is None:
        over.set_result(None)
    else:
        over.set_exception(error)


def _load(folder: Path) -> Loaded:
    with _lock:
        if folder in _loaded:
            return _loaded[folder]
    model, tokenizer = weights.load(folder)
    thin.speed_up(model)
    loaded = Loaded(Engine(model, template.stop_ids(tokenizer)), tokenizer, weights.context(folder, tokenizer))
    with _lock:
        return _loaded.setdefault(folder, loaded)


def _work() -> None:
    """Write what is asked for until nothing is left."""
    serving: Loaded | None = None
    stay = 0
    while True:
        with _lock:
            _busy[:] = [loaded for loaded in _busy if _asked(loaded)]
            if not _busy:
                return
            chosen = _next(_busy, serving, stay)
            arrived, chosen.arrived = chosen.arrived, []
        stay = stay + 1 if chosen is serving else 1
        serving = chosen
        _step(chosen, arrived)


def _asked(loaded: Loaded) -> int:
    return len(loaded.arrived) + loaded.engine.asked


def _next(busy: Sequence[Loaded], serving: Loaded | None, stay: int) -> Loaded:
    """Whom to serve: stay with a model while it has half as many turns to write as any other.

    A user and an assistant take turns, so whoever is done here joins those who wait there: waiting until the others
    are clearly more lets batches grow together instead of falling apart. Nobody waits longer than `LONGEST_STAY` steps.
    """
    others = [loaded for loaded in busy if loaded is not serving]
    if serving is None or serving not in busy or not others:
        return max(busy, key=_asked)
    fullest = max(others, key=_asked)
    return serving if stay < LONGEST_STAY and 2 * _asked(serving) >= _asked(fullest) else fullest


def _step(loaded: Loaded, arrived: Sequence[Ticket]) -> None:
    for ticket in arrived:
        loaded.tickets[id(ticket.writing)] = ticket
        loaded.engine.ask(ticket.writing)
    try:
        for writing in loaded.engine.step():
            loaded.tickets[id(writing)].moved(loaded.tokenizer)
    except Exception as error:
        loaded.engine.forget()
        for ticket in loaded.tickets.values():
            ticket.settle(error)
        loaded.tickets = {}
    loaded.tickets = {key: ticket for key, ticket in loaded.tickets.items() if not ticket.writing.over}
