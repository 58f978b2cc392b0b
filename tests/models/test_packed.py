"""Attention inside packed conversations."""

import inspect
import itertools

import pytest
import torch
from torch.nn.attention import varlen

from humanturn.errors import ModelError
from humanturn.models import packed

BOUNDS = torch.tensor([0, 7, 9, 20], dtype=torch.int32)


def heads():
    torch.manual_seed(0)
    return torch.randn(1, 4, 20, 8), torch.randn(1, 2, 20, 8), torch.randn(1, 2, 20, 8)


def by_hand(query, key, value, *, window=None, softcap=None):
    """Softmax over every earlier token of the same conversation, head by head and token by token."""
    out = torch.empty(1, 20, 4, 8)
    for start, stop in itertools.pairwise(BOUNDS.tolist()):
        for head, at in itertools.product(range(4), range(start, stop)):
            since = max(start, at + 1 - window) if window else start
            scores = key[0, head // 2, since : at + 1] @ query[0, head, at] * 8**-0.5
            if softcap:
                scores = softcap * torch.tanh(scores / softcap)
            out[0, at, head] = torch.softmax(scores, 0) @ value[0, head // 2, since : at + 1]
    return out


@pytest.mark.parametrize("given", [{}, {"sliding_window": 3}, {"softcap": 0.5}, {"sliding_window": 3, "softcap": 0.5}])
def test_each_token_attends_to_the_earlier_ones_of_its_own_conversation(given):
    query, key, value = heads()
    found, _ = packed._attend(None, query, key, value, None, cu_seq_lens_q=BOUNDS, **given)
    expected = by_hand(query, key, value, window=given.get("sliding_window"), softcap=given.get("softcap"))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_attention_sinks_are_refused():
    with pytest.raises(ModelError, match="attention sinks cannot be packed"):
        packed._attend(None, *heads(), None, cu_seq_lens_q=BOUNDS, s_aux=torch.zeros(4))


@pytest.mark.parametrize("window", [None, 3])
def test_the_cuda_kernel_is_called_by_its_own_signature(monkeypatch, window):
    """The kernel itself needs CUDA; what it is given is checked against its signature and its documented meaning."""
    signature = inspect.signature(varlen.varlen_attn)

    def kernel(*args, **kwargs):
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        given = call.arguments
        assert given["cu_seq_q"] is given["cu_seq_k"]
        assert (given["max_q"], given["enable_gqa"], given["scale"]) == (11, True, 8**-0.5)
        left, right = given["window_size"]
        assert right == 0, "causal"
        q, k, v = (given[name].transpose(0, 1)[None] for name in ("query", "key", "value"))
        return by_hand(q, k, v, window=left + 1 if left >= 0 else None)[0]

    monkeypatch.setattr(varlen, "varlen_attn", kernel)
    query, key, value = heads()
    reach = (window - 1 if window else -1, 0)
    found = packed._variable_length(query, key, value, BOUNDS, 11, 8**-0.5, reach)[None]
    torch.testing.assert_close(found, by_hand(query, key, value, window=window))
