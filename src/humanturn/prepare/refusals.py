"""Answers that refuse, or speak of being a language model, told by how they open."""

import re

_OPENING = 240
"""Characters of an answer that are looked at."""

_REFUSAL = re.compile(
    r"\bas an? (?:\w+ )?(?:ai|a\.i\.|artificial intelligence|language model|large language model)\b"
    r"|\bi(?:'m| am)(?: just)? an? (?:\w+ )?(?:ai|language model|large language model)\b"
    r"|\A\W*(?:i(?:'m| am) (?:very |really |truly |so )?sorry|sorry|i apologi[sz]e|unfortunately|apologies)\b"
    r"[^.!?]{0,80}\b(?:can't|cannot|can not|unable|not able|don't have|do not have"
    r"|not (?:programmed|designed|possible))"
    r"|\A\W*i (?:can't|cannot|can not|won't|will not|am unable to|am not able to) "
    r"(?:assist|help|provide|fulfil|fulfill|comply|do that|engage|generate|create|write|support)",
    re.IGNORECASE,
)


def is_refusal(answer: str) -> bool:
    """True for an answer that opens with a refusal or the boilerplate of an assistant."""
    return bool(_REFUSAL.search(answer.replace("\u2019", "'"), 0, _OPENING))
