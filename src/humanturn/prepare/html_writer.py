"""Markdown as it is written from a stream of tags and text."""

import re
from functools import lru_cache
from html import unescape

from humanturn.prepare.markdown_blocks import Frame, table

TAG = re.compile(r"""(<[a-zA-Z/!][^<>"']*+(?:"[^"]*+"[^<>"']*+|'[^']*+'[^<>"']*+)*+>)""")
"""A tag; its attributes may hold `>`. Nothing in it is ever tried twice."""

_NAME = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_ATTRIBUTE = r"""\b{}=(?:"([^"]*)"|'([^']*)')"""
_INLINE = {"strong": "**", "b": "**", "em": "*", "i": "*", "del": "~~", "s": "~~"}
_LOOSE_ITEM = "<li data-loose>"
"""Our own mark for an item that holds one paragraph."""
_SHORT = (
    ("<strong>", "**"),
    ("</strong>", "**"),
    ("</p><p>", "\n\n"),
    ("<li><p>", _LOOSE_ITEM),
    ("</p></li>", "</li>"),
)
"""Tags that can be written at once, wherever they stand."""
_SIMPLE = {"<p>": "</p>", "<li>": "</li>", _LOOSE_ITEM: "</li>", "<td>": "</td>", "<th>": "</th>"}
_UNSEEN = frozenset({"button", "svg", "script", "style", "head", "noscript", "template"})
_PLAIN_BLOCKS = frozenset(
    {"p", "div", "section", "article", "header", "footer", "main", "figure", "dl", "dt", "dd", "form", "body", "html"}
)


SLICE = 1 << 20
"""Characters taken apart at a time, because a list of all the tags of a very long answer is many times as large."""
MAX_DEPTH = 64
"""Lists and quotes nested deeper than this are written at this depth."""


@lru_cache(maxsize=4096)
def _parse(tag: str) -> tuple[str, bool]:
    """Name of a tag in lower case (empty for comments), and whether it closes."""
    match = _NAME.match(tag)
    return (match[2].lower(), bool(match[1])) if match else ("", False)


def _attribute(tag: str, name: str) -> str:
    match = re.search(_ATTRIBUTE.format(name), tag)
    return unescape(match[1] if match[1] is not None else match[2]) if match else ""


class Writer:
    """Takes tags and text in order; lists, quotes and tables stand open as frames on a stack."""

    def __init__(self) -> None:
        self.stack = [Frame("root")]
        self.top = self.stack[0]
        self.unseen = ""
        """Name of the element whose content is being passed over, and how deep in it we are."""
        self.unseen_depth = 0
        self.code_from = -1
        """Where in the open inline text a code span began; -1 outside."""
        self.links: list[str] = []

    def prose(self, text: str) -> None:
        """HTML without `<pre>`."""
        at = 0
        while len(text) - at > SLICE:
            end = text.find("<", at + SLICE)
            end = len(text) if end < 0 else end
            self._slice(text[at:end])
            at = end
        self._slice(text[at:])

    def _slice(self, text: str) -> None:
        if "`" not in text and not self.unseen:
            text = text.replace("<code>", "`").replace("</code>", "`")
        for tag, written in _SHORT:
            text = text.replace(tag, written)
        pieces = TAG.split(text)
        number, last = 0, len(pieces) - 1
        while number <= last:
            piece = pieces[number]
            if piece and not self.unseen:
                self.top.inline.append(unescape(piece) if "&" in piece else piece)
            if number == last:
                break
            tag = pieces[number + 1]
            number += 2
            if self.unseen:
                self._pass_over(*_parse(tag))
            elif pieces[number + 1 : number + 2] == [_SIMPLE.get(tag)]:
                self._simple(tag, pieces[number])
                number += 2
            else:
                name, closing = _parse(tag)
                if closing:
                    self._close(name)
                else:
                    self._open(name, tag)

    def _simple(self, tag: str, text: str) -> None:
        """An element with nothing but text in it, which most are; what `_open` and `_close` would make of it."""
        if "&" in text:
            text = unescape(text)
        top = self.top
        if tag == "<p>":
            top.flush()
            top.loose = True
            top.inline.append(text)
            top.flush()
        elif tag in ("<li>", _LOOSE_ITEM) and top.kind in ("ul", "ol"):
            top.flush()
            top.item(text.strip(), loose=tag == _LOOSE_ITEM)
        elif tag in ("<td>", "<th>") and top.kind == "table":
            top.add_cell(text.strip())
        else:
            name, _ = _parse(tag)
            self._open(name, tag)
            self.top.inline.append(text)
            self._close(name)

    def block(self, text: str) -> None:
        """A finished block, such as a code fence."""
        if not self.unseen:
            self.top.flush()
            self.top.blocks.append(text)

    def finish(self) -> str:
        """Close what is open and hand out the text."""
        while len(self.stack) > 1:
            self._pop()
        self.top.flush()
        return "\n\n".join(self.top.blocks).strip()

    def _pass_over(self, name: str, closing: bool) -> None:
        if name == self.unseen:
            self.unseen_depth += -1 if closing else 1
            if not self.unseen_depth:
                self.unseen = ""

    def _open(self, name: str, tag: str) -> None:
        if name in _PLAIN_BLOCKS:
            self.top.flush()
            self.top.loose |= name == "p"
        elif name in _INLINE:
            self.top.inline.append(_INLINE[name])
        elif name in _UNSEEN or (name == "span" and "katex-html" in tag):
            self.unseen, self.unseen_depth = name, 1
        elif name == "code":
            self.code_from = len(self.top.inline)
        elif name == "br":
            self.top.inline.append("\n")
        elif name in ("ul", "ol"):
            first = _attribute(tag, "start")
            self._push(Frame(name, number=int(first) if first.isdecimal() and len(first) < 9 else 1))
        elif name == "li":
            self._close_until("li", {"ul", "ol"})
            self._push(Frame("li"))
            self.top.loose = tag == _LOOSE_ITEM
        elif name in ("blockquote", "table"):
            self._push(Frame(name))
        else:
            self._open_rare(name, tag)

    def _open_rare(self, name: str, tag: str) -> None:
        if len(name) == 2 and name[0] == "h" and name[1] in "123456":
            self.top.flush()
            self.top.inline.append("#" * int(name[1]) + " ")
        elif name == "hr":
            self.block("---")
        elif name == "tr" and self.top.kind == "table":
            self.top.rows.append([])
        elif name in ("td", "th"):
            self._close_until("cell", {"table"})
            if self.top.kind == "table":
                self._push(Frame("cell"))
        elif name == "a":
            self.links.append(_attribute(tag, "href"))
            self.top.inline.append("[")
        elif name == "img":
            self.top.inline.append(f"![{_attribute(tag, 'alt')}]({_attribute(tag, 'src')})")

    def _close(self, name: str) -> None:
        if name in _PLAIN_BLOCKS:
            self.top.flush()
        elif name in _INLINE:
            self.top.inline.append(_INLINE[name])
        elif name == "code":
            self._close_code()
        elif name in ("ul", "ol", "li", "blockquote", "table"):
            self._close_until(name, {"li": {"ul", "ol"}}.get(name, set()))
        elif name in ("td", "th"):
            self._close_until("cell", {"table"})
        elif name == "a" and self.links:
            self.top.inline.append(f"]({self.links.pop()})")
        elif len(name) == 2 and name[0] == "h":
            self.top.flush()

    def _close_code(self) -> None:
        """Wrap the code span in more backticks than stand in it."""
        if self.code_from < 0:
            return
        inline = self.top.inline
        code = "".join(inline[self.code_from :])
        runs = [len(run) for run in re.findall(r"`+", code)]
        ticks = "`" * next(n for n in range(1, len(runs) + 2) if n not in runs)
        pad = " " if code.startswith("`") or code.endswith("`") else ""
        inline[self.code_from :] = [f"{ticks}{pad}{code}{pad}{ticks}"]
        self.code_from = -1

    def _push(self, frame: Frame) -> None:
        self.top.flush(paragraph=frame.kind != "cell")
        if len(self.stack) < MAX_DEPTH:
            self.stack.append(frame)
            self.top = frame

    def _close_until(self, kind: str, within: set[str]) -> None:
        """Close the nearest open `kind`, unless one of `within` stands before it."""
        for frame in reversed(self.stack):
            if frame.kind == kind:
                break
            if frame.kind in within:
                return
        else:
            return
        while self._pop() != kind:
            pass

    def _pop(self) -> str:
        """Close the innermost frame into the one around it; return its kind."""
        frame = self.stack.pop()
        self.top = self.stack[-1]
        self.code_from = -1
        frame.flush()
        if frame.kind == "cell":
            self.top.add_cell(" ".join(frame.blocks))
        elif frame.kind == "table":
            self.top.blocks += [*frame.blocks, *filter(None, [table(frame.rows)])]
        elif frame.kind == "li":
            self.top.item(("\n\n" if frame.loose else "\n").join(frame.blocks), loose=frame.loose)
        elif frame.kind == "blockquote":
            quoted = "\n\n".join(frame.blocks).replace("\n", "\n> ")
            self.top.blocks.append(f"> {quoted}")
        elif frame.blocks:
            self.top.blocks.append(("\n\n" if frame.loose else "\n").join(frame.blocks))
        return frame.kind
