import numpy as np
import pytest
import torch

from humanturn.models import weights
from humanturn.models.generate import Request, draw, generate
from humanturn.models.model import Sampling


@pytest.fixture(scope="module")
def model(tiny):
    return weights.load(tiny)[0]


def prompts(n):
    rng = np.random.default_rng(0)
    return [rng.integers(20, 40000, size=int(rng.integers(3, 60))).tolist() for _ in range(n)]


def test_greedy_output_is_that_of_hugging_face_generate_for_every_row_of_a_ragged_batch(model):
    asked = prompts(9)
    greedy = [Sampling(temperature=0, max_tokens=5 + 3 * i) for i in range(9)]
    ours = generate(model, [Request(p, s, i) for i, (p, s) in enumerate(zip(asked, greedy, strict=True))], [2])
    for prompt, sampling, written in zip(asked, greedy, ours, strict=True):
        ids = torch.tensor([prompt])
        theirs = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=sampling.max_tokens,
            eos_token_id=2, pad_token_id=2,
        )[0, len(prompt) :].tolist()  # fmt: skip
        assert written.ids == [t for t in theirs if t != 2]


def test_what_a_row_says_depends_on_its_seed_and_not_on_its_company(model):
    sampling = Sampling(temperature=1.0, top_p=0.9, max_tokens=12)
    asked = [Request(p, sampling, seed) for seed, p in enumerate(prompts(6))]
    together = generate(model, asked, [2])
    alone = [generate(model, [request], [2])[0] for request in asked]
    assert [w.ids for w in together] == [w.ids for w in alone]
    other = generate(model, [Request(asked[0].prompt, sampling, 99)], [2])[0]
    assert other.ids != alone[0].ids


def test_a_stop_token_ends_a_turn_and_is_not_part_of_it(model):
    prompt = prompts(1)[0]
    free = generate(model, [Request(prompt, Sampling(temperature=0, max_tokens=8), 0)], [])[0]
    assert len(free.ids) == 8
    assert not free.finished
    stopped = generate(model, [Request(prompt, Sampling(temperature=0, max_tokens=8), 0)], [free.ids[0]])[0]
    assert (stopped.ids, stopped.finished) == ([], True)


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
    assert max(tokens) < 1_000_001
