"""Write the turns of many conversations at once: whoever is done makes room for the next at once.

A turn's tokens are drawn from its own random stream, one number a token, so what a conversation says depends on its
seed and not on its company (up to the rounding of the batched arithmetic).
"""

from collections import deque
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import numpy as np

from humanturn.models.caches import Kept
from humanturn.models.draw import draw, lessened
from humanturn.models.model import Sampling
from humanturn.models.reading import Reader, reader

MAX_WRITING = 64
"""Turns written at once; more gain little on a CPU."""


class Request(msgspec.Struct, frozen=True):
    """One turn to be written."""

    prompt: list[int]
    sampling: Sampling
    seed: int


class Writing(msgspec.Struct, eq=False):
    """A turn in the making; its asker reads along and may set `over` to have no more of it."""

    request: Request
    ids: list[int] = []
    """Its tokens so far, without the one that ends it."""
    finished: bool = False
    """True when the model ended it; False while it lasts, and when the token limit or the asker cut it."""
    over: bool = False


class _Place:
    """A turn being written: its cache, the tokens that are to be read next, and its random stream."""

    def __init__(self, writing: Writing, cache: Any) -> None:
        self.writing, self.cache = writing, cache
        self.unread = writing.request.prompt[len(cache.tokens) :]
        self.stream = np.random.default_rng(writing.request.seed)


class Engine:
    """One model and all that it is writing."""

    def __init__(self, model: Any, stop_ids: Collection[int], read: Reader | None = None) -> None:
        self.reader = read or reader(model)
        self.kept = Kept(self.reader.kept_tokens)
        self.tokens_read = 0
        """Tokens it has computed, prompts' and its own."""
        self._stops = frozenset(stop_ids)
        self._waiting: deque[Writing] = deque()
        self._places: list[_Place] = []

    def ask(self, writing: Writing) -> None:
        """Have a turn written by the steps to come."""
        self._waiting.append(writing)

    @property
    def asked(self) -> int:
        """Turns that are not over."""
        return len(self._waiting) + len(self._places)

    def step(self) -> list[Writing]:
        """Read a share of what is unread and write one more token of every turn whose prompt is read.

        Returns:
            The turns that moved: each has one more token, or is over.
        """
        import torch

        self._make_room()
        parts = self._share()
        if not parts:
            return []
        with torch.inference_mode():
            logits = self.reader.read([(place.cache, tokens) for place, tokens in parts])
            self.tokens_read += sum(len(tokens) for _, tokens in parts)
            ready = [row for row, (place, tokens) in enumerate(parts) if len(tokens) == len(place.unread)]
            for place, tokens in parts:
                del place.unread[: len(tokens)]
            places = [parts[row][0] for row in ready]
            samplings = [place.writing.request.sampling for place in places]
            fresh = lessened(logits[ready], samplings, [place.writing.ids for place in places])
            tokens = draw(fresh, samplings, [place.stream.random() for place in places]) if ready else []
        for place, token in zip(places, tokens, strict=True):
            self._write(place, token)
        return [place.writing for place in places]

    def forget(self) -> list[Writing]:
        """Drop everything, after a failure; returns the turns that are lost."""
        lost = [place.writing for place in self._places] + list(self._waiting)
        self._places, self._waiting, self.kept = [], deque(), Kept(self.kept.limit)
        return lost

    def _make_room(self) -> None:
        """Put aside the caches of turns that are over, and let waiting turns take their places."""
        for place in self._places:
            if place.writing.over:
                self.kept.put(place.cache)
        self._places = [place for place in self._places if not place.writing.over]
        while self._waiting and len(self._places) < MAX_WRITING:
            writing = self._waiting.popleft()
            if not writing.over:
                cache = self.kept.take(writing.request.prompt) or self.reader.cache()
                self._places.append(_Place(writing, cache))

    def _share(self) -> list[tuple[_Place, list[int]]]:
        """Who reads what in this step: first those who are writing, then prompts in the order they came."""
        left = max(self.reader.step_tokens, len(self._places))
        parts = []
        for place in sorted(self._places, key=lambda place: len(place.unread) > 1):
            if left:
                parts.append((place, place.unread[:left]))
                left -= len(parts[-1][1])
        return parts

    def _write(self, place: _Place, token: int) -> None:
        writing = place.writing
        if token in self._stops:
            writing.finished = writing.over = True
            return
        writing.ids.append(token)
        if len(writing.ids) >= writing.request.sampling.max_tokens:  # and never back to False: the asker may set it too
            writing.over = True
        place.unread = [token]


def generate(model: Any, requests: Sequence[Request], stop_ids: Collection[int]) -> list[Writing]:
    """Write every requested turn up to its stop token or its limit of `max_tokens` (at least 1)."""
    engine, turns = Engine(model, stop_ids), [Writing(request) for request in requests]
    for turn in turns:
        engine.ask(turn)
    while not all(turn.over for turn in turns):
        engine.step()
    return turns
