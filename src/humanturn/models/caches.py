"""Keys and values of conversations, kept from one turn to the next so that history is read once."""

from collections.abc import Sequence
from typing import Any

import msgspec

GROWTH = 128
"""Tokens of room added to a full cache, or a quarter of it where that is more."""

FORK_AT = 32
"""A shared beginning shorter than this (headers, a few words) is read again rather than copied."""


class Shape(msgspec.Struct, frozen=True):
    """What one token of a conversation takes in a model's memory."""

    layers: int
    heads: int
    width: int
    dtype: Any
    device: Any

    @property
    def token_bytes(self) -> int:
        """Bytes of keys and values per token."""
        return int(self.layers * 2 * self.heads * self.width * self.dtype.itemsize)


class Cache:
    """The keys and values of one conversation's tokens; `tokens` says which those are."""

    def __init__(self, shape: Shape) -> None:
        import torch

        self.tokens: list[int] = []
        self.store = torch.empty(
            shape.layers, 2, shape.heads, 0, shape.width, dtype=shape.dtype, device=shape.device
        )  # (layers, keys and values, heads, room, width)

    @property
    def room(self) -> int:
        """Tokens it has memory for."""
        return int(self.store.shape[3])

    def reserve(self, tokens: int) -> None:
        """Make room for `tokens` tokens in all."""
        if tokens <= self.room:
            return
        held = len(self.tokens)
        layers, two, heads, room, width = self.store.shape
        wider = self.store.new_empty(layers, two, heads, max(tokens, room + max(GROWTH, room // 4)), width)
        wider[:, :, :, :held] = self.store[:, :, :, :held]
        self.store = wider

    def fork(self, tokens: int) -> "Cache":
        """A cache of its own for the first `tokens` tokens."""
        twin = object.__new__(Cache)
        twin.tokens, twin.store = self.tokens[:tokens], self.store[:, :, :, :tokens].clone()
        return twin


class Kept:
    """Caches of conversations that may go on, of at most `limit` tokens together; the longest unused go first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._caches: list[Cache] = []  # the longest unused first

    @property
    def tokens(self) -> int:
        """Tokens that all of them have memory for."""
        return sum(cache.room for cache in self._caches)

    def put(self, cache: Cache) -> None:
        """Keep `cache`, and let go of others until all fit."""
        self._caches.append(cache)
        while self._caches and self.tokens > self.limit:
            del self._caches[0]

    def take(self, prompt: Sequence[int]) -> Cache | None:
        """A cache that holds the longest known beginning of `prompt` and nothing else, now the caller's own.

        The last token of `prompt` is never in it: reading it gives the first prediction. A conversation that shares
        only its opening (the same instructions, say) keeps its cache, and the opening is copied.
        """
        shared, best = 0, None
        for cache in reversed(self._caches):
            same = min(common(cache.tokens, prompt), len(prompt) - 1)
            if same > shared:
                shared, best = same, cache
        if best is None or (shared < len(best.tokens) / 2 and shared < FORK_AT):
            return None
        if shared < len(best.tokens) / 2:
            return best.fork(shared)
        self._caches.remove(best)
        del best.tokens[shared:]
        return best


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the longest common beginning."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
