"""When a conversation ends: always the user's side decides, and always after an answer."""

from collections.abc import Callable, Sequence

import msgspec

from humanturn.conversation import Turn
from humanturn.records import Reply

REASONS = {
    "context": "the user model's context is full (section 3.2.1)",
    "rounds": "it has the rounds it was given",
    "learned": "the user said an empty turn: it has learned to end",
    "guards": "no acceptable user turn came within the allowed attempts",
    "unanswered": "no answer with any text came within the allowed attempts",
    "written": "a strategy that writes a conversation in one piece has written it",
    "malformed": "what was written in one piece holds no complete round",
    "similar": "self-instruct: too much like a task that was accepted before",
    "eliminated": "evol-instruct: the evolved instruction or its answer was eliminated",
}
"""Every stop reason and what it says."""


class Budget(msgspec.Struct, frozen=True):
    """The user model's context, counted in its tokens with its template."""

    max_tokens: int
    user_room: int
    """Fewest tokens left for a user turn to be worth asking for."""
    count: Callable[[Sequence[Turn]], int]
    """Tokens of the rendered conversation and the header of the next user turn."""

    def left(self, shown: Sequence[Turn]) -> int:
        """Tokens the next user turn may have after what the user is shown; the prompt is never cut to make room."""
        return self.max_tokens - self.count(shown)


def reason_to_end(turns: Sequence[Turn], left: int, budget: Budget, rounds: int | None) -> str | None:
    """Why the user says nothing more after these turns, or None when the next user turn is due.

    `context`: `left` tokens are too few; the rendered conversation has reached the budget; the paper clears the
    history and begins a new conversation there (section 3.2.1), so the last answer may pass the budget and is kept.
    `rounds`: the conversation has as many user turns as it was given.
    """
    if rounds is not None and sum(turn.role == "user" for turn in turns) >= rounds:
        return "rounds"
    if left < budget.user_room:
        return "context"
    return None


def learned(reply: Reply, turns: Sequence[Turn]) -> bool:
    """True when a user model that has learned to end conversations ends this one: a finished turn without text."""
    return bool(turns) and not reply.text.strip() and reply.finish_reason == "stop"
