"""Models in this process."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from humanturn import template
from humanturn.conversation import Turn
from humanturn.errors import EndpointError
from humanturn.models import pieces, worker
from humanturn.models.generate import Request
from humanturn.models.model import Sampling
from humanturn.models.worker import Loaded, Ticket
from humanturn.records import Reply


class LocalModel:
    """The model in a Hugging Face folder; a user model when its chat template opens user turns.

    What is asked for at the same time is written together. Giving up on a reply or a stream (cancelling the task,
    closing the generator) frees its place at the next token.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder.resolve()

    async def reply(self, messages: Sequence[Turn], *, sampling: Sampling, seed: int) -> Reply:
        """Write the next turn."""
        began = time.monotonic()
        async with self._written(messages, sampling, seed) as (loaded, ticket):
            await ticket.over
            return self._reply(loaded, ticket, began)

    async def stream(
        self, messages: Sequence[Turn], *, sampling: Sampling, seed: int
    ) -> AsyncGenerator[str | Reply, None]:
        """Pieces of text as they come, and last the whole `Reply`; the pieces joined and stripped are its text."""
        began = time.monotonic()
        grown = asyncio.Event()
        told = 0
        async with self._written(messages, sampling, seed, grown.set) as (loaded, ticket):
            ticket.over.add_done_callback(lambda _: grown.set())
            while True:
                await grown.wait()
                grown.clear()
                last = ticket.over.done()
                text, _ = _text(loaded, ticket)
                text = text if last else pieces.settled(text, sampling.stop)
                if len(text) > told:
                    yield text[told:]
                    told = len(text)
                if last:
                    break
            ticket.over.result()
            yield self._reply(loaded, ticket, began)

    async def close(self) -> None:
        """Let go of the model; its memory is free when everyone who named its folder has done so."""
        worker.let_go(self.folder, self)

    @asynccontextmanager
    async def _written(
        self, messages: Sequence[Turn], sampling: Sampling, seed: int, on_growth: Callable[[], None] | None = None
    ) -> AsyncGenerator[tuple[Loaded, Ticket], None]:
        """A turn in the making, which ends with the block."""
        loaded = await worker.load(self.folder, self)
        prompt = template.prompt_ids(loaded.tokenizer, messages)
        room = sampling.max_tokens if loaded.context is None else loaded.context - len(prompt)
        if room < 1:
            said = f"{self.name}: {len(prompt):,} tokens to read leave no room in a context of {loaded.context:,}"
            raise EndpointError(said, status=413)
        sampling = msgspec.structs.replace(sampling, max_tokens=min(sampling.max_tokens, room))
        ticket = Ticket(Request(prompt, sampling, seed), on_growth)
        try:
            worker.hand_over(loaded, ticket)
            yield loaded, ticket
        finally:
            ticket.writing.over = True

    def _reply(self, loaded: Loaded, ticket: Ticket, began: float) -> Reply:
        writing = ticket.writing
        text, stopped = _text(loaded, ticket)
        return Reply(
            text=text.strip(),
            model=self.name,
            prompt_tokens=len(writing.request.prompt),
            completion_tokens=len(writing.ids) + writing.finished,
            finish_reason="stop" if writing.finished or stopped else "length",
            seconds=round(time.monotonic() - began, 3),
        )


def _text(loaded: Loaded, ticket: Ticket) -> tuple[str, bool]:
    """What is written so far, up to the first stop string, and whether there is one."""
    text = worker.text(loaded.tokenizer, ticket.writing)
    cut = pieces.cut(text, ticket.writing.request.sampling.stop)
    return (text, False) if cut is None else (cut, True)
