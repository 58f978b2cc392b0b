"""Many questions to one model at a time, no more of them under way at once than it should bear."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from humanturn.errors import HumanturnError
from humanturn.models.model import ChatModel

T = TypeVar("T")


def for_each(items: Sequence[T], errand: Callable[[T], Awaitable[None]], *, model: ChatModel, concurrency: int) -> None:
    """Run `errand` for every item, at most `concurrency` at once, and close the model.

    Raises:
        HumanturnError: the first errand that failed; those under way are given up.
    """

    async def all_of_them() -> None:
        gate = asyncio.Semaphore(concurrency)

        async def one(item: T) -> None:
            async with gate:
                await errand(item)

        try:
            async with asyncio.TaskGroup() as group:
                for item in items:
                    group.create_task(one(item))
        finally:
            await model.close()

    try:
        asyncio.run(all_of_them())
    except* HumanturnError as errors:
        raise _first(errors) from None


def _first(errors: BaseExceptionGroup[HumanturnError]) -> HumanturnError:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
