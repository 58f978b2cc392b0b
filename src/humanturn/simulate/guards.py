"""What a user turn must not be. A turn that trips a guard is discarded and asked for anew, never edited.

Each guard is a function of the candidate turn and the turns before it; on real human turns together they raise fewer
than one false alarm in a hundred (measured by a test where the data is at hand).
"""

import re
from collections.abc import Callable, Sequence

from humanturn.conversation import Turn
from humanturn.records import Reply

SHORT_WORDS, SHORT_REPEATS = 3, 3

_ASSISTANT = re.compile(
    r"^(as an ai\b|i(?:'m| am) (?:just )?an? (?:ai|language model)\b|i(?:'m| am) sorry,? but (?:as an|i can(?:'t|not))"
    r"|(?:sure|certainly|absolutely|of course)[!,.] (?:here|i(?:'d| would|'ll| will| can))"
    r"|i(?:'d| would) be happy to (?:help|assist)|how (?:can|may) i (?:help|assist) you)",
    re.IGNORECASE,
)
_TEMPLATE = re.compile(r"<\|[a-z_]+\|>|</?s>|\[/?INST\]|^(?:user|assistant|human|system):?\s*\n", re.IGNORECASE)
_THANKS = re.compile(
    r"^\W*(?:(?:ok|okay|great|perfect|awesome|wow)\W+)*"
    r"(?:thanks?(?: you| a lot| so much)?|thank you(?: very| so)? ?(?:much)?|bye|goodbye)\W*$",
    re.IGNORECASE,
)


def empty(reply: Reply, before: Sequence[Turn]) -> bool:
    """No text at all."""
    return not reply.text.strip()


def unfinished(reply: Reply, before: Sequence[Turn]) -> bool:
    """Cut by its token limit, so not a turn a person sent."""
    return reply.finish_reason == "length"


def template_text(reply: Reply, before: Sequence[Turn]) -> bool:
    """Control tokens or role headers leaked into the text."""
    return _TEMPLATE.search(reply.text) is not None


def answers(reply: Reply, before: Sequence[Turn]) -> bool:
    """Speaks as an assistant does."""
    return _ASSISTANT.match(reply.text.lstrip()) is not None


def repeats(reply: Reply, before: Sequence[Turn]) -> bool:
    """Says word for word what was said before: an earlier user turn, or the answer it follows.

    People do say "continue" again and again, so the shortest turns may recur, though not without end.
    """
    said = _normal(reply.text)
    times = sum(turn.role == "user" and _normal(turn.content) == said for turn in before)
    echoes = bool(before) and _normal(before[-1].content) == said
    return echoes or times > (SHORT_REPEATS if len(said.split()) <= SHORT_WORDS else 0)


def thanks_again(reply: Reply, before: Sequence[Turn]) -> bool:
    """Nothing but thanks or a goodbye, after a user turn that was nothing else either."""
    last = next((turn.content for turn in reversed(before) if turn.role == "user"), "")
    return _THANKS.match(reply.text) is not None and _THANKS.match(last) is not None


GUARDS: dict[str, Callable[[Reply, Sequence[Turn]], bool]] = {
    guard.__name__: guard for guard in (empty, unfinished, template_text, answers, repeats, thanks_again)
}


def tripped(reply: Reply, before: Sequence[Turn]) -> str | None:
    """Name of the first guard that objects to `reply` as the next user turn."""
    return next((name for name, guard in GUARDS.items() if guard(reply, before)), None)


def _normal(text: str) -> str:
    return " ".join(text.lower().split())
