"""Self-chat (Baize, Xu et al., 2023): one call per seed question writes both sides of a tagged transcript.

The parser stops at the first malformed pair. With `sdf` (self-distillation with feedback) each answer is then replaced
by the best of four new ones, scored 1 to 100 by the judge. The prompts are ours.
"""

import re
from collections.abc import Sequence

import msgspec

from humanturn.conversation import Turn
from humanturn.records import Reply
from humanturn.simulate import guards
from humanturn.simulate.strategies.judging import verdict
from humanturn.simulate.table import Ended, Sitting

PROMPT = """A human and an AI assistant chat about what the human wants to know. What the human says starts with \
[|Human|], what the AI says starts with [|AI|]. The human asks follow-up questions about the same or related things \
and stops when there is nothing left to ask. The AI answers and does not ask back. Write the whole chat in this form.

A chat:
[|Human|] How do I ripen an avocado?
[|AI|] Put it into a paper bag together with a banana.
[|Human|] How long does that take?
[|AI|] One to three days, depending on how hard it is.
[|Human|] And can I stop it?
[|AI|] Yes, a ripe avocado keeps for two days in the fridge.

The next chat:
[|Human|] {question}
[|AI|]"""

SCORE = """Somebody said to an AI assistant:
{question}

Four answers:
{answers}

How helpful, right and clear is each answer? Give each a score from 1 to 100. Write only the four scores, in the order \
of the answers, with commas between them.

Scores:"""

STOP = ("\nA chat:", "\nThe next chat:")
"""What begins yet another chat."""
ANSWERS = 4
STEPS = ANSWERS + 1
"""Replies per round of SDF: the answers and their scores."""

_TAG = re.compile(r"\[\|(Human|AI)\|\]")
_NUMBERING = re.compile(r"(?:answer|\()\s*#?\d\s*[):]|^\s*\d[.)]\s|/\s*100", re.IGNORECASE | re.MULTILINE)
_STRAY = re.compile(r"^\W*(?:human|ai|user|assistant)\W*:|\[\|", re.IGNORECASE | re.MULTILINE)


async def play(sitting: Sitting) -> Ended:
    """One transcript for the question the job opens with."""
    job, table = sitting.job, sitting.table
    question = job.opening[0].content
    prompt = [Turn("user", PROMPT.format(question=question))]
    left = table.budget.left(prompt)
    if left < table.budget.user_room:
        return Ended("context", ())
    longest = msgspec.structs.replace(table.user_sampling, max_tokens=left, stop=STOP)

    def malformed(reply: Reply) -> str | None:
        return None if transcript(question, reply.text, cut=reply.finish_reason == "length") else "malformed"

    written = await sitting.first_good(0, "user", prompt, longest, malformed)
    if written is None:
        return Ended("malformed", ())
    turns = transcript(question, written.text, cut=written.finish_reason == "length")
    return Ended("written", (tuple(await _distilled(sitting, turns) if table.sdf else turns),))


def transcript(question: str, written: str, *, cut: bool) -> list[Turn]:
    """The rounds of a transcript up to its first malformed pair.

    Args:
        question: what the human says first, when the text goes on from there.
        written: what the model wrote.
        cut: a token limit ended it, so that its last piece is unfinished.
    """
    head, *tagged = _TAG.split(written)
    pieces = list(zip(tagged[::2], map(str.strip, tagged[1::2]), strict=True))
    if head.strip():
        pieces.insert(0, ("AI", head.strip()))
    if pieces and pieces[0][0] == "AI":
        pieces.insert(0, ("Human", question))
    if cut:
        pieces = pieces[:-1]
    turns: list[Turn] = []
    for (first, asked), (second, answered) in zip(pieces[::2], pieces[1::2], strict=False):
        if (first, second) != ("Human", "AI") or any(_STRAY.search(said) or not said for said in (asked, answered)):
            break
        turns += [Turn("user", asked), Turn("assistant", answered)]
    return turns


def scores(text: str) -> list[int] | None:
    """The four scores a judge wrote, or None when there are no four from 1 to 100."""
    numbers = [int(n) for n in re.findall(r"\d+", _NUMBERING.sub(" ", text))]
    return numbers if len(numbers) == ANSWERS and all(1 <= n <= 100 for n in numbers) else None


def _unparsed(reply: Reply) -> str | None:
    return None if scores(reply.text) else "unparsed"


async def _distilled(sitting: Sitting, turns: Sequence[Turn]) -> list[Turn]:
    """The transcript with the best of four answers in each round; where no score can be read its own answer stays."""
    said: list[Turn] = []
    sampling = sitting.table.assistant_sampling
    for number, (asked, answered) in enumerate(zip(turns[::2], turns[1::2], strict=True)):
        said.append(asked)
        step = 1 + number * STEPS
        answers = [
            (await sitting.hear(step + n, 0, "assistant", said, sampling, guards.silence))[0].text
            for n in range(ANSWERS)
        ]
        listed = "\n".join(f"Answer {n}: {text}" for n, text in enumerate(answers, 1))
        question = SCORE.format(question=asked.content, answers=listed)
        read = await verdict(sitting, step + ANSWERS, question, _unparsed)
        given = (scores(read) if read else None) or [0] * ANSWERS
        best = max(range(ANSWERS), key=lambda n: given[n] if answers[n] else -1)
        said.append(Turn("assistant", answers[best]) if given[best] else answered)
    return said
