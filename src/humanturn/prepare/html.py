"""HTML of assistant turns back to the Markdown it was rendered from (ShareGPT's raw export).

One pass over the tags with an explicit stack: no tree is built, so that depth costs nothing, and tags that only colour
code are never looked at one by one. What ShareGPT's page put around the answer (the "Copy code" button and the language
label of code blocks, "1 / 2" pagers, "123 chars / 45 words" counters) goes.
"""

import re
from html import unescape

from humanturn.prepare.html_writer import TAG, Writer
from humanturn.prepare.markdown_blocks import fence

_COUNTER = r"(?:Copy)?\s*\d+ chars / \d+ words"
_BLOCKS = "p|div|pre|ol|ul|table|h[1-6]|blockquote|hr"
_WRAPPER = re.compile(r'<div class="[^"]*\bmarkdown\b[^"]*"')
_STARTS = re.compile(rf"\s*<(?:{_BLOCKS})\b[^<>]*>", re.IGNORECASE)
_ENDS = re.compile(rf"</(?:{_BLOCKS})>\s*(?:{_COUNTER}\s*)?\Z", re.IGNORECASE)
_MARKDOWN_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)

_PAGER = re.compile(r"\s*(?:<div[^<>]*>\s*)*\d+ / \d+\s*(?:</div>\s*)*(?=<)")
_COUNTER_END = re.compile(rf"\s*{_COUNTER}\s*\Z")
_PRE = re.compile(r"<pre\b[^<>]*>")
_UPPER_CASE = re.compile(r"</?[A-Z]+")
_CODE = re.compile(r"<code\b[^<>]*>")
_FORMULA = '<span class="katex-mathml">'
_TEX = '<annotation encoding="application/x-tex">'
_LANGUAGE = re.compile(r"""\blang(?:uage)?-([^\s"']+)""")


def is_html(text: str) -> bool:
    """True for an answer in the HTML of a chat page, False for Markdown (which may hold HTML as code)."""
    if "<" not in text:
        return False
    wrapper = _WRAPPER.search(text, 0, 2000)
    if wrapper and not _MARKDOWN_FENCE.search(text, 0, wrapper.start()):
        return True
    return bool(_STARTS.match(text) and "</p>" in text and _ENDS.search(text) and not _MARKDOWN_FENCE.search(text))


def to_markdown(text: str) -> str:
    """The Markdown of an HTML answer: code fences and their languages exact, tables and lists kept, chrome gone.

    Any text is taken, well-formed or not, in time and memory proportional to its length.
    """
    if "<P" in text:  # a page as a browser hands it out has none
        text = _UPPER_CASE.sub(lambda tag: tag[0].lower(), text)
    if _FORMULA in text:
        text = _with_formulas(text)
    pager = _PAGER.match(text)
    cursor = pager.end() if pager else 0
    writer = Writer()
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
    end = end if end >= code.end() else len(inside)
    block = fence(_bare(inside[code.end() : end]), language.split("\n")[0])
    after = _bare(_without_buttons(inside[end:])).strip()
    return f"{block}\n\n{after}" if after else block


def _with_formulas(text: str) -> str:
    """KaTeX holds each formula three times; its TeX is the one to keep."""
    kept, at = list[str](), 0
    while (start := text.find(_FORMULA, at)) >= 0:
        source = text.find(_TEX, start)
        end = text.find("</annotation>", source)
        close = text.find("</math></span>", end)
        if min(source, end, close) < 0:
            break
        sign = "$$" if "math-display" in text[max(at, start - 80) : start] else "$"
        kept += [text[at:start], sign, text[source + len(_TEX) : end], sign]
        at = close + len("</math></span>")
    return "".join(kept) + text[at:]


def _without_buttons(text: str) -> str:
    kept, at = list[str](), 0
    while (start := text.find("<button", at)) >= 0 and (end := text.find("</button>", start)) >= 0:
        kept.append(text[at:start])
        at = end + len("</button>")
    return "".join(kept) + text[at:]


def _bare(text: str) -> str:
    """The text between tags."""
    return unescape("".join(TAG.split(text.replace("</span>", ""))[::2]))
