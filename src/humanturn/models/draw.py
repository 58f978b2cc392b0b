"""Draw one token per row from logits, each row from its own random number."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from humanturn.models.model import Sampling

LIKELIEST = 256
"""Most nuclei lie within so many tokens; finding these is far cheaper than sorting the vocabulary."""

RARE = 1e-6
"""Tokens less likely than this are sorted only when the others do not reach top_p."""


def draw(logits: Any, samplings: Sequence[Sampling], uniforms: Sequence[float]) -> list[int]:
    """One token per row of `logits` (rows, vocabulary), by inverting the distribution at each row's number in [0, 1).

    Temperature 0 takes the likeliest token. `top_p` keeps the smallest set of likeliest tokens that reaches that mass,
    and renormalizes over it.
    """
    import torch

    tokens = [0] * len(samplings)
    greedy = [row for row, s in enumerate(samplings) if s.temperature == 0]
    whole = [row for row, s in enumerate(samplings) if s.temperature > 0 and s.top_p == 1]
    nuclear = [row for row, s in enumerate(samplings) if s.temperature > 0 and s.top_p < 1]
    heat = torch.tensor([s.temperature or 1.0 for s in samplings], device=logits.device)[:, None]
    if greedy:
        _put(tokens, greedy, logits[greedy].argmax(dim=-1))
    if whole:
        mass = torch.softmax(logits[whole] / heat[whole], dim=-1).cumsum(dim=-1, dtype=torch.float64)
        _put(tokens, whole, _invert(mass, mass[:, -1:], [uniforms[row] for row in whole]))
    if nuclear:
        chances = torch.softmax(logits[nuclear] / heat[nuclear], dim=-1)
        top_ps = [samplings[row].top_p for row in nuclear]
        _put(tokens, nuclear, _from_nuclei(chances, top_ps, [uniforms[row] for row in nuclear]))
    return tokens


def lessened(logits: Any, samplings: Sequence[Sampling], said: Sequence[Sequence[int]]) -> Any:
    """`logits` (rows, vocabulary), changed in place: less each row's presence penalty at the tokens it has said."""
    for row, (sampling, ids) in enumerate(zip(samplings, said, strict=True)):
        if sampling.presence and ids:
            logits[row, list(set(ids))] -= sampling.presence
    return logits


def _put(tokens: list[int], rows: list[int], drawn: Any) -> None:
    for row, token in zip(rows, drawn.tolist(), strict=True):
        tokens[row] = token


def _invert(mass: Any, total: Any, uniforms: Sequence[float]) -> Any:
    """The first index of each row whose summed `mass` passes the row's number times `total`."""
    import torch

    level = torch.tensor(uniforms, dtype=torch.float64, device=mass.device)[:, None] * total
    return torch.searchsorted(mass, level, right=True).clamp(max=mass.shape[1] - 1)[:, 0]


def _from_nuclei(chances: Any, top_ps: Sequence[float], uniforms: Sequence[float]) -> Any:
    import torch

    likeliest, ids = chances.topk(min(LIKELIEST, chances.shape[1]), dim=-1)
    mass = likeliest.cumsum(dim=-1, dtype=torch.float64)
    goal = torch.tensor(top_ps, dtype=torch.float64, device=mass.device)[:, None]
    last = torch.searchsorted(mass, goal).clamp(max=mass.shape[1] - 1)
    at = _invert(mass, mass.gather(1, last), uniforms)
    drawn = ids.gather(1, torch.minimum(at, last[:, 0])[:, None])[:, 0]
    for row in torch.nonzero(mass[:, -1] < goal[:, 0])[:, 0].tolist():
        drawn[row] = _from_wide_nucleus(chances[row].cpu().numpy(), top_ps[row], uniforms[row])
    return drawn


def _from_wide_nucleus(chances: "np.ndarray[Any, Any]", top_p: float, uniform: float) -> int:
    some = np.flatnonzero(chances > RARE)
    for candidates in (some, np.arange(len(chances))):
        order = candidates[np.argsort(-chances[candidates], kind="stable")]
        mass = np.cumsum(chances[order], dtype=np.float64)
        if len(mass) and mass[-1] >= top_p:
            break
    last = min(int(np.searchsorted(mass, top_p)), len(mass) - 1)
    return int(order[min(int(np.searchsorted(mass, uniform * mass[last], side="right")), last)])
