"""Draw the next turns of several conversations at once, each with its own seed.

A row's tokens are drawn from its own random stream, one number a step, so what a conversation says depends on its seed
and not on which conversations it shares a batch with (up to the rounding of the batched arithmetic).
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from humanturn.models.model import Sampling

RARE = 1e-6
"""Tokens less likely than this are sorted only when the others do not reach top_p."""

SHRINK_AT = 0.75
"""Finished rows leave the batch when fewer than this share of its rows still write."""


class Request(msgspec.Struct, frozen=True):
    """One turn to be written."""

    prompt: list[int]
    sampling: Sampling
    seed: int


class Written(msgspec.Struct):
    """Its tokens, without the one that ended it."""

    ids: list[int]
    finished: bool = False
    """False when the token limit cut it."""


def generate(model: Any, requests: Sequence[Request], stop_ids: Sequence[int]) -> list[Written]:
    """Write every requested turn up to its stop token or its limit of `max_tokens` (at least 1)."""
    import torch

    written = [Written([]) for _ in requests]
    streams = [np.random.default_rng(request.seed) for request in requests]
    batch = _Batch(model, [request.prompt for request in requests])
    writing = list(range(len(requests)))  # which request each row of the batch belongs to
    done: set[int] = set()
    with torch.inference_mode():
        logits = batch.read()
        while True:
            tokens = draw(logits, [requests[r].sampling for r in writing], [streams[r].random() for r in writing])
            for request, token in zip(writing, tokens, strict=True):
                if request in done:
                    continue
                turn = written[request]
                if token in stop_ids:
                    turn.finished = True
                    done.add(request)
                else:
                    turn.ids.append(token)
                    if len(turn.ids) >= requests[request].sampling.max_tokens:
                        done.add(request)
            if len(done) == len(requests):
                return written
            rows = [row for row, request in enumerate(writing) if request not in done]
            if len(rows) < SHRINK_AT * len(writing):
                batch.keep(rows)
                writing, tokens = [writing[row] for row in rows], [tokens[row] for row in rows]
            logits = batch.step(tokens)


def draw(logits: Any, samplings: Sequence[Sampling], uniforms: Sequence[float]) -> list[int]:
    """One token per row of `logits` (rows, vocabulary), by inverting the distribution at each row's number in [0, 1).

    `top_p` keeps the smallest set of likeliest tokens that reaches that mass, and renormalizes over it.
    """
    import torch

    heat = torch.tensor([max(s.temperature, 1e-6) for s in samplings], device=logits.device)
    chances = torch.softmax(logits / heat[:, None], dim=-1).cpu().numpy()
    likeliest = logits.argmax(dim=-1).tolist()
    tokens = []
    for row, (sampling, uniform) in enumerate(zip(samplings, uniforms, strict=True)):
        if sampling.temperature == 0:
            tokens.append(likeliest[row])
            continue
        kept = np.arange(chances.shape[1]) if sampling.top_p == 1 else _nucleus(chances[row], sampling.top_p)
        mass = np.cumsum(chances[row, kept], dtype=np.float64)
        tokens.append(int(kept[np.searchsorted(mass, uniform * mass[-1], side="right")]))
    return tokens


def _nucleus(chances: "np.ndarray[Any, Any]", top_p: float) -> "np.ndarray[Any, Any]":
    """The fewest likeliest tokens whose mass reaches `top_p`, likeliest first."""
    some = np.flatnonzero(chances > RARE)
    for candidates in (some, np.arange(len(chances))):
        order = candidates[np.argsort(-chances[candidates], kind="stable")]
        mass = np.cumsum(chances[order], dtype=np.float64)
        if len(mass) and mass[-1] >= top_p:
            break
    return order[: int(np.searchsorted(mass, top_p)) + 1]


class _Batch:
    """Prompts of several lengths, padded on the left to one, and their key/value cache."""

    def __init__(self, model: Any, prompts: Sequence[list[int]]) -> None:
        import torch
        from transformers import DynamicCache

        self.model, self.device = model, model.device
        longest = max(len(prompt) for prompt in prompts)
        pads = [longest - len(prompt) for prompt in prompts]
        self.prompts = [[0] * pad + prompt for pad, prompt in zip(pads, prompts, strict=True)]
        self.mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in pads], device=self.device)
        self.cache = DynamicCache(config=model.config)

    def read(self) -> Any:
        """Logits after each prompt; shape (rows, vocabulary), float32."""
        return self._forward(self.prompts, (self.mask.cumsum(1) - 1).clamp(min=0))

    def step(self, tokens: Sequence[int]) -> Any:
        """Logits after one more token in each row."""
        import torch

        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], dim=1)
        return self._forward([[token] for token in tokens], self.mask.sum(1, keepdim=True) - 1)

    def keep(self, rows: list[int]) -> None:
        """Let the other rows go."""
        import torch

        chosen = torch.tensor(rows, device=self.device)
        self.cache.batch_select_indices(chosen)
        self.mask = self.mask[chosen]

    def _forward(self, tokens: list[list[int]], positions: Any) -> Any:
        import torch

        result = self.model(
            input_ids=torch.tensor(tokens, device=self.device),
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return result.logits[:, -1].float()
