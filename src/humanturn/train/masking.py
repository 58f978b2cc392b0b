"""Which tokens are learned: the turns of one role, end-of-turn token included, headers and carried context not."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
import numpy as np

from humanturn import template
from humanturn.conversation import Conversation
from humanturn.errors import FormatError
from humanturn.models.packed import TokenSequence

TrainedRole = Literal["user", "assistant"]


class Masked(msgspec.Struct, frozen=True):
    """A training set as tokens."""

    sequences: list[TokenSequence]
    """Cut after the last trained token."""
    tokens: int
    """Before that cut."""
    shortened: list[str]
    """Ids of conversations longer than the budget; their tails are not learned."""


def mask(
    tokenizer: Any, conversations: Iterable[Conversation], *, role: TrainedRole, max_tokens: int, where: str = "data"
) -> Masked:
    """Tokens of every conversation, with `trained` True on the turns of `role` (paper, section 3.1.1).

    Raises:
        FormatError: a conversation has no token to train, or its template drops or rewrites a turn; names it.
    """
    sequences: list[TokenSequence] = []
    shortened: list[str] = []
    tokens = 0
    for conversation in conversations:
        coded = template.encode(tokenizer, conversation.messages, name=f"{where}: conversation {conversation.id}")
        trained = np.isin(coded.owner, _learned(conversation, role))
        trained[:1] = False  # nothing stands before the first token to predict it from
        if len(coded.ids) > max_tokens:
            shortened.append(conversation.id)
        sequence = TokenSequence(coded.ids[:max_tokens], trained[:max_tokens])
        if not sequence.trained.any():
            reason = f"within its first {max_tokens} tokens" if trained.any() else "at all"
            raise FormatError(
                f"{where}: conversation {conversation.id} has no {role} token to train {reason};"
                " remove it, or prepare the data with this token budget"
            )
        tokens += len(sequence.ids)
        sequences.append(sequence.cut())
    return Masked(sequences, tokens, shortened)


def _learned(conversation: Conversation, role: TrainedRole) -> list[int]:
    """Turns of `role`, less carried context and an answer that preparing had to cut: it would teach to break off."""
    stop = len(conversation.messages) - bool(role == "assistant" and conversation.meta.get("answer_cut"))
    return [n for n in range(conversation.context_turns, stop) if conversation.messages[n].role == role]
