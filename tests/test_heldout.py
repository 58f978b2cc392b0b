import math
import random

import pytest

from humanturn import heldout
from humanturn.records import TurnLikelihood


def rows(level, sessions=60, noise=0.0, seed=0):
    draw, own = random.Random(1), random.Random(seed)
    found = []
    for session in range(sessions):
        hardness = draw.gauss(0, 0.8)
        for turn in range(1 + session % 4):
            tokens = 5 + draw.randrange(50)
            nll = tokens * (level + hardness + own.gauss(0, noise))
            found.append(TurnLikelihood(f"s{session}", 2 * turn, turn == 0, tokens, nll, 4 * tokens))
    return found


def test_the_table_by_hand():
    a = [TurnLikelihood("x", 0, True, 10, 30.0, 40), TurnLikelihood("x", 2, False, 10, 10.0, 50)]
    b = [TurnLikelihood("x", 0, True, 10, 40.0, 40), TurnLikelihood("x", 2, False, 10, 10.0, 50)]
    table = heldout.table({"untrained": b, "trained": a}, of="trained")
    trained = next(row for row in table.rows if row.name == "trained")
    assert trained.parts["all"].nll.value == 2.0
    assert trained.parts["all"].perplexity.value == pytest.approx(math.e**2)
    assert trained.parts["all"].bits_per_byte.value == pytest.approx(40 / math.log(2) / 90)
    assert trained.parts["first"].nll.value == 3.0
    assert trained.parts["follow_up"].nll.value == 1.0
    (difference,) = table.differences
    assert difference.parts["all"].value == pytest.approx(40 / 50 - 1)
    assert difference.parts["first"].value == pytest.approx(-0.25)
    assert difference.parts["follow_up"].value == pytest.approx(0.0)
    assert (table.sessions, table.turns, table.left_out) == (1, 2, 0)


def test_pairing_sees_a_difference_that_hard_sessions_would_hide():
    table = heldout.table({"untrained": rows(3.5, noise=0.02), "trained": rows(3.4, noise=0.02, seed=1)}, of="trained")
    by_name = {row.name: row.parts["all"].nll for row in table.rows}
    assert by_name["trained"].high > by_name["untrained"].low
    assert table.differences[0].parts["all"].high < 0


def test_models_that_are_equally_good_are_not_told_apart():
    held = 0
    for seed in range(40):
        table = heldout.table(
            {"untrained": rows(3.5, 30, 0.3, 2 * seed), "trained": rows(3.5, 30, 0.3, 2 * seed + 1)}, of="trained"
        )
        interval = table.differences[0].parts["all"]
        held += interval.low <= 0 <= interval.high
    assert held >= 33


def test_only_turns_that_every_model_scored_are_compared():
    a, b = rows(3.0), rows(3.5)[:-7]
    table = heldout.table({"untrained": a, "trained": b}, of="trained")
    assert table.turns == len(b)
    assert table.left_out == 7
    assert all(row.parts["all"].turns == len(b) for row in table.rows)


def test_the_order_of_records_does_not_matter():
    a, b = rows(3.0, noise=0.1), rows(3.5, noise=0.1)
    shuffled = random.Random(5).sample(a, len(a))
    assert heldout.table({"untrained": b, "trained": a}, of="trained") == heldout.table(
        {"untrained": b, "trained": shuffled}, of="trained"
    )


def test_a_part_without_turns_is_absent():
    first = [row for row in rows(3.0) if row.first]
    table = heldout.table({"untrained": first, "trained": first}, of="trained")
    assert set(table.rows[0].parts) == {"all", "first"}
