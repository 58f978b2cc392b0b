"""Showing model text in a terminal, which must not be able to do anything there but be read."""

import sys
import unicodedata
from typing import TextIO

INDENT = "  "
"""Before every further line of a turn, so that no turn can pretend to be the next one."""

_HARMLESS = {"\n", "\t"}


def readable(text: str) -> str:
    """`text` with control characters, text-direction marks and lone surrogates spelled out (`\\x1b`, `\\u202e`)."""
    return "".join(c if c in _HARMLESS or not _acts(c) else _spelled(c) for c in text)


def indented(text: str) -> str:
    """Readable text whose further lines stand in from the label before its first."""
    return readable(text).replace("\n", "\n" + INDENT)


def label(role: str, out: TextIO = sys.stdout) -> str:
    """What stands before a turn; in colour where the terminal has some."""
    if not out.isatty():
        return f"{role}: "
    return f"\x1b[1;{'36' if role == 'user' else '33'}m{role}:\x1b[0m "


def _acts(character: str) -> bool:
    """Whether a terminal does something other than show it."""
    kind = unicodedata.category(character)
    bidirectional = unicodedata.bidirectional(character) in _DIRECTIONS
    return kind in ("Cc", "Cs", "Zl", "Zp") or bidirectional


_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
