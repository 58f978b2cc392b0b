"""Ways to produce user turns: what whoever plays the user is shown of the conversation so far."""

from collections.abc import Callable, Sequence

from humanturn.conversation import Turn
from humanturn.simulate.strategies import roleplay, trained

View = Callable[[Sequence[Turn]], Sequence[Turn]]

STRATEGIES: dict[str, View] = {"trained": trained.shown, "roleplay": roleplay.shown}
