import numpy as np
import pytest

from humanturn.analyze import topics
from humanturn.conversation import Conversation, Turn


def all_pairs(vectors):
    """The paper's computation: every cosine of every ordered pair."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_the_mean_of_all_cosines(dtype):
    vectors = np.random.default_rng(1).normal(0.3, 1, size=(500, 48)).astype(dtype)
    cosines = all_pairs(vectors.astype(np.float64))
    found = topics.mean_cosine([vectors[:123], vectors[123:]])
    assert found.all_pairs.value == pytest.approx(cosines.mean(), abs=1e-9)
    without = (cosines.sum() - np.trace(cosines)) / (500 * 499)
    assert found.distinct_pairs.value == pytest.approx(without, abs=1e-9)


def test_the_diagonal_lifts_the_paper_s_number_for_small_samples_only():
    vectors = np.random.default_rng(2).normal(size=(4000, 16))
    small, large = topics.mean_cosine([vectors[:20]]), topics.mean_cosine([vectors])
    assert small.all_pairs.value > 0.04
    assert abs(small.distinct_pairs.value) < 0.02
    assert abs(large.all_pairs.value - large.distinct_pairs.value) < 1e-3


def test_texts_without_an_embedding_are_left_out():
    vectors = np.array([[1.0, 0], [0, 0], [1, 1]])
    found = topics.mean_cosine([vectors])
    assert found.distinct_pairs.value == pytest.approx(np.sqrt(0.5))
    assert found.all_pairs.n == 2


def test_fewer_than_two_turns_have_no_similarity():
    assert topics.mean_cosine([]) is None
    assert topics.mean_cosine([np.ones((1, 3))]) is None


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    # The mean of vectors (m, 1) has a known mean cosine of distinct pairs, here by a large sample.
    rng = np.random.default_rng(3)

    def sample(n):
        return rng.normal(0.5, 1, size=(n, 8))

    truth = topics.mean_cosine([sample(400_000)]).distinct_pairs.value
    held = 0
    for _ in range(200):
        sums = topics.CosineSums()
        for group, vectors in enumerate(np.split(sample(120), 60)):
            sums.add(vectors, group)
        found = sums.similarity().distinct_pairs
        held += found.low <= truth <= found.high
    assert 180 <= held <= 200


def test_carried_context_is_not_embedded_twice():
    seen: list[str] = []

    def embed(texts):
        seen.extend(texts)
        return np.array([[len(text), 1.0] for text in texts])

    turns = (Turn("user", "one"), Turn("assistant", "a"), Turn("user", "three"), Turn("assistant", "b"))
    first = Conversation(id="c1", messages=turns, parent_id="c")
    second = Conversation(
        id="c2",
        messages=(*turns[2:], Turn("user", "fifth"), Turn("assistant", "c")),
        parent_id="c",
        meta={"context_turns": 2},
    )
    assert topics.of_corpus([first, second], embed) is not None
    assert seen == ["one", "three", "fifth"]
