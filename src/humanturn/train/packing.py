"""The order of training: which conversations make a step, and which of them share a row."""

from collections.abc import Sequence

import numpy as np

from humanturn.models.packed import TokenSequence


def steps(count: int, *, batch_size: int, epochs: float, seed: int) -> list[list[int]]:
    """Conversation indices of every optimizer step, shuffled anew each epoch; a function of its arguments alone.

    Batches run on across the end of an epoch, so that every step has `batch_size` conversations but the last.
    """
    order: list[int] = []
    for epoch in range(int(np.ceil(epochs))):
        order += np.random.default_rng([seed, epoch]).permutation(count).tolist()
    order = order[: max(1, round(count * epochs))]
    return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]


def pack(sequences: Sequence[TokenSequence], max_tokens: int) -> list[list[TokenSequence]]:
    """Rows of at most `max_tokens` tokens (or one longer sequence), filled best-fit from the longest down."""
    rows: list[list[TokenSequence]] = []
    room: list[int] = []
    for sequence in sorted(sequences, key=lambda s: -len(s.ids)):
        size = len(sequence.ids)
        fitting = [(left, row) for row, left in enumerate(room) if left >= size]
        if fitting:
            _, row = min(fitting)
            rows[row].append(sequence)
            room[row] -= size
        else:
            rows.append([sequence])
            room.append(max_tokens - size)
    return rows
