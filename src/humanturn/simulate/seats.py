"""The models of a simulation, every call of theirs paid from one ledger."""

from collections.abc import Mapping

from humanturn.models import pool
from humanturn.models.model import ChatModel
from humanturn.models.spending import Prices, Spending, cost, parse_cap
from humanturn.simulate.ledger import Ledger
from humanturn.simulate.store import Store


def open_ledger(specs: Mapping[str, str], budget: str | None, prices: Prices, store: Store) -> Ledger:
    """The ledger of the simulation in `store`, with what it has cost so far.

    Args:
        specs: SPEC of each seat.
        budget: the cap, as `parse_cap` reads it.
        prices: by SPEC of a model, of a pool those of its endpoints.
        store: keeps what is lost.

    Raises:
        InputError: the cap is none, or is in dollars and a price is unknown.
    """
    names = {member.spec for spec in specs.values() for member in pool.members(spec)}
    spending = Spending(parse_cap(budget), prices, tuple(sorted(names)))
    for model, read, written, usd in store.spent():
        spending.tokens += read + written
        spending.usd += usd if usd is not None else cost(model, read, written, prices) or 0.0
    return Ledger(spending, store.lose)


def seated(specs: Mapping[str, str], ledger: Ledger, timeout_s: float) -> dict[str, ChatModel]:
    """The model of each seat; seats of the same SPEC share it, and so wait in one line."""
    models = {
        spec: pool.load(spec, timeout_s=timeout_s, around=ledger.counted, unused=ledger.unused)
        for spec in set(specs.values())
    }
    return {seat: models[spec] for seat, spec in specs.items()}


def dearest(spec: str, prices: Prices) -> str:
    """The SPEC, or of a pool the endpoint that costs most."""
    return max((m.spec for m in pool.members(spec)), key=lambda name: cost(name, 1, 1, prices) or 0.0)
