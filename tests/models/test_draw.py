import numpy as np
import pytest
import torch

from humanturn.models.draw import draw, lessened
from humanturn.models.model import Sampling


@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.5])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_follow_the_nucleus_of_the_tempered_distribution(top_p, temperature):
    logits = torch.tensor([3.0, 1.0, 2.0, -1.0, 2.5, 0.0])
    chances = torch.softmax(logits.double() / temperature, -1).numpy()
    order = np.argsort(-chances)
    kept = order[: int(np.searchsorted(np.cumsum(chances[order]), top_p)) + 1] if top_p < 1 else order
    expected = np.zeros(6)
    expected[kept] = chances[kept] / chances[kept].sum()
    n = 20_000
    uniforms = ((np.arange(n) + 0.5) / n).tolist()  # evenly spread, so frequencies are exact to 1/n
    rows = logits.expand(n, 6)
    drawn = draw(rows, [Sampling(temperature=temperature, top_p=top_p)] * n, uniforms)
    assert np.abs(np.bincount(drawn, minlength=6) / n - expected).max() < 2 / n * 6


def test_a_nucleus_of_many_rare_tokens_is_drawn_from_the_whole_vocabulary():
    flat = torch.zeros(1, 2_000_000)  # every token is rarer than what is looked at first
    tokens = {draw(flat, [Sampling(temperature=1.0, top_p=0.5)], [u])[0] for u in (0.1, 0.5, 0.9)}
    assert len(tokens) == 3


def test_rows_of_one_batch_are_drawn_each_in_its_own_way():
    logits = torch.zeros(4, 1000)
    logits[:, 7], logits[:, 3] = 9.0, 8.9
    samplings = [
        Sampling(temperature=0),
        Sampling(temperature=1.0),
        Sampling(temperature=1.0, top_p=0.3),
        Sampling(0.0),
    ]
    assert draw(logits, samplings, [0.99, 0.999999, 0.999999, 0.0]) == [7, 999, 7, 7]


@pytest.mark.parametrize("uniform", [0.0, 0.999999999])
@pytest.mark.parametrize("top_p", [1.0, 0.999, 0.1])
def test_numbers_at_the_edges_give_tokens_of_the_vocabulary(uniform, top_p):
    logits = torch.randn(1, 5000, generator=torch.Generator().manual_seed(0))
    (token,) = draw(logits, [Sampling(temperature=1.0, top_p=top_p)], [uniform])
    assert 0 <= token < 5000


def test_the_presence_penalty_is_taken_once_off_what_a_row_has_said_itself():
    logits = torch.zeros(3, 5)
    samplings = [Sampling(presence=2.0), Sampling(presence=0.5), Sampling()]
    found = lessened(logits, samplings, [[1, 1, 3], [], [4]])
    assert found.tolist() == [[0, -2, 0, -2, 0], [0] * 5, [0] * 5]
