"""Asking a model that may be busy: waits and asks again when that may help."""

import asyncio
import random
from collections.abc import Sequence

from humanturn.conversation import Turn
from humanturn.errors import EndpointError
from humanturn.models.model import ChatModel, Sampling
from humanturn.records import Reply

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0


async def ask(model: ChatModel, messages: Sequence[Turn], sampling: Sampling, seed: int, *, retries: int) -> Reply:
    """A reply, waiting longer after each passing failure (as long as the server says, when it says).

    Raises:
        EndpointError: the failure is no passing one, or outlasted the `retries`.
    """
    wait = FIRST_WAIT_S
    for attempt in range(retries + 1):
        try:
            return await model.reply(messages, sampling=sampling, seed=seed)
        except EndpointError as error:
            if not error.passing or attempt == retries:
                raise
            pause = error.retry_after if error.retry_after is not None else wait * random.uniform(0.5, 1.5)  # noqa: S311
            await asyncio.sleep(min(pause, LONGEST_WAIT_S))
            wait *= 2
    raise AssertionError("unreachable: the last attempt returns or raises")
