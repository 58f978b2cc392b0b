"""UltraChat: one model writes an opening line, then user and assistant are played by separate calls.

The user is forbidden to exchange roles. A conversation has 3 to 7 rounds, 2 to 4 when it asks for writing or works on a
given text; exchanges of nothing but thanks are filtered afterwards. (Ding et al., 2023; the prompts are ours.)
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import Literal

import msgspec

from humanturn.conversation import Turn
from humanturn.records import Reply
from humanturn.simulate import guards
from humanturn.simulate.conversation_loop import take_turns
from humanturn.simulate.table import Ended, Sitting
from humanturn.template import as_roleplay

Kind = Literal["question", "writing", "material"]

ROUNDS: dict[Kind, tuple[int, int]] = {"question": (3, 7), "writing": (2, 4), "material": (2, 4)}
"""Fewest and most rounds."""

OPENING: dict[Kind, str] = {
    "question": "Write one question that a curious person could ask about this subject: {text}. Write only the "
    "question, in one sentence.",
    "writing": "Write one request in which a person asks somebody to write {text} for them, with a detail or two about "
    "what it should say. Write only the request, in one or two sentences.",
    "material": "Read this text:\n\n{text}\n\nWrite one request that a person could make about it, such as to "
    "summarize it, to rewrite it, or to explain a part. Write only the request, in one sentence.",
}

USER = (
    "You are a human who is chatting with an AI assistant. Say what the human says next: a follow-up question, a new "
    "wish, a doubt, something that has to do with what was said. Be short and casual. Never exchange roles: you are "
    "the human who asks, never the assistant who answers. Do not thank and do not say goodbye. Write only the human's "
    "message."
)

WRITING = frozenset({"creative_writing", "brainstorming"})
MATERIAL = frozenset({"closed_qa", "information_extraction", "summarization"})
"""Categories of Dolly that are of these kinds."""


class Subject(msgspec.Struct, frozen=True):
    """What an opening line may be about."""

    kind: Kind
    text: str


async def play(sitting: Sitting) -> Ended:
    """An opening line (or the one the job has), then so many rounds."""
    job = sitting.job
    kind, opening = (_kind(job.category), job.opening) if job.opening else await _open(sitting)
    if not opening:
        return Ended("guards", ())
    fewest, most = ROUNDS[kind]
    rounds = job.rounds or fewest + sitting.drawn("rounds") % (most - fewest + 1)
    reason, turns = await take_turns(sitting, opening, lambda turns: as_roleplay(turns, USER), rounds)
    thanks = [at for at, turn in enumerate(turns) if turn.role == "user" and guards.only_thanks(turn.content)]
    out = {at: "only_thanks" for start in thanks for at in (start, start + 1)}
    return Ended(reason, (tuple(turn for at, turn in enumerate(turns) if at not in out),), out)


@lru_cache(maxsize=1)
def subjects() -> tuple[Subject, ...]:
    """Our own subjects."""
    lines = resources.files("humanturn.simulate").joinpath("data/subjects.jsonl").read_bytes().splitlines()
    return tuple(msgspec.json.decode(line, type=Subject) for line in lines)


async def _open(sitting: Sitting) -> tuple[Kind, Sequence[Turn]]:
    """The kind of conversation and its first user turn; no turn when none was acceptable."""
    subject = subjects()[sitting.drawn("subject") % len(subjects())]
    prompt = [Turn("user", OPENING[subject.kind].format(text=subject.text))]

    def check(reply: Reply) -> str | None:
        return guards.tripped(reply, (), sitting.table.guards)

    line = await sitting.first_good(0, "user", prompt, sitting.table.user_sampling, check)
    if line is None:
        return subject.kind, ()
    said = f"{line.text}\n\n{subject.text}" if subject.kind == "material" else line.text
    return subject.kind, (Turn("user", said),)


def _kind(category: str | None) -> Kind:
    return "writing" if category in WRITING else "material" if category in MATERIAL else "question"
