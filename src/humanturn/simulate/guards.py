"""What a user turn must not be. A turn that trips a guard is discarded and asked for anew, never edited.

Each guard is a function of the candidate turn, the turns before it and the thresholds; on real human turns together
they raise fewer than one false alarm in a hundred (measured by a test where the data is at hand).
"""

import re
from collections.abc import Callable, Sequence

import pydantic

from humanturn.conversation import Turn
from humanturn.records import Reply


class Guards(pydantic.BaseModel):
    """Thresholds of the guards."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    short_words: int = pydantic.Field(3, ge=0, description="turns of up to so many words may recur ...")
    short_repeats: int = pydantic.Field(3, ge=0, description="... so often")
    copied: float = pydantic.Field(
        0.95, gt=0, description="share of a turn's runs of four words that stand in one earlier turn; above 1 is off"
    )
    copied_words: int = pydantic.Field(12, ge=4, description="shorter turns are not looked at for copying")
    off: tuple[str, ...] = pydantic.Field((), description="guards not to use, by name")

    @pydantic.field_validator("off")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in GUARDS]
        if unknown:
            raise ValueError(f"there is no guard {unknown[0]}; there are {', '.join(GUARDS)}")
        return names


_MACHINE = (
    r"(?:(?:ai|virtual|digital|helpful|friendly|large|conversational) )*(?:ai|chatbot|language model|assistant)"
    r"(?=\s*(?:[.,;:!?]|$|(?:and|so|here|that|who|which|by|with|without|trained|developed|created|designed|built)\b))"
)
"""What a machine calls itself: not an AI researcher, an assistant manager, a teaching assistant."""
_ASSISTANT = re.compile(
    rf"^(as an {_MACHINE}|i(?:'m| am) sorry,? but (?:as an|i can(?:'t|not))"
    r"|(?:sure|certainly|absolutely|of course)[!,.] (?:here|i(?:'d| would|'ll| will| can))"
    r"|i(?:'d| would) be happy to (?:help|assist)|how (?:can|may) i (?:help|assist) you)",
    re.IGNORECASE,
)
_DRIFT = re.compile(
    r"\bi(?:'m| am) (?:always |also )?(?:here|happy|ready|glad|designed) to (?:help|assist|support)"
    rf"|\bi(?:'m| am) (?:just |only )?an? {_MACHINE}"
    r"|\bas an? (?:\w+ )?(?:ai|language model|chatbot|ai assistant),|\bhow (?:can|may) i (?:help|assist) you\b",
    re.IGNORECASE,
)
_TEMPLATE = re.compile(r"<\|[a-z_]+\|>|^<s>|\[/?INST\]|^(?:user|assistant|human|system):?\s*\n", re.IGNORECASE)
_WORD = re.compile(r"\w+")
_LABEL = re.compile(r"\n\s*(?:assistant|ai|chatgpt|bot)\s*:", re.IGNORECASE)
_THANKS = re.compile(
    r"^\W*(?:(?:ok|okay|great|perfect|awesome|wow)\W+)*"
    r"(?:thanks?(?: you| a lot| so much)?|thank you(?: very| so)? ?(?:much)?|bye|goodbye)\W*$",
    re.IGNORECASE,
)


def empty(reply: Reply, before: Sequence[Turn], limits: Guards) -> bool:
    """No text at all."""
    return not reply.text.strip()


def unfinished(reply: Reply, before: Sequence[Turn], limits: Guards) -> bool:
    """Cut by its token limit, so not a turn a person sent."""
    return reply.finish_reason == "length"


def template_text(reply: Reply, before: Sequence[Turn], limits: Guards) -> bool:
    """Control tokens or role headers leaked into the text."""
    end_alone = "</s>" in reply.text and "<s>" not in reply.text  # both are struck-out text in HTML
    return end_alone or _TEMPLATE.search(reply.text) is not None


def answers(reply: Reply, before: Sequence[Turn], limits: Guards) -> bool:
    """Speaks as an assistant does: begins so, or says anywhere that it is one or is there to help."""
    return _ASSISTANT.match(reply.text.lstrip()) is not None or _DRIFT.search(reply.text) is not None


def both_sides(reply: Reply, before: Sequence[Turn], limits: Guards) -> bool:
    """Goes on as the assistant within the same turn: a speaker's label at the start of a later line."""
    return _LABEL.search(reply.text) is not None


def repeats(reply: Reply, before: Sequence[Turn], limits: Guards) -> bool:
    """Says word for word what was said before: an earlier user turn, or the answer it follows.

    People do say "continue" again and again, so the shortest turns may recur, though not without end.
    """
    said = _normal(reply.text)
    times = sum(turn.role == "user" and _normal(turn.content) == said for turn in before)
    echoes = bool(before) and _normal(before[-1].content) == said
    return echoes or times > (limits.short_repeats if len(said.split()) <= limits.short_words else 0)


def copies(reply: Reply, before: Sequence[Turn], limits: Guards) -> bool:
    """Nearly all of it stands, run of words by run of words, in an earlier user turn or the answer before it."""
    if len(_WORD.findall(reply.text)) < limits.copied_words:
        return False
    runs = _runs(reply.text)
    earlier = [turn.content for turn in before[:-1] if turn.role == "user"] + [turn.content for turn in before[-1:]]
    return any(len(runs & _runs(text)) > limits.copied * len(runs) for text in earlier)


def thanks_again(reply: Reply, before: Sequence[Turn], limits: Guards) -> bool:
    """Nothing but thanks or a goodbye, after a user turn that was nothing else either."""
    last = next((turn.content for turn in reversed(before) if turn.role == "user"), "")
    return only_thanks(reply.text) and only_thanks(last)


GUARDS: dict[str, Callable[[Reply, Sequence[Turn], Guards], bool]] = {
    guard.__name__: guard
    for guard in (empty, unfinished, template_text, both_sides, answers, repeats, copies, thanks_again)
}


def tripped(reply: Reply, before: Sequence[Turn], limits: Guards) -> str | None:
    """Name of the first guard that objects to `reply` as the next user turn."""
    used = (name for name in GUARDS if name not in limits.off)
    return next((name for name in used if GUARDS[name](reply, before, limits)), None)


def silence(reply: Reply) -> str | None:
    """What an answer must not be: `empty`."""
    return None if reply.text.strip() else "empty"


def only_thanks(text: str) -> bool:
    """True for a turn that is nothing but thanks or a goodbye."""
    return _THANKS.match(text) is not None


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return {tuple(words[at : at + 4]) for at in range(len(words) - 3)}


def _normal(text: str) -> str:
    return " ".join(text.lower().split())
