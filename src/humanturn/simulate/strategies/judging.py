"""Asking the judge until it says something that can be read."""

from humanturn.conversation import Turn
from humanturn.models.model import Sampling
from humanturn.simulate.table import Check, Sitting

FIRST, AGAIN = Sampling(temperature=0.0, max_tokens=48), Sampling(temperature=0.7, max_tokens=48)
"""The likeliest verdict first; when it cannot be read, another draw."""


async def verdict(sitting: Sitting, position: int, question: str, unread: Check) -> str | None:
    """The judge's first reply that can be read, or None after as many attempts as a turn has."""
    for attempt in range(sitting.table.attempts):
        sampling = AGAIN if attempt else FIRST
        reply, objection = await sitting.hear(position, attempt, "judge", [Turn("user", question)], sampling, unread)
        if objection is None:
            return reply.text
    return None
