"""Cut sessions into segments that fit the token budget and carry their context (paper, section 3.1.3).

A segment ends with an assistant turn. A later one opens with the assistant turn before it, so that no human turn loses
what it answers; where that does not fit it is cut from its head. An answer that alone breaks the budget is cut from its
tail: the human turn before it is worth keeping. Only a human turn too long for any segment is lost, and counted.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from humanturn.conversation import Conversation, Turn
from humanturn.prepare.turns import Loss
from humanturn.scaffold import Overhead

Count = Callable[[Sequence[str]], list[int]]

_SPACE = re.compile(r"\s+")

LEAST = 32
"""Tokens of an answer, or of a carried context, below which it is no use; a human turn that leaves less room goes."""
LONGEST_TOKEN = 32
"""Characters; a text whose tokens are longer on average is cut shorter than it had to be."""
CONTEXT = 256
"""Tokens of context that an over-long answer makes room for."""


class Cut(msgspec.Struct):
    """The segments of one session, and what they hold."""

    segments: list[Conversation]
    losses: list[Loss]
    tokens: int = 0
    """Of the rendered segments, template and carried context included."""
    truncated_context: int = 0
    truncated_answers: int = 0


class _Task(msgspec.Struct, frozen=True):
    """A session to cut, with the sizes of its turns."""

    session: Conversation
    counts: Sequence[int]
    count: Count
    budget: int
    """Tokens of a segment without the preface."""
    user: int
    """Tokens that the template adds to a user turn."""
    assistant: int

    def round(self, at: int) -> int:
        """Tokens of the human turn at `at` and its answer."""
        return self.user + self.counts[at] + self.assistant + self.counts[at + 1]

    def context(self, at: int) -> int:
        """Tokens of the assistant turn before `at`."""
        return self.assistant + self.counts[at - 1] if at else 0


def cut(session: Conversation, counts: Sequence[int], *, count: Count, overhead: Overhead, max_tokens: int) -> Cut:
    """Cut a session whose turns alternate and end with an answer.

    Args:
        session: its turns, tidied and repaired; an assistant turn may open it. `meta.ends` (the human left after the
            last answer) goes to the segment that holds that answer to its end.
        counts: tokens of each turn's content.
        count: counts the tokens of texts, for what has to be shortened.
        overhead: tokens that the template adds.
        max_tokens: no rendered segment is longer.
    """
    budget = max_tokens - overhead.preface
    task = _Task(session, counts, count, budget, overhead.per_turn["user"], overhead.per_turn["assistant"])
    turns, made = session.messages, Cut([], [])
    at = int(turns[0].role == "assistant")
    while at < len(turns):
        end, used = at, task.context(at)
        while end < len(turns) and used + task.round(end) <= budget:
            used += task.round(end)
            end += 2
        if end > at:
            _add(made, session, at, turns[max(at - 1, 0) : end], overhead.preface + used)
        else:
            end = at + 2
            shortened = _shortened(task, at)
            if shortened:
                _add(made, session, at, shortened[0], overhead.preface + shortened[1])
            else:
                made.losses.append(_too_long(at, counts, alone=at == 1))
        at = end
    if len(made.segments) > 1:
        made.segments = [
            msgspec.structs.replace(segment, id=f"{session.id}#{number}")
            for number, segment in enumerate(made.segments, 1)
        ]
    return made


def _shortened(task: _Task, at: int) -> tuple[Sequence[Turn], int] | None:
    """The round at `at` with its context, one or both shortened, and its tokens; None when the human turn is too long.

    The context gives way first. Where that is not enough, the answer is cut and some context stays.
    """
    turns, counts = task.session.messages, task.counts
    scaffold = task.user + task.assistant + (task.assistant if at else 0)
    room = task.budget - scaffold - counts[at]
    lead, lead_size = (turns[at - 1].content, counts[at - 1]) if at else ("", 0)
    if room < min(LEAST, counts[at + 1]) + min(LEAST, lead_size):
        return None
    spare = room - counts[at + 1]
    lead_room = min(lead_size, spare if spare >= min(LEAST, lead_size) else min(CONTEXT, room // 2))
    answer, answer_size = _shorten(turns[at + 1].content, counts[at + 1], room - lead_room, task.count, head=True)
    lead, lead_size = _shorten(lead, lead_size, room - answer_size, task.count, head=False)
    context = [Turn("assistant", lead)] if at else []
    used = scaffold + counts[at] + lead_size + answer_size
    return [*context, turns[at], Turn("assistant", answer)], used


def _add(made: Cut, session: Conversation, at: int, turns: Sequence[Turn], tokens: int) -> None:
    """Add a segment whose first round is the session's at `at`."""
    meta: dict[str, Any] = dict(session.meta)
    last = at + len(turns) - bool(at) == len(session.messages)
    if not last or turns[-1] != session.messages[-1]:
        meta.pop("ends", None)
    if at > 1:
        meta["context_turns"] = 1
    if at and turns[0] != session.messages[at - 1]:
        meta["context_cut"] = True
        made.truncated_context += 1
    if len(turns) <= 3 and turns[-1] != session.messages[at + 1]:
        meta["answer_cut"] = True
        made.truncated_answers += 1
    made.tokens += tokens
    made.segments.append(
        Conversation(
            id=session.id, messages=tuple(turns), source=session.source, parent_id=session.session_id, meta=meta
        )
    )


def _too_long(at: int, counts: Sequence[int], *, alone: bool) -> Loss:
    """The human turn at `at` with its answer, and (`alone`) the assistant turn that opened the session."""
    tokens = counts[at] + counts[at + 1] + (counts[0] if alone else 0)
    reason = f"human turn {at} of {counts[at]} tokens leaves no room for its answer"
    return Loss("too_long", reason, 3 if alone else 2, 1, tokens)


def _shorten(text: str, size: int, room: int, count: Count, *, head: bool) -> tuple[str, int]:
    """The longest head or tail of `text` that is at most `room` tokens, cut between words; and its tokens."""
    if size <= room:
        return text, size
    most = room * LONGEST_TOKEN  # a look at the whole of a very long turn is not needed to cut a little off its end
    text = text[:most] if head else text[len(text) - min(most, len(text)) :]
    low, high = 0, len(text)
    best, tokens = "", 0
    while high - low > max(8, len(text) // 400):
        middle = (low + high) // 2
        piece = _between_words(text, middle, head)
        length = count([piece])[0]
        if length <= room:
            low, best, tokens = middle, piece, length
        else:
            high = middle
    return best, tokens


def _between_words(text: str, length: int, head: bool) -> str:
    """About `length` characters from one end, without a broken word where there are words."""
    if head:
        piece = text[:length]
        space = max(piece.rfind(" "), piece.rfind("\n"))
        return (piece[:space] if length - space < 40 else piece).strip()
    piece = text[len(text) - length :]
    start = _SPACE.search(piece, 0, 40)
    return (piece[start.end() :] if start else piece).strip()
