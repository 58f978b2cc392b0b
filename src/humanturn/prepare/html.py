"""HTML of assistant turns back to the Markdown it was rendered from (ShareGPT's raw export).

One pass over the tags with an explicit stack: no tree is built, so that depth costs nothing, and tags that only colour
code are never looked at one by one. What ShareGPT's page put around the answer (the "Copy code" button and the language
label of code blocks, "1 / 2" pagers, "123 chars / 45 words" counters) goes.
"""

import re
from functools import lru_cache
from html import unescape

from humanturn.prepare.markdown_blocks import Frame, fence, table

MAX_DEPTH = 64
"""Lists and quotes nested deeper than this are written at this depth."""

_COUNTER = r"(?:Copy)?\s*\d+ chars / \d+ words"
_BLOCKS = "p|div|pre|ol|ul|table|h[1-6]|blockquote|hr"
_WRAPPER = re.compile(r'<div class="[^"]*\bmarkdown\b[^"]*"')
_STARTS = re.compile(rf"\s*<(?:{_BLOCKS})\b[^<>]*>", re.IGNORECASE)
_ENDS = re.compile(rf"</(?:{_BLOCKS})>\s*(?:{_COUNTER}\s*)?\Z", re.IGNORECASE)
_MARKDOWN_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)

_PAGER = re.compile(r"\s*(?:<div[^<>]*>\s*)*\d+ / \d+\s*(?:</div>\s*)*(?=<)")
_COUNTER_END = re.compile(rf"\s*{_COUNTER}\s*\Z")
_TAG = re.compile(r"""(<[a-zA-Z/!][^<>"']*+(?:"[^"]*+"[^<>"']*+|'[^']*+'[^<>"']*+)*+>)""")
_NAME = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_ATTRIBUTE = r"""\b{}=(?:"([^"]*)"|'([^']*)')"""
_PRE = re.compile(r"<pre\b[^<>]*>")
_UPPER_CASE = re.compile(r"</?[A-Z]+")
_CODE = re.compile(r"<code\b[^<>]*>")
_LANGUAGE = re.compile(r"""\blang(?:uage)?-([^\s"']+)""")

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


def is_html(text: str) -> bool:
    """True for an answer in the HTML of a chat page, False for Markdown (which may hold HTML as code)."""
    if "<" not in text:
        return False
    if _WRAPPER.search(text, 0, 2000):
        return True
    return bool(_STARTS.match(text) and "</p>" in text and _ENDS.search(text) and not _MARKDOWN_FENCE.search(text))


def to_markdown(text: str) -> str:
    """The Markdown of an HTML answer: code fences and their languages exact, tables and lists kept, chrome gone.

    Any text is taken, well-formed or not, in time and memory proportional to its length.
    """
    if "<P" in text:  # a page as a browser hands it out has none
        text = _UPPER_CASE.sub(lambda tag: tag[0].lower(), text)
    pager = _PAGER.match(text)
    cursor = pager.end() if pager else 0
    writer = _Writer()
    while opened := _PRE.search(text, cursor):
        writer.prose(text[cursor : opened.start()])
        end = text.find("</pre>", opened.end())
        end = len(text) if end < 0 else end
        writer.block(_code_block(text[opened.end() : end]))
        cursor = end + len("</pre>")
    writer.prose(text[cursor:])
    markdown = writer.finish()
    counter = markdown.endswith("words") and _COUNTER_END.search(markdown, max(0, len(markdown) - 80))
    return markdown[: counter.start()] if counter else markdown


def _code_block(inside: str) -> str:
    """A fence out of what stands in `<pre>`: a header with label and button, and the code in coloured spans."""
    code = _CODE.search(inside)
    if code is None:
        return fence(_bare(_without_buttons(inside)), "")
    label = _LANGUAGE.search(code[0])
    language = unescape(label[1]) if label else _bare(_without_buttons(inside[: code.start()])).strip()
    end = inside.rfind("</code>")
    return fence(_bare(inside[code.end() : end if end > code.start() else len(inside)]), language.split("\n")[0])


def _without_buttons(text: str) -> str:
    kept, at = list[str](), 0
    while (start := text.find("<button", at)) >= 0 and (end := text.find("</button>", start)) >= 0:
        kept.append(text[at:start])
        at = end + len("</button>")
    return "".join(kept) + text[at:]


def _bare(text: str) -> str:
    """The text between tags."""
    return unescape("".join(_TAG.split(text.replace("</span>", ""))[::2]))


@lru_cache(maxsize=4096)
def _parse(tag: str) -> tuple[str, bool]:
    """Name of a tag in lower case (empty for comments), and whether it closes."""
    match = _NAME.match(tag)
    return (match[2].lower(), bool(match[1])) if match else ("", False)


def _attribute(tag: str, name: str) -> str:
    match = re.search(_ATTRIBUTE.format(name), tag)
    return unescape(match[1] if match[1] is not None else match[2]) if match else ""


class _Writer:
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
        if "`" not in text and not self.unseen:
            text = text.replace("<code>", "`").replace("</code>", "`")
        for tag, written in _SHORT:
            text = text.replace(tag, written)
        pieces = _TAG.split(text)
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
        elif name in _UNSEEN or (name == "span" and "katex-html" in tag) or (name == "mrow" and "math" in self.unseen):
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
            self.top.blocks.append(table(frame.rows))
        elif frame.kind == "li":
            self.top.item(("\n\n" if frame.loose else "\n").join(frame.blocks), loose=frame.loose)
        elif frame.kind == "blockquote":
            quoted = "\n\n".join(frame.blocks).replace("\n", "\n> ")
            self.top.blocks.append(f"> {quoted}")
        elif frame.blocks:
            self.top.blocks.append(("\n\n" if frame.loose else "\n").join(frame.blocks))
        return frame.kind
