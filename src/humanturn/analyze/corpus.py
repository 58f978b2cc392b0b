"""Corpus statistics: the corpus-level columns of the paper's Table 5, each with n and a 95 % interval over sessions.

Segments of one session are put together again, and turns that a segment only carries along as context are not counted
twice.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from humanturn import stats
from humanturn.analyze import lexical
from humanturn.conversation import Conversation, Turn
from humanturn.records import Measurement
from humanturn.tokens import Counter


class Column(msgspec.Struct, frozen=True):
    """One column of the corpus table."""

    key: str
    label: str
    about: str
    """One sentence for the reader of the table."""
    digits: int = 1
    percent: bool = False


COLUMNS = (
    Column("rounds", "Rounds", "Mean number of user turns that were answered, per session.", 2),
    Column("session_tokens", "Session length", "Mean tokens of a session, both sides, without template tokens.", 0),
    Column("utterance_tokens", "Utterance length", "Tokens per turn, both sides: all tokens over all turns.", 1),
    Column("user_turn_tokens", "User turn length", "Tokens per user turn.", 1),
    Column("assistant_turn_tokens", "Assistant turn length", "Tokens per assistant turn.", 1),
    Column("user_token_share", "User's share of tokens", "Tokens of user turns over all tokens.", 1, percent=True),
    Column(
        "topic_similarity",
        "Topic similarity",
        "Mean cosine similarity of the embeddings of two user turns: lower is more diverse. Needs embeddings.",
        4,
    ),
    Column(
        "topic_similarity_paper",
        "Topic similarity, the paper's",
        "The same with each turn paired with itself too; the paper prints it as topic diversity. Needs embeddings.",
        4,
    ),
    Column("mtld", "Lexical diversity", "Mean MTLD (threshold 0.72, both passes) of a user turn.", 1),
    Column(
        "human_like",
        "Human-like ratio",
        "User turns that the detector takes for a person's; turns it was taught on are left out. Needs a detector.",
        1,
        percent=True,
    ),
    Column("complexity", "Complexity", "1 to 10: does a question go deeper than the one before? Needs a judge.", 2),
    Column("relevancy", "Relevancy", "1 to 10: does it belong to what was said before? Needs a judge.", 2),
    Column("logicality", "Logicality", "1 to 10: does it follow from what was said before? Needs a judge.", 2),
)


class Session(msgspec.Struct):
    """Sums over one session."""

    id: str
    rounds: int = 0
    user_turns: int = 0
    assistant_turns: int = 0
    user_tokens: int = 0
    assistant_tokens: int = 0
    mtld_sum: float = 0.0
    mtld_turns: int = 0
    """User turns that hold a word."""


def whole(conversations: Iterable[Conversation]) -> list[Conversation]:
    """Segments of one session put together again, in order of first appearance."""
    found: dict[str, list[Turn]] = {}
    for conversation in conversations:
        found.setdefault(conversation.session_id, []).extend(conversation.messages[conversation.context_turns :])
    return [Conversation(id=name, messages=tuple(turns)) for name, turns in found.items()]


def sessions(conversations: Iterable[Conversation], count: Counter) -> list[Session]:
    """One record per session, in order of first appearance; `count` counts the tokens of texts."""
    found: dict[str, Session] = {}
    for batch in batches(conversations, 512):
        user = [c.turns_of("user") for c in batch]
        assistant = [c.turns_of("assistant") for c in batch]
        lengths = iter(count([turn for group in (*user, *assistant) for turn in group]))
        for conversation, turns in zip(batch, user, strict=True):
            session = found.setdefault(conversation.session_id, Session(conversation.session_id))
            session.rounds += conversation.rounds()
            session.user_turns += len(turns)
            session.user_tokens += sum(next(lengths) for _ in turns)
            diversities = [d for d in map(lexical.mtld, turns) if d == d]
            session.mtld_sum += sum(diversities)
            session.mtld_turns += len(diversities)
        for conversation, turns in zip(batch, assistant, strict=True):
            session = found[conversation.session_id]
            session.assistant_turns += len(turns)
            session.assistant_tokens += sum(next(lengths) for _ in turns)
    return list(found.values())


def measure(found: Sequence[Session], *, seed: int = 0) -> dict[str, Measurement]:
    """The columns of `COLUMNS` that can be had of these sessions; intervals by resampling sessions."""
    rounds, user_turns, assistant_turns, user, assistant, mtld, mtld_turns = (
        np.array(
            [
                (s.rounds, s.user_turns, s.assistant_turns, s.user_tokens, s.assistant_tokens, s.mtld_sum, s.mtld_turns)
                for s in found
            ],
            dtype=float,
        )
        .reshape(-1, 7)
        .T
    )

    def over(top: "np.ndarray[Any, Any]", bottom: "np.ndarray[Any, Any]", unit: str | None = None) -> Measurement:
        return stats.ratio_of_sums(top.tolist(), bottom.tolist(), seed=seed, unit=unit)

    each = np.ones(len(found))
    row = {
        "rounds": over(rounds, each),
        "session_tokens": over(user + assistant, each, "tokens"),
        "utterance_tokens": over(user + assistant, user_turns + assistant_turns, "tokens"),
        "user_turn_tokens": over(user, user_turns, "tokens"),
        "assistant_turn_tokens": over(assistant, assistant_turns, "tokens"),
        "user_token_share": over(user, user + assistant),
        "mtld": over(mtld, mtld_turns),
    }
    return {key: measurement for key, measurement in row.items() if measurement.value == measurement.value}


def batches(conversations: Iterable[Conversation], size: int) -> Iterable[list[Conversation]]:
    """Lists of `size` conversations, the last one shorter."""
    batch: list[Conversation] = []
    for conversation in conversations:
        batch.append(conversation)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
