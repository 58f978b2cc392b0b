"""Complexity, relevancy and logicality of a corpus's questions, by a judge with the paper's prompt (appendix A.1)."""

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from humanturn import jsonl, progress, run, stats
from humanturn.analyze.errands import for_each
from humanturn.conversation import Conversation, Turn
from humanturn.models.model import ChatModel, Sampling
from humanturn.models.patience import ask
from humanturn.records import Measurement

INSTRUCTION = """\
You are a helpful, harmless, and precise assistant who checks the quality of the human's questions in the following \
multi-round conversations.
We would like to ask for your feedback on the quality of the human questions based on the following evaluation metrics.
1. Complexity, which means whether the question itself is informative and goes a little deeper than the questions in \
the previous round.
2. Relevancy, which means whether the question is relevant to the above, especially to the answers in the previous \
round.
3. Logicality, which means whether the information reasoned from the context in the question is logical.
Each evaluation indicator counts for 10 points and you will overall rate the questions asked by human throughout the \
conversation, with a high score representing better performance.
Please output in the following JSON format:
{
  Complexity: [an integer number between 1 and 10],
  Relevancy: [an integer number between 1 and 10],
  Logicality: [an integer number between 1 and 10]
}"""

DIMENSIONS = ("complexity", "relevancy", "logicality")
MOST_CHARACTERS = 12_000
"""Of a conversation, what the judge reads; a longer one loses its end, at a turn."""
TRIES = 3


class Judged(msgspec.Struct, frozen=True):
    """What the judge said of one conversation."""

    id: str
    scores: tuple[int, int, int] | None
    """Complexity, relevancy, logicality; None when no reply could be read."""
    reply: str


class Quality(msgspec.Struct, frozen=True):
    """Means over conversations, and how many replies could not be read."""

    means: dict[str, Measurement]
    unparsed: int


def judge(
    model: ChatModel,
    conversations: Sequence[Conversation],
    path: Path,
    *,
    seed: int = 0,
    concurrency: int = 16,
    retries: int = 5,
) -> Quality:
    """Have every conversation judged; `path` keeps each verdict as it comes, so that nothing is judged twice.

    A reply that cannot be read is asked for anew, with another seed, and then recorded as unparsed.

    Raises:
        EndpointError: the judge failed; its verdicts so far are kept.
    """
    jsonl.repair(path)
    known = {judged.id: judged for judged in jsonl.read(path, Judged)} if path.exists() else {}
    left = [conversation for conversation in conversations if conversation.id not in known]

    async def one(conversation: Conversation) -> None:
        scores, text = None, ""
        for attempt in range(TRIES):
            sampling = Sampling(temperature=0.0 if attempt == 0 else 0.7, max_tokens=200)
            asked_with = run.derived_seed(seed, conversation.id, attempt)
            text = (await ask(model, prompt(conversation), sampling, asked_with, retries=retries)).text
            scores = parse(text)
            if scores:
                break
        known[conversation.id] = Judged(conversation.id, scores, text)
        jsonl.append(path, known[conversation.id])
        advance(1)

    with progress.bar(f"judge with {model.name}", len(left), "conversations") as advance:
        for_each(left, one, model=model, concurrency=concurrency)
    read = [judged.scores for c in conversations if (judged := known[c.id]).scores]
    means = {name: stats.mean([scores[n] for scores in read], seed=seed) for n, name in enumerate(DIMENSIONS) if read}
    return Quality(means, len(conversations) - len(read))


def prompt(conversation: Conversation) -> list[Turn]:
    """The paper's prompt, and the conversation beneath it."""
    shown: list[str] = []
    length = 0
    for turn in conversation.messages:
        if turn.role == "system":
            continue
        line = f"{'Human' if turn.role == 'user' else 'Assistant'}: {turn.content}"
        if shown and length + len(line) > MOST_CHARACTERS:
            break
        shown.append(line[:MOST_CHARACTERS])
        length += len(line)
    return [Turn("user", f"{INSTRUCTION}\n\n[The Start of the Conversation]\n" + "\n\n".join(shown) + "\n[The End]")]


def parse(reply: str) -> tuple[int, int, int] | None:
    """Complexity, relevancy and logicality out of a reply; None unless each stands there once, from 1 to 10.

    Keys may be quoted or not, as the paper's prompt leaves them, and prose may stand around.
    """
    found = []
    for name in DIMENSIONS:
        values = set(re.findall(rf"\b{name}\b[\"'”’*]*\s*[:=][\s\"'“‘*\[]*(-?\d+(?:\.\d+)?)", reply, re.IGNORECASE))
        if len(values) != 1:
            return None
        (value,) = values
        if not value.isdigit() or not 1 <= int(value) <= 10:
            return None
        found.append(int(value))
    return found[0], found[1], found[2]
