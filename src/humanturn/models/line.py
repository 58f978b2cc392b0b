"""A line to wait in: first come, first served."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

Who = TypeVar("Who")
Place = TypeVar("Place")


class Line(Generic[Who, Place]):
    """Whoever finds no place waits until there is one; nobody overtakes, so nobody starves.

    `admit` gives a place, or None when there is none for the first in line yet, or raises what that one is to be told.
    `leave` takes back a place from somebody who was cancelled in the moment of getting it.
    """

    def __init__(self, admit: Callable[[Who], Place | None], leave: Callable[[Place], None]) -> None:
        self._admit, self._leave = admit, leave
        self._waiting: deque[tuple[Who, asyncio.Future[Place]]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def join(self, who: Who) -> Place:
        """A place, as soon as everybody before has one.

        Raises:
            Exception: what `admit` raised.
        """
        if not self._waiting and (place := self._admit(who)) is not None:
            return place
        called: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.append((who, called))
        self.move_up()
        try:
            return await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled() and called.exception() is None:
                self._leave(called.result())
            else:
                self.move_up()  # who gave up may have stood in everybody's way
            raise

    def move_up(self) -> None:
        """Admit from the front as many as there are places for; to be called whenever one may have come free."""
        while self._waiting:
            who, called = self._waiting[0]
            if not called.done():  # done: cancelled while waiting
                try:
                    place = self._admit(who)
                except Exception as error:
                    called.set_exception(error)
                else:
                    if place is None:
                        return
                    called.set_result(place)
            self._waiting.popleft()
