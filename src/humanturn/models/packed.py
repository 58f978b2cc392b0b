"""Several conversations in one row of tokens, none seeing another: no padding, and logits only where they count."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

ATTENTION = "humanturn_packed"
"""Name under which the attention below is registered with transformers."""


class TokenSequence(msgspec.Struct, frozen=True):
    """A conversation's tokens and which of them are predicted."""

    ids: "np.ndarray[Any, Any]"
    """int32, shape (tokens,)."""
    trained: "np.ndarray[Any, Any]"
    """bool, shape (tokens,): True where the loss counts; never at position 0."""

    def cut(self) -> "TokenSequence":
        """Without the tokens after the last trained one: nothing that counts depends on them."""
        last = int(np.flatnonzero(self.trained)[-1]) + 1
        return TokenSequence(self.ids[:last], self.trained[:last])


def rows(sequences: Iterable[TokenSequence], max_tokens: int) -> Iterator[list[int]]:
    """Group consecutive sequences, by index, into rows of at most `max_tokens` tokens (at least one sequence each)."""
    row: list[int] = []
    total = 0
    for number, sequence in enumerate(sequences):
        if row and total + len(sequence.ids) > max_tokens:
            yield row
            row, total = [], 0
        row.append(number)
        total += len(sequence.ids)
    if row:
        yield row


def model_inputs(sequences: Sequence[TokenSequence], device: Any = "cpu") -> tuple[dict[str, Any], Any]:
    """What the model's forward takes for one packed row, and the tokens it has to predict.

    Returns:
        Keyword arguments with `logits_to_keep` at the positions before each trained token, and the trained tokens,
        int64, shape (predicted,), in the order of the logits.
    """
    import torch

    ids = np.concatenate([s.ids for s in sequences]).astype(np.int64)
    trained = np.concatenate([s.trained for s in sequences])
    lengths = [len(s.ids) for s in sequences]
    at = np.flatnonzero(trained)
    positions = np.concatenate([np.arange(n) for n in lengths])
    boundaries = torch.tensor(np.concatenate([[0], np.cumsum(lengths)]), dtype=torch.int32, device=device)
    inputs = {
        "input_ids": torch.from_numpy(ids).to(device)[None],
        "position_ids": torch.from_numpy(positions).to(device)[None],
        "cu_seq_lens_q": boundaries,
        "cu_seq_lens_k": boundaries,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
        "logits_to_keep": torch.from_numpy(at - 1).to(device),
        "use_cache": False,
    }
    return inputs, torch.from_numpy(ids[at]).to(device)


def register_attention() -> str:
    """Make the packed attention known to transformers; returns its name for `attn_implementation`."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, _attend)
    return ATTENTION


def _attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    scaling: float | None = None,
    cu_seq_lens_q: Any = None,
    **_: Any,
) -> tuple[Any, None]:
    """Causal attention inside each packed conversation; query is (1, heads, tokens, width)."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    grouped = key.shape[1] != query.shape[1]
    bounds = [0, query.shape[2]] if cu_seq_lens_q is None else cu_seq_lens_q.tolist()
    parts = [
        scaled_dot_product_attention(
            query[:, :, start:stop],
            key[:, :, start:stop],
            value[:, :, start:stop],
            is_causal=True,
            scale=scaling,
            enable_gqa=grouped,
        )
        for start, stop in itertools.pairwise(bounds)
    ]
    joined = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
    return joined.transpose(1, 2), None
