import asyncio
from contextlib import suppress

from humanturn.models.line import Line


class Room:
    """So many places."""

    def __init__(self, places):
        self.places, self.came = places, []
        self.line = Line(self.admit, self.leave)

    def admit(self, who):
        if not self.places:
            return None
        self.places -= 1
        self.came.append(who)
        return who

    def leave(self, who):
        self.places += 1
        self.line.move_up()


def test_who_came_first_is_served_first():
    async def come():
        room = Room(1)
        await room.line.join("a")
        waiting = [asyncio.create_task(room.line.join(name)) for name in "bcd"]
        await asyncio.sleep(0)
        assert len(room.line) == 3
        for name in "abc":
            room.leave(name)
        await asyncio.gather(*waiting)
        return room.came

    assert asyncio.run(come()) == ["a", "b", "c", "d"]


def test_who_gives_up_at_the_head_of_the_line_lets_the_next_one_through():
    class Narrow(Room):
        def admit(self, who):
            return None if who == "stout" else super().admit(who)

    async def come():
        room = Narrow(1)
        stout, thin = (asyncio.create_task(room.line.join(name)) for name in ("stout", "thin"))
        await asyncio.sleep(0)
        stout.cancel()
        return await asyncio.wait_for(thin, 5)

    assert asyncio.run(come()) == "thin"


def test_who_gives_up_waiting_takes_no_place_and_who_is_called_in_that_moment_gives_it_back():
    async def come():
        room = Room(1)
        await room.line.join("a")
        gone, called, last = (asyncio.create_task(room.line.join(name)) for name in ("gone", "called", "last"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        room.leave("a")  # calls `called`, who is cancelled before it hears of it
        called.cancel()
        for task in (gone, called):
            with suppress(asyncio.CancelledError):
                await task
        return await asyncio.wait_for(last, 5), room.came

    assert asyncio.run(come()) == ("last", ["a", "called", "last"])
