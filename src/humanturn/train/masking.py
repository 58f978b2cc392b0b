"""Which tokens are learned: the turns of one role, end-of-turn token included, headers and carried context not."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec
import numpy as np

from humanturn import run, template
from humanturn.conversation import Conversation, Turn
from humanturn.errors import FormatError
from humanturn.models.packed import TokenSequence

TrainedRole = Literal["user", "assistant"]


class Told(msgspec.Struct, frozen=True):
    """A conversation as the model is shown it."""

    messages: tuple[Turn, ...]
    learned: list[int]
    """Indices of the turns whose tokens are trained."""


class Masked(msgspec.Struct, frozen=True):
    """A training set as tokens."""

    sequences: list[TokenSequence]
    """Cut after the last trained token."""
    tokens: int
    """Before that cut."""
    shortened: list[str]
    """Ids of conversations longer than the budget; their tails are not learned."""
    endings: int
    """Conversations that teach how a session ends."""
    intents: int
    """Conversations learned behind their intent."""


def mask(
    tokenizer: Any,
    conversations: Iterable[Conversation],
    *,
    role: TrainedRole,
    max_tokens: int,
    learn_ending: bool = False,
    intent_dropped: float = 0.5,
    seed: int = 0,
    where: str = "data",
) -> Masked:
    """Tokens of every conversation, with `trained` True on the turns of `role` (paper, section 3.1.1).

    Args:
        tokenizer: with the chat template that the model will have.
        conversations: segments.
        role: whose turns are learned.
        max_tokens: longer conversations lose their tails.
        learn_ending: also learn to leave, see `tell`.
        intent_dropped: see `tell`.
        seed: of the draw of intents.
        where: names the data in errors.

    Raises:
        FormatError: a conversation has no token to train or a trained turn longer than the budget, or its template
            drops or rewrites a turn; names it. Or an ending is to be learned and no conversation says that it has one.
    """
    sequences: list[TokenSequence] = []
    shortened: list[str] = []
    tokens = endings = intents = 0
    for conversation in conversations:
        told = tell(conversation, role, learn_ending=learn_ending, intent_dropped=intent_dropped, seed=seed)
        sequence = encode(tokenizer, told, name=f"{where}: conversation {conversation.id}")
        length = len(sequence.ids)
        if length > max_tokens:
            if (turn := _longest_turn(sequence)) > max_tokens:
                raise FormatError(
                    f"{where}: conversation {conversation.id} has a {role} turn of {turn:,} tokens, more than the"
                    f" budget of {max_tokens:,}; remove it, or prepare the data with this token budget"
                )
            shortened.append(conversation.id)
            kept = TokenSequence(sequence.ids[:max_tokens], sequence.trained[:max_tokens])
        else:
            kept = sequence
        if not kept.trained.any():
            reason = f"within its first {max_tokens} tokens" if sequence.trained.any() else "at all"
            raise FormatError(
                f"{where}: conversation {conversation.id} has no {role} token to train {reason};"
                " remove it, or prepare the data with this token budget"
            )
        tokens += len(kept.ids)
        sequences.append(kept.cut())
        endings += _leaves(told) and len(kept.ids) == length
        intents += told.messages[0].role == "system" and conversation.messages[0].role != "system"
    if learn_ending and not endings:
        raise FormatError(
            f"{where}: no conversation says that its session ended there (meta.ends); prepare the data again to learn"
            " endings, or leave --learn-ending out"
        )
    return Masked(sequences, tokens, shortened, endings, intents)


def tell(
    conversation: Conversation, role: TrainedRole, *, learn_ending: bool, intent_dropped: float, seed: int
) -> Told:
    """The turns that the model is shown, and those among them that it learns.

    Args:
        conversation: a segment.
        role: whose turns are learned.
        learn_ending: a user model also learns to leave: an empty user turn, its end-of-turn token alone, after the
            answer with which a session ended (`meta.ends`).
        intent_dropped: share of the conversations with an intent (`meta.intent`) that are learned without it, so that
            a user model works both ways; the others stand behind it.
        seed: with the conversation's id, decides which.
    """
    messages, learned = conversation.messages, _learned(conversation, role)
    if role == "assistant":
        return Told(messages, learned)
    if learn_ending and conversation.meta.get("ends"):
        learned = [*learned, len(messages)]
        messages = (*messages, Turn("user", ""))
    intent = conversation.meta.get("intent")
    shown = isinstance(intent, str) and intent and messages[0].role != "system"
    if shown and run.derived_seed(seed, "intent", conversation.id) / 2**63 >= intent_dropped:
        messages, learned = tuple(template.with_intent(messages, str(intent))), [n + 1 for n in learned]
    return Told(messages, learned)


def encode(tokenizer: Any, told: Told, *, name: str) -> TokenSequence:
    """All tokens of the conversation with their mask."""
    coded = template.encode(tokenizer, told.messages, name=name)
    trained = np.isin(coded.owner, told.learned)
    trained[:1] = False  # nothing stands before the first token to predict it from
    return TokenSequence(coded.ids, trained)


def _longest_turn(sequence: TokenSequence) -> int:
    """Tokens of the longest trained turn: headers stand between any two."""
    edges = np.flatnonzero(np.diff(sequence.trained, prepend=False, append=False))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _leaves(told: Told) -> bool:
    return told.messages[-1] == Turn("user", "")


def _learned(conversation: Conversation, role: TrainedRole) -> list[int]:
    """Turns of `role`, less carried context and an answer that preparing had to cut: it would teach to break off."""
    stop = len(conversation.messages) - bool(role == "assistant" and conversation.meta.get("answer_cut"))
    return [n for n in range(conversation.context_turns, stop) if conversation.messages[n].role == role]
