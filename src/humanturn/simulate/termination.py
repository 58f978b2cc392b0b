"""When a conversation ends: always the user's side decides, and always after an answer."""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from humanturn.conversation import Turn

Reason = Literal["context", "rounds", "guards"]
"""`guards`: no acceptable user turn came within the allowed attempts."""


class Budget(msgspec.Struct, frozen=True):
    """The user model's context, counted in its tokens with its template."""

    max_tokens: int
    user_room: int
    """Fewest tokens left for a user turn to be worth asking for."""
    count: Callable[[Sequence[Turn]], int]
    """Tokens of the rendered conversation."""

    def left(self, turns: Sequence[Turn]) -> int:
        """Tokens the next user turn may have; the prompt is never cut to make room."""
        return self.max_tokens - self.count(turns)


def reason_to_end(turns: Sequence[Turn], budget: Budget, rounds: int | None) -> Reason | None:
    """Why the user says nothing more after these turns, or None when the next user turn is due.

    `context`: the rendered conversation has reached the budget; the paper clears the history and begins a new
    conversation there (section 3.2.1), so the last answer may pass the budget and is kept.
    `rounds`: the conversation has as many user turns as it was given.
    """
    if rounds is not None and sum(turn.role == "user" for turn in turns) >= rounds:
        return "rounds"
    if budget.left(turns) < budget.user_room:
        return "context"
    return None
