"""Topic diversity: how alike the embeddings of a corpus's user turns are.

The paper (section 5.3, after UltraChat) reports the mean cosine *similarity* over all ordered pairs of questions, each
with itself among them: it is called diversity, but lower means more diverse, and the diagonal of ones lifts small
samples (by (1 - similarity) / n). `all_pairs` is that number; `distinct_pairs` leaves the diagonal out and can be
compared between samples of different sizes.

Over unit vectors u, the sum of all cosines is |Σ u|². One pass and one vector per group of sessions are enough, where
the pairs would be n².
"""

import importlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from humanturn.analyze.corpus import batches
from humanturn.conversation import Conversation
from humanturn.errors import InputError
from humanturn.records import Measurement

GROUPS = 1000
"""Sessions are put into so many groups at most, and the interval comes from leaving out one group at a time."""

Embedder = Callable[[Sequence[str]], "np.ndarray[Any, Any]"]
"""Texts -> float array of shape (texts, dimensions)."""


class Similarity(msgspec.Struct, frozen=True):
    """Mean cosine similarity of a corpus's user turns; lower means more diverse."""

    all_pairs: Measurement
    """The paper's: over all n² pairs, each turn with itself among them."""
    distinct_pairs: Measurement
    """Over the n² − n pairs of two turns."""


class CosineSums:
    """What mean cosines need, gathered in one pass; memory is `GROUPS` × dimensions."""

    def __init__(self) -> None:
        self._sums: np.ndarray[Any, Any] | None = None
        self._counts = np.zeros(GROUPS, dtype=np.int64)

    def add(self, vectors: "np.ndarray[Any, Any]", group: int = 0) -> None:
        """Count in `vectors`, shape (n, dimensions), as turns of session group `group`; zero vectors are left out."""
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
        there = lengths > 0
        weights = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=there)
        if self._sums is None:
            self._sums = np.zeros((GROUPS, vectors.shape[1]))
        self._sums[group % GROUPS] += weights @ vectors.astype(np.float64, copy=False)
        self._counts[group % GROUPS] += int(there.sum())

    def similarity(self) -> Similarity | None:
        """The mean cosines with 95 % jackknife intervals over groups; None for fewer than two turns."""
        n = int(self._counts.sum())
        if self._sums is None or n < 2:
            return None
        used = self._counts > 0
        total = self._sums.sum(axis=0)
        squared = np.square(np.vstack([total, total - self._sums[used]])).sum(axis=1)
        turns = np.concatenate([[n], n - self._counts[used]]).astype(float)
        enough = turns > 1
        over_all = squared[enough] / turns[enough] ** 2
        over_distinct = (squared[enough] - turns[enough]) / (turns[enough] ** 2 - turns[enough])
        return Similarity(_jackknifed(over_all, n), _jackknifed(over_distinct, n))


def mean_cosine(blocks: Iterable["np.ndarray[Any, Any]"]) -> Similarity | None:
    """Similarity of vectors that come in blocks of shape (n, dimensions); memory does not grow with their number."""
    sums = CosineSums()
    for block in blocks:
        sums.add(block)
    return sums.similarity()


def of_corpus(conversations: Iterable[Conversation], embed: Embedder) -> Similarity | None:
    """Similarity of the user turns of `conversations`; sessions are what the interval leaves out."""
    sums, group_of = CosineSums(), dict[str, int]()
    for batch in batches(conversations, 256):
        turns = [conversation.turns_of("user") for conversation in batch]
        vectors = iter(embed([turn for group in turns for turn in group])) if any(turns) else iter(())
        for conversation, group in zip(batch, turns, strict=True):
            if group:
                number = group_of.setdefault(conversation.session_id, len(group_of))
                sums.add(np.stack([next(vectors) for _ in group]), number)
    return sums.similarity()


def wordllama() -> Embedder:
    """The static embeddings of the wordllama package (256 dimensions, weights inside the package, no network).

    Raises:
        InputError: the package is not installed.
    """
    try:
        package = importlib.import_module("wordllama")
    except ImportError:
        raise InputError(
            "analyze.embeddings is wordllama, which is not installed; pip install 'humanturn[topics]'"
        ) from None
    folder = Path(str(package.__file__)).parent
    model = package.WordLlama.load(cache_dir=folder, disable_download=True)

    def embed(texts: Sequence[str]) -> "np.ndarray[Any, Any]":
        found: np.ndarray[Any, Any] = model.embed([text or " " for text in texts])
        return found

    return embed


def _jackknifed(values: "np.ndarray[Any, Any]", n: int) -> Measurement:
    """The first of `values` with an interval from the others, which each leave out one group."""
    value, left_out = float(values[0]), values[1:]
    k = len(left_out)
    if k < 2:
        return Measurement(value=value, n=n)
    spread = 1.96 * float(np.sqrt((k - 1) / k * np.square(left_out - left_out.mean()).sum()))
    return Measurement(value=value, n=n, low=value - spread, high=value + spread)
