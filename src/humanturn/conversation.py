"""A conversation and its turns, the one shape every stage reads and writes."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

Role = Literal["system", "user", "assistant"]


class Turn(msgspec.Struct, frozen=True):
    """One message."""

    role: Role
    content: str


class Conversation(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Turns between a user and an assistant; one line of our JSONL files."""

    id: str
    messages: tuple[Turn, ...]
    source: str | None = None
    """The format or corpus it came from."""
    parent_id: str | None = None
    """The session a segment was cut from."""
    meta: dict[str, Any] = {}
    """`context_turns`: how many leading turns only give context and stand, as a turn of their own, in an earlier
    segment; `ends`: the human said nothing more after the last turn; `language`; `intent` (what the human wants);
    whatever a source knows."""

    def rounds(self) -> int:
        """Number of user turns that are followed by an answer."""
        return sum(
            a.role == "user" and b.role == "assistant" for a, b in zip(self.messages, self.messages[1:], strict=False)
        )

    def turns_of(self, role: Role) -> list[str]:
        """Contents of the turns of `role` that are the conversation's own (not carried context)."""
        return [turn.content for turn in self.messages[self.context_turns :] if turn.role == role]

    @property
    def context_turns(self) -> int:
        """Leading turns carried over from an earlier segment."""
        return int(self.meta.get("context_turns", 0))

    @property
    def session_id(self) -> str:
        """Id of the session this conversation belongs to (its own when it is no segment)."""
        return self.parent_id or self.id


def first_sessions(
    conversations: Iterable[Conversation], sessions: int | None, segments: int | None = None
) -> list[Conversation]:
    """The first `segments` segments of each of the first `sessions` sessions, in order; all of them when None."""
    seen: Counter[str] = Counter()
    chosen = []
    for conversation in conversations:
        session = conversation.session_id
        if session not in seen and len(seen) == sessions:
            continue
        seen[session] += 1
        if segments is None or seen[session] <= segments:
            chosen.append(conversation)
    return chosen
