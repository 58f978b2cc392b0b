import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from humanturn.models.packed import TokenSequence
from humanturn.train.packing import pack, steps


def sequences(lengths):
    return [TokenSequence(np.full(n, i, dtype=np.int32), np.ones(n, dtype=bool)) for i, n in enumerate(lengths)]


@given(st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(50, 400))
def test_packing_keeps_every_sequence_once_and_no_row_over_the_budget(lengths, budget):
    rows = pack(sequences(lengths), budget)
    found = sorted(int(s.ids[0]) for row in rows for s in row)
    assert found == list(range(len(lengths)))
    assert all(len(row) == 1 or sum(len(s.ids) for s in row) <= budget for row in rows)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60))
def test_no_two_rows_could_have_been_one(lengths):
    sizes = [sum(len(s.ids) for s in row) for row in pack(sequences(lengths), 100)]
    assert sum(size <= 50 for size in sizes) <= 1


@given(st.integers(1, 50), st.integers(1, 9), st.integers(1, 4), st.integers(0, 3))
def test_each_epoch_sees_every_conversation_once(count, batch, epochs, seed):
    plan = steps(count, batch_size=batch, epochs=epochs, seed=seed)
    order = [i for step in plan for i in step]
    assert len(order) == count * epochs
    for epoch in range(epochs):
        assert sorted(order[epoch * count : (epoch + 1) * count]) == list(range(count))
    assert all(len(step) == batch for step in plan[:-1])


def test_half_an_epoch_is_half_the_conversations():
    assert sum(map(len, steps(10, batch_size=4, epochs=0.5, seed=0))) == 5
