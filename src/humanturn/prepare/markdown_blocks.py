"""Blocks of Markdown as they are put together: paragraphs, list items, tables, fences."""

import re

_LINE = re.compile(r"\n(?=[^\n])")
_BACKTICKS = re.compile(r"`{3,}")


class Frame:
    """An open list, item, quote, table, cell, or the whole text."""

    __slots__ = ("blocks", "inline", "kind", "loose", "number", "rows")

    def __init__(self, kind: str, number: int = 1) -> None:
        self.kind = kind
        self.number = number
        """Of the next item of an ordered list."""
        self.blocks: list[str] = []
        self.inline: list[str] = []
        """Text of the paragraph that is open."""
        self.rows: list[list[str]] = []
        self.loose = False
        """True when items are paragraphs, with empty lines between them."""

    def flush(self, *, paragraph: bool = True) -> None:
        """End the open paragraph; with `paragraph` false it goes on after the block that interrupts it."""
        if self.inline and paragraph:
            text = "".join(self.inline).strip()
            self.inline.clear()
            if text:
                self.blocks.append(text)

    def item(self, body: str, *, loose: bool) -> None:
        """Take a finished list item, its further lines indented to its first."""
        marker = "- "
        if self.kind == "ol":
            marker = f"{self.number}. "
            self.number += 1
        self.loose |= loose
        if "\n" in body:
            body = _LINE.sub("\n" + " " * len(marker), body)
        self.blocks.append(marker + body)

    def add_cell(self, text: str) -> None:
        """Take a finished table cell."""
        if not self.rows:
            self.rows.append([])
        self.rows[-1].append(text.replace("\n", " ").replace("|", "\\|"))


def table(rows: list[list[str]]) -> str:
    """A Markdown table; the first row is its head."""
    rows = [row for row in rows if row]
    if not rows:
        return ""
    width = max(map(len, rows))
    lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])


def fence(code: str, language: str) -> str:
    """A fenced code block, its fence longer than any run of backticks in the code."""
    longest = max((len(run) for run in _BACKTICKS.findall(code)), default=2)
    ticks = "`" * (longest + 1)
    return f"{ticks}{language}\n{code}{'' if code.endswith(chr(10)) or not code else chr(10)}{ticks}"
