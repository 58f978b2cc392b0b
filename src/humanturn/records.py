"""What one stage writes and another reads, other than conversations."""

from typing import Any

import msgspec


class Dropped(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record that a rule removed: one line of `dropped.jsonl`."""

    id: str
    rule: str
    """Name of the rule, as in the funnel."""
    reason: str
    """One sentence for a person."""
    source: str | None = None
    turns: int = 0
    """Turns lost with it."""


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model said, and what it cost."""

    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    """`stop`, or `length` when the token limit cut it."""
    seconds: float = 0.0
    usd: float | None = None
    """What it cost, where its price is known."""


class TurnLikelihood(msgspec.Struct, frozen=True):
    """How a model predicted one turn of a conversation."""

    session_id: str
    turn: int
    """Index of the turn in its conversation."""
    first: bool
    """True for the first user turn of a session."""
    tokens: int
    """Predicted tokens: the turn's text and its end-of-turn token."""
    nll: float
    """Sum over those tokens of -log p, in nats."""
    bytes: int
    """UTF-8 bytes of the turn's text."""


QuestionId = int | str


class Question(msgspec.Struct, frozen=True):
    """A benchmark question: one line of a FastChat question file."""

    question_id: QuestionId
    category: str
    turns: tuple[str, ...]
    reference: tuple[str, ...] = ()
    """Reference answers by turn, where the file gives them."""


class Choice(msgspec.Struct, frozen=True):
    """An answer's text, turn by turn."""

    index: int
    turns: tuple[str, ...]


class Answer(msgspec.Struct, frozen=True):
    """A model's answer to a benchmark question: one line of a FastChat answer file."""

    question_id: QuestionId
    model_id: str
    choices: tuple[Choice, ...]


class Measurement(msgspec.Struct, frozen=True, omit_defaults=True):
    """A number with its sample size and 95 % interval."""

    value: float
    n: int
    low: float | None = None
    high: float | None = None
    unit: str | None = None


class StageResult(msgspec.Struct, frozen=True):
    """What a stage function hands back."""

    stage: str
    result: dict[str, Any]
    """The stage's summary, as stored in its manifest."""
    skipped: bool
    """True when the finished output of an earlier call was found and kept."""
    seconds: float
