"""Markdown of models and questions as HTML that can do nothing: no raw HTML, no images, no scripts; code in colour."""

from functools import cache
from typing import Any

import markdown_it
from markupsafe import Markup, escape

LONGEST_CODE = 20_000
"""Characters of code that are coloured; longer code is shown plain."""
STYLE = "xcode"
"""The one light style of Pygments whose colours all have AA contrast on our code's ground."""


def markdown(text: str) -> Markup:
    """HTML of `text`. Raw HTML is shown as text, links open outside without saying where from, images become links."""
    return Markup(_parser().render(text))


def code_style() -> str:
    """The style sheet of coloured code."""
    from pygments.formatters import HtmlFormatter

    formatter: Any = HtmlFormatter(style=STYLE)
    rules = formatter.get_style_defs("pre code")
    return "\n".join(rule for rule in str(rules).splitlines() if rule.startswith("pre code ."))


@cache
def _parser() -> markdown_it.MarkdownIt:
    parser = markdown_it.MarkdownIt("commonmark", {"html": False, "highlight": _highlight, "breaks": True})
    parser.enable(["table", "strikethrough"])
    parser.disable("image")
    parser.add_render_rule("link_open", _link_open)
    parser.add_render_rule("heading_open", _heading)
    parser.add_render_rule("heading_close", lambda renderer, tokens, index, options, env: "</p>\n")
    return parser


def _highlight(code: str, language: str, _: str) -> str:
    """Coloured code; an empty string lets the parser escape it plainly."""
    import pygments
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    if not language or len(code) > LONGEST_CODE:
        return ""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return ""
    return str(pygments.highlight(code, lexer, HtmlFormatter(nowrap=True)))


def _link_open(_: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    href = escape(tokens[index].attrGet("href") or "")
    return f'<a href="{href}" target="_blank" rel="noopener noreferrer nofollow">'


def _heading(_: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    """Headings of answers are no headings of the page."""
    return f'<p class="heading {tokens[index].tag}">'
