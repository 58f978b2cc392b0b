"""Several conversations in one row of tokens, none seeing another: no padding, and logits only where they count."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from humanturn.errors import ModelError

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


def register_attention(precision: Literal["float32", "bfloat16"] = "bfloat16") -> str:
    """Make packed attention known to transformers; returns the name for `attn_implementation`.

    On CUDA it is FlashAttention where that package is installed, else torch's own variable-length attention; neither
    computes in float32.
    """
    import torch
    from transformers import AttentionInterface
    from transformers.utils import is_flash_attn_2_available

    AttentionInterface.register(ATTENTION, _attend)
    flash = precision == "bfloat16" and torch.cuda.is_available() and is_flash_attn_2_available()
    return "flash_attention_2" if flash else ATTENTION


def refuse_unpackable(config: Any) -> None:
    """Refuse architectures in which packed conversations would hear each other, or attention is of another kind.

    Raises:
        ModelError: the model does its attention itself, or a layer mixes tokens otherwise than by full or
            sliding-window attention; names the kinds.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if kind is not None and not kind.is_backend_compatible():
        raise ModelError(
            f"{config.model_type}: computes attention by code of its own, which cannot be packed; choose a backbone"
            " whose attention transformers lets one exchange"
        )
    config = config.get_text_config()
    others = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if others:
        raise ModelError(
            f"{config.model_type}: its layers mix tokens by {', '.join(sorted(others))}, which cannot be packed yet;"
            " choose a backbone of full or sliding-window attention"
        )


def _attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Any = None,
    cu_seq_lens_q: Any = None,
    max_length_q: int | None = None,
    **_: Any,
) -> tuple[Any, None]:
    """Causal attention inside each packed conversation; query is (1, heads, tokens, width), the answer transposed.

    `sliding_window`: a token sees itself and the `sliding_window - 1` before it. `softcap`: of the scores (Gemma 2).
    """
    import torch

    query, key = query.to(value.dtype), key.to(value.dtype)  # positions were turned in float32 under autocast
    if s_aux is not None:
        raise ModelError("attention sinks cannot be packed yet; choose another backbone")
    if cu_seq_lens_q is not None and query.is_cuda and softcap is None and not dropout and query.element_size() == 2:
        reach = (sliding_window - 1 if sliding_window else -1, 0)
        return _variable_length(query, key, value, cu_seq_lens_q, max_length_q, scaling, reach)[None], None
    bounds = [0, query.shape[2]] if cu_seq_lens_q is None else cu_seq_lens_q.tolist()
    parts = [
        _inside(
            query[:, :, start:stop], key[:, :, start:stop], value[:, :, start:stop],
            scaling=scaling, dropout=dropout, window=sliding_window, softcap=softcap,
        )
        for start, stop in itertools.pairwise(bounds)
    ]  # fmt: skip
    joined = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
    return joined.transpose(1, 2), None


def _variable_length(
    query: Any, key: Any, value: Any, bounds: Any, longest: int | None, scaling: float | None, reach: tuple[int, int]
) -> Any:
    """All conversations in one kernel (CUDA, half precision): (tokens, heads, width)."""
    from torch.nn.attention.varlen import varlen_attn

    flat = [states[0].transpose(0, 1).contiguous() for states in (query, key, value)]
    longest = longest or query.shape[2]
    grouped = key.shape[1] != query.shape[1]
    return varlen_attn(
        *flat, bounds, bounds, longest, longest, scale=scaling, window_size=reach, enable_gqa=grouped
    )  # fmt: skip


def _inside(
    query: Any,
    key: Any,
    value: Any,
    *,
    scaling: float | None,
    dropout: float,
    window: int | None,
    softcap: float | None,
) -> Any:
    """Causal attention of one conversation."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    tokens, groups = query.shape[2], query.shape[1] // key.shape[1]
    seen: Any = None
    if softcap is not None or (window is not None and window < tokens):
        seen = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device).tril()
        seen = seen.triu(1 - window) if window is not None else seen
    if softcap is not None:
        key, value = (states.repeat_interleave(groups, dim=1) for states in (key, value))
        scores = query @ key.transpose(2, 3) * (scaling or query.shape[3] ** -0.5)
        scores = (softcap * torch.tanh(scores / softcap)).masked_fill(~seen, -torch.inf)
        return torch.dropout(torch.softmax(scores, -1, torch.float32).to(query.dtype), dropout, dropout > 0) @ value
    return scaled_dot_product_attention(
        query, key, value, attn_mask=seen, is_causal=seen is None, dropout_p=dropout, scale=scaling,
        enable_gqa=groups > 1,
    )  # fmt: skip
