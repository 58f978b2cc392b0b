"""A model in this process: requests that wait together are written together, by one worker for all local models."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

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
_loaded: dict[Path, tuple[Any, Any]] = {}


class LocalModel:
    """The model in a Hugging Face folder; a user model when its chat template opens user turns."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.card = weights.card(folder)
        self._waiting: list[tuple[Request, asyncio.Future[Written]]] = []
        self._writing: asyncio.Task[None] | None = None

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """(model, tokenizer), shared by every LocalModel of the same folder."""
        if self.folder not in _loaded:
            _loaded[self.folder] = weights.load(self.folder)
        return _loaded[self.folder]

    @cached_property
    def _stops(self) -> list[int]:
        return template.stop_ids(self._parts[1])

    async def reply(self, messages: Sequence[Turn], *, sampling: Sampling, seed: int) -> Reply:
        """Write the next turn, together with whatever other requests are waiting."""
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        _, tokenizer = await loop.run_in_executor(_worker, lambda: self._parts)
        request = Request(template.prompt_ids(tokenizer, messages), sampling, seed)
        answer: asyncio.Future[Written] = loop.create_future()
        self._waiting.append((request, answer))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_waiting())
        written = await answer
        text = tokenizer.decode(written.ids, skip_special_tokens=True)
        cut = min((at for at in (text.find(stop) for stop in sampling.stop) if at >= 0), default=None)
        return Reply(
            text=text[:cut].strip(),
            model=self.name,
            prompt_tokens=len(request.prompt),
            completion_tokens=len(written.ids) + written.finished,
            finish_reason="stop" if written.finished or cut is not None else "length",
            seconds=round(time.monotonic() - began, 3),
        )

    async def close(self) -> None:
        """Let go of the model's memory."""
        _loaded.pop(self.folder, None)
        self.__dict__.pop("_parts", None)

    async def _write_waiting(self) -> None:
        """Write batches until nobody waits."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # let everyone who is about to ask do so
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            requests = [request for request, _ in batch]
            try:
                written = await loop.run_in_executor(_worker, self._generate, requests)
            except Exception as error:
                for _, answer in batch:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, answer), turn in zip(batch, written, strict=True):
                if not answer.done():
                    answer.set_result(turn)

    def _generate(self, requests: list[Request]) -> list[Written]:
        return generate(self._parts[0], requests, self._stops)
