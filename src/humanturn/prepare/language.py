"""The language of each turn, told from its prose: code is cut out first, else English code hides the language."""

import re
from collections.abc import Sequence

import msgspec

from humanturn.conversation import Turn

_INLINE = re.compile(r"`[^`\n]*`|https?://\S+|</?[a-zA-Z][^<>]{0,200}>")
_CODE_LINE = re.compile(
    r"^[\x00-\x7f]*[;{}=<>\\|]\s*$|^\s*(?:[#@$]|//|import |from \w+ import|def |class |return ).*$", re.MULTILINE
)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")
_LETTERS = re.compile(r"[^\W\d_]+")
_ASKS_FOR_LANGUAGE = re.compile(
    r"translat|traduc|traduz|übersetz|перевед|перевод|翻译|翻譯|訳|번역|ترجم|अनुवाद|çevir|vertaal|tłumacz|dịch"
    r"|\b(?:in|to|into|from|en|auf|на|speak|learn)\s+(?:\w+\s+)?(?:english|german|french|spanish|italian|portuguese|russian"
    r"|chinese|mandarin|cantonese|japanese|korean|arabic|hindi|dutch|polish|turkish|vietnamese|thai|greek|hebrew|latin"
    r"|swedish|danish|norwegian|finnish|czech|hungarian|romanian|ukrainian|indonesian|persian|farsi|urdu|bengali|tamil"
    r"|deutsch|englisch|französisch|spanisch|français|anglais|allemand|español|inglés|английск\w*|русск\w*)\b"
    r"|\blanguages?\b|用(?:中文|英文|英语|日语)|(?:中文|英文|英语)",
    re.IGNORECASE,
)
_ONLY_ENGLISH = frozenset(["the", "and", "that", "with", "you", "this", "are", "your", "what", "how"])
_ENGLISH = _ONLY_ENGLISH | {"of", "have", "to", "for", "it", "be", "can", "is", "as", "on", "not", "by", "or"}
_COMMON = frozenset(
    [
        "en",
        "de",
        "fr",
        "es",
        "it",
        "pt",
        "ru",
        "uk",
        "zh",
        "ja",
        "ko",
        "ar",
        "hi",
        "bn",
        "ur",
        "fa",
        "tr",
        "vi",
        "th",
        "nl",
        "pl",
        "sv",
        "da",
        "no",
        "fi",
        "cs",
        "hu",
        "ro",
        "el",
        "he",
        "id",
        "bg",
        "sr",
        "hr",
    ]
)
"""Languages that a detector's word is taken for when it is to condemn a session; the rest are mostly mistakes."""
_HINTS = {
    hint: re.compile(letters, re.IGNORECASE)
    for hint, letters in {
        "ru": "[а-яё]",
        "ar": "[\u0620-\u064a]",
        "hi": "[\u0900-\u097f]",
        "th": "[\u0e00-\u0e7f]",
        "de": r"[äöüß]|\b(?:und|der|die|das|nicht|ein|eine|für|mit|ist|werden|wurde|sie)\b",
        "fr": r"[éèêàçùœ]|\b(?:le|la|les|des|une|est|pour|par|dans|vous|que|pas|cette|au|du|[ldnqs](?=['’]))\b",
        "es": r"[ñ¿¡áíóú]|\b(?:el|los|las|una|para|por|que|con|es|usted)\b",
        "pt": r"[ãõç]|\b(?:os|uma|para|por|que|com|não|você|são)\b",
        "en": r"\b(?:the|and|of|to|is|are|you|this|that|for|in|a|i|it|my|me)\b",
    }.items()
}
"""Letters and words that suggest a language where the detector is at a loss."""
_OF_THEIR_OWN = {"th": 100, "hi": 90, "ru": 80}
"""Languages that most text in their script is in, and how sure that is, in percent."""
_EAST_ASIAN = re.compile("([\u3040-\u30ff])|([\uac00-\ud7af])|[\u3400-\u9fff]")
_SAYS = 3
"""Letters of an alphabet that one Chinese, Japanese or Korean character stands for."""
_SAMPLE = 400
"""Characters of prose of a turn that are looked at."""
MIN_LETTERS = 24
"""Prose shorter than this says nothing for certain about its language."""
LONG_LETTERS, TELLING = 60, 0.1
"""A switch of languages is a turn of so many letters in another one, or so large a share of the session's."""


class Heard(msgspec.Struct, frozen=True):
    """What language a turn is in."""

    code: str
    """ISO 639-1, or `un` when it cannot be told."""
    letters: int
    """Letters it was told from; a Chinese, Japanese or Korean character counts as three."""
    sure: bool
    """True when nearly all of the turn is in that language."""


UNKNOWN = Heard("un", 0, False)


def prose(text: str) -> str:
    """The start of a turn without code, addresses and characters that no language has."""
    text = text[: 6 * _SAMPLE]
    if "```" in text:
        text = "\n".join(text.split("```")[::2])
    if "`" in text or "://" in text or "</" in text:
        text = _INLINE.sub(" ", text)
    return text[:_SAMPLE]


def hear(text: str) -> Heard:
    """The language of one turn."""
    sample = prose(text)
    if sample.isascii():
        words = set(sample.lower().split())
        if len(words & _ENGLISH) >= 3 and not words.isdisjoint(_ONLY_ENGLISH):
            return Heard("en", len(sample), True)
    all_of_it = sample
    sample = _UNPRINTABLE.sub(" ", _CODE_LINE.sub("", sample))
    letters = sum(map(len, _LETTERS.findall(sample)))
    if not letters:
        return UNKNOWN
    east = [] if sample.isascii() else _EAST_ASIAN.findall(sample)
    weight = letters + (_SAYS - 1) * len(east)
    if _SAYS * len(east) > weight // 2:
        kana, hangul = (sum(bool(found[group]) for found in east) for group in (0, 1))
        code = "ko" if hangul * 2 > len(east) else "ja" if kana * 10 > len(east) else "zh"
        percent = 100 * _SAYS * len(east) // weight
    else:
        code, percent = _detect(sample)
    mostly_prose = 2 * len(sample) >= len(all_of_it)
    return Heard(code, weight, code in _COMMON and percent >= 90 and weight >= MIN_LETTERS and mostly_prose)


def _detect(sample: str) -> tuple[str, int]:
    """ISO 639-1 code and the share of the sample in it, in percent.

    CLD2 gives up on some plain texts, and takes others for English, that it knows at once when it is told what their
    letters and little words suggest.
    """
    import pycld2

    _, code, percent, score = pycld2.detect(sample, bestEffort=True)[2][0]
    if code == "un" or (code == "en" and not sample.isascii()):
        _, hint = max((len(letters.findall(sample)), hint) for hint, letters in _HINTS.items())
        _, second, share, better = pycld2.detect(sample, bestEffort=True, hintLanguage=hint)[2][0]
        if better > score:
            code, percent = second, share
        elif code == "un" and hint in _OF_THEIR_OWN and _HINTS[hint].search(sample):
            code, percent = hint, _OF_THEIR_OWN[hint]
    return {"zh-Hant": "zh", "iw": "he", "jw": "jv", "nn": "no", "nb": "no"}.get(code, code), percent


def share_of(language: str, heard: Sequence[Heard]) -> float:
    """Share of `language` among the letters of turns whose language can be told; 1 when none can."""
    known = [turn for turn in heard if turn.code != "un" and turn.letters >= MIN_LETTERS] or [
        turn for turn in heard if turn.code != "un"
    ]
    total = sum(turn.letters for turn in known)
    return sum(turn.letters for turn in known if turn.code == language) / total if total else 1.0


def main(heard: Sequence[Heard]) -> str:
    """The language with the most letters; `un` when none can be told."""
    letters = dict[str, int]()
    for turn in heard:
        if turn.code != "un":
            letters[turn.code] = letters.get(turn.code, 0) + turn.letters
    return max(letters, key=letters.__getitem__) if letters else "un"


def switch(turns: Sequence[Turn], heard: Sequence[Heard]) -> tuple[str, str] | None:
    """The two languages between which a session goes although no user turn asks for another language.

    Sessions that ask for a translation are meant to hold two languages and are kept (paper, section 3.1.3).
    """
    sure = [turn for turn in heard if turn.sure]
    others = [turn for turn in sure if turn.code != sure[0].code]
    # A single short line may be a name or a misspelt question.
    tells = sum(turn.letters for turn in others) >= TELLING * sum(turn.letters for turn in heard)
    if not (tells or any(turn.letters >= LONG_LETTERS for turn in others)):
        return None
    if not others or any(turn.role == "user" and _ASKS_FOR_LANGUAGE.search(turn.content) for turn in turns):
        return None
    return sure[0].code, others[0].code
