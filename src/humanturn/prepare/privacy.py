"""Replace what identifies people or opens doors: e-mail addresses, telephone and card numbers, IP addresses, keys."""

import re

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[a-zA-Z]{2,24}\b")
_CARD = re.compile(r"(?<![\w.-])(?:\d[ -]?){12,18}\d(?![\w-])")
_IP = re.compile(
    r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w.]*\d)"
    r"|(?<![\w:.])(?=[\d:]*(?:[a-fA-F]|\d{3}))(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}(?![\w:])"
    r"|(?<![\w:.])(?=[a-fA-F:]*\d)(?:[0-9a-fA-F]{1,4}:){1,6}(?::[0-9a-fA-F]{1,4}){1,6}(?![\w:])"
)
_PHONE = re.compile(
    r"(?<![\w.+-])\+(?=(?:[ ().-]*\d){8})\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{1,5}(?:[ .-]?\d{2,5}){1,4}(?![\w-])"
    r"|(?<![\w.+-])(?:1[ .-])?\([2-9]\d\d\) ?\d{3}[ .-]\d{4}(?![\w-])"
    r"|(?<![\w.+-])(?:1[ .-])?[2-9]\d\d[ .-]\d{3}[ .-]\d{4}(?![\w-])"
)
_KEY = re.compile(
    r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36,}\b"
    r"|\bgithub_pat_\w{60,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bAIza[\w-]{35}|\bhf_[A-Za-z0-9]{30,}\b|\bglpat-[\w-]{20,}"
    r"|\b[sr]k_(?:live|test)_[A-Za-z0-9]{20,}|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}"
    r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z]+ )*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_TOUCHED = re.compile(r"@|\d[\d ().:+-]{5}|:[0-9a-fA-F]{0,4}:|sk-|_|AKIA|ASIA|xox|AIza|glpat|eyJ|PRIVATE KEY")
"""A text without any of these holds nothing to replace."""

KINDS = ("email", "key", "ip", "card", "phone")
"""In the order in which they are looked for: a card number is also a run of telephone digits."""


def scrub(text: str) -> tuple[str, dict[str, int]]:
    """The text with placeholders such as `[EMAIL]`, and how many of each kind were put in."""
    if not _TOUCHED.search(text):
        return text, {}
    found = dict[str, int]()
    for kind, pattern in zip(KINDS, (_EMAIL, _KEY, _IP, _CARD, _PHONE), strict=True):
        if kind == "card":
            text, count = _cards(text)
        else:
            text, count = pattern.subn(f"[{kind.upper()}]", text)
        if count:
            found[kind] = count
    return text, found


def _cards(text: str) -> tuple[str, int]:
    count = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal count
        digits = [int(char) for char in match[0] if char.isdigit()]
        if digits[0] not in (2, 3, 4, 5, 6) or not luhn(digits):
            return match[0]
        count += 1
        return "[CARD]"

    return _CARD.sub(replaced, text), count


def luhn(digits: list[int]) -> bool:
    """True when the last digit is the check digit of the others."""
    doubled = [n * 2 - 9 * (n > 4) if place % 2 else n for place, n in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0
