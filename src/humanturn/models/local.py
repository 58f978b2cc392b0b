"""Models in this process: requests that wait together are written together, by one worker for all local models."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from humanturn import template
from humanturn.conversation import Turn
from humanturn.models import weights
from humanturn.models.generate import Request, Written, generate
from humanturn.models.model import Sampling
from humanturn.records import Reply

MAX_BATCH = 32
"""Rows written at once; more gain nothing on a CPU."""

# Two models computing at once on the same cores slow each other many times over.
_worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="humanturn-model")


class _Loaded(msgspec.Struct):
    """A model in memory, shared by everyone who names its folder, and the turns it has been asked for."""

    model: Any
    tokenizer: Any
    stops: list[int]
    waiting: list[tuple[Request, "asyncio.Future[Written]"]] = []


_loaded: dict[Path, _Loaded] = {}
_serving: "asyncio.Task[None] | None" = None


class LocalModel:
    """The model in a Hugging Face folder; a user model when its chat template opens user turns."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder

    async def reply(self, messages: Sequence[Turn], *, sampling: Sampling, seed: int) -> Reply:
        """Write the next turn, together with whatever other requests are waiting."""
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        if self.folder not in _loaded:
            await loop.run_in_executor(_worker, _load, self.folder)
        loaded = _loaded[self.folder]
        request = Request(template.prompt_ids(loaded.tokenizer, messages), sampling, seed)
        answer: asyncio.Future[Written] = loop.create_future()
        loaded.waiting.append((request, answer))
        _serve()
        written = await answer
        text = loaded.tokenizer.decode(written.ids, skip_special_tokens=True)
        cut = min((at for at in (text.find(stop) for stop in sampling.stop) if at >= 0), default=None)
        return Reply(
            text=text[:cut].strip(),
            model=self.name,
            prompt_tokens=len(request.prompt),
            completion_tokens=len(written.ids) + written.finished,
            finish_reason="stop" if written.finished or cut is not None else "length",
            seconds=round(time.monotonic() - began, 3),
        )

    async def stream(self, messages: Sequence[Turn], *, sampling: Sampling, seed: int) -> AsyncIterator[str | Reply]:
        """Pieces of text as they come, and last the whole `Reply`."""
        reply = await self.reply(messages, sampling=sampling, seed=seed)
        yield reply.text
        yield reply

    async def close(self) -> None:
        """Let go of the model's memory."""
        _loaded.pop(self.folder, None)


def _load(folder: Path) -> None:
    if folder not in _loaded:
        model, tokenizer = weights.load(folder)
        _loaded[folder] = _Loaded(model, tokenizer, template.stop_ids(tokenizer))


def _serve() -> None:
    """See to it that somebody writes what is waiting."""
    global _serving
    if _serving is None or _serving.done():
        _serving = asyncio.create_task(_write_waiting())


async def _write_waiting() -> None:
    """Write batches until nobody waits, the model with the fewest requests first.

    A user and an assistant take turns, so who is served early joins those who wait for the other model: batches grow
    together instead of falling apart.
    """
    loop = asyncio.get_running_loop()
    while True:
        for _ in range(8):  # let everyone who is about to ask do so
            await asyncio.sleep(0)
        asked = [loaded for loaded in _loaded.values() if loaded.waiting]
        if not asked:
            return
        chosen = min(asked, key=lambda loaded: len(loaded.waiting))
        batch, chosen.waiting = chosen.waiting[:MAX_BATCH], chosen.waiting[MAX_BATCH:]
        requests, answers = [request for request, _ in batch], [answer for _, answer in batch]
        try:
            written = await loop.run_in_executor(_worker, generate, chosen.model, requests, chosen.stops)
        except Exception as error:
            for answer in answers:
                if not answer.done():
                    answer.set_exception(error)
            continue
        for answer, turn in zip(answers, written, strict=True):
            if not answer.done():
                answer.set_result(turn)
