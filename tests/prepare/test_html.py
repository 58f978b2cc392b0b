import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from humanturn.conversation import Turn
from humanturn.prepare.html import is_html, to_markdown
from humanturn.prepare.turns import tidy

WRAPPER = '<div class="markdown prose w-full break-words dark:prose-invert dark">'
HEADER = (
    '<div class="flex items-center relative text-gray-200 bg-gray-800 px-4 py-2 text-xs font-sans">'
    '<span class="">{}</span><button class="flex ml-auto gap-2"><svg><path d="M16 4h2"></path></svg>'
    "Copy code</button></div>"
)


def page(inside):
    return f"{WRAPPER}{inside}</div>"


def code(text, language=""):
    return (
        f'<pre><div class="bg-black mb-4 rounded-md">{HEADER.format(language)}<div class="p-4 overflow-y-auto">'
        f'<code class="!whitespace-pre-wrap hljs language-{language}">{text}</code></div></div></pre>'
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("<p>One.</p><p>Two &amp; <strong>three</strong>, <em>four</em>.</p>", "One.\n\nTwo & **three**, *four*."),
        ("<h2>Head</h2><p>Text<br>next</p><hr>", "## Head\n\nText\nnext\n\n---"),
        ("<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>", "- a\n- b\n  - c"),
        ('<ol start="3"><li><p>a</p></li><li><p>b</p><p>c</p></li></ol>', "3. a\n\n4. b\n\n   c"),
        ("<blockquote><p>q</p><p>r</p></blockquote>", "> q\n> \n> r"),
        ('<p>See <a href="https://x.org/?a=1&amp;b=2">here</a>.</p>', "See [here](https://x.org/?a=1&b=2)."),
        ("<p>Use <code>a `b`</code>.</p>", "Use `` a `b` ``."),
        ('<p><img alt="cat" src="c.png"></p>', "![cat](c.png)"),
        (
            "<table><thead><tr><th>a</th><th>b</th></tr></thead>"
            "<tbody><tr><td>1</td><td>x | y</td></tr></tbody></table>",
            "| a | b |\n| --- | --- |\n| 1 | x \\| y |",
        ),
        (code("x = 1\n", "python"), "```python\nx = 1\n```"),
        (code('<span class="hljs-k">if</span> a &lt; b:\n    pass\n', "python"), "```python\nif a < b:\n    pass\n```"),
        (code("```\ninner\n```\n", "md"), "````md\n```\ninner\n```\n````"),
        ("<ol><li>Run:" + code("ls\n", "sh") + "</li></ol>", "1. Run:\n   ```sh\n   ls\n   ```"),
        ("<pre>plain &lt;text&gt;</pre>", "```\nplain <text>\n```"),
        ("<p>a &lt;b&gt; c</p>", "a <b> c"),
        (
            '<p><span class="katex"><span class="katex-mathml"><math><semantics><mrow><mi>x</mi></mrow>'
            '<annotation encoding="application/x-tex">x^2</annotation></semantics></math></span>'
            '<span class="katex-html" aria-hidden="true"><span>x</span>2</span></span> grows.</p>',
            "$x^2$ grows.",
        ),
    ],
)
def test_elements_become_the_markdown_they_were_rendered_from(given, expected):
    assert to_markdown(page(given)) == expected


def test_the_page_around_the_answer_goes():
    pager = '<div class="text-xs flex">1 / 2</div>'
    assert to_markdown(pager + page("<p>Hi</p>") + "Copy21 chars / 5 words") == "Hi"
    assert to_markdown("2 / 3" + page("<p>Hi</p>")) == "Hi"


def test_what_looks_like_the_page_but_is_the_answer_stays():
    answer = "1 / 2 is a half.\n\nClick Copy code.\n\nThat makes 21 chars / 5 words, or so."
    html = "".join(f"<p>{part}</p>" for part in answer.split("\n\n"))
    assert to_markdown(page(html)) == answer


def test_a_language_that_only_the_label_names_is_kept():
    html = code("x\n", "").replace('<span class=""></span>', '<span class="">rust</span>')
    assert to_markdown(page(html)) == "```rust\nx\n```"


@pytest.mark.parametrize(
    "text",
    [
        "Use `<div>` here.",
        "```html\n<div class='a'><p>x</p></div>\n```",
        "<html>\n<body>\n<p>Answers may be code.</p>",
        "a < b and c > d",
        "<p> is a paragraph tag.",
        "",
    ],
)
def test_markdown_is_not_taken_for_html(text):
    assert not is_html(text)


def test_pages_without_the_wrapper_are_html_too():
    assert is_html("<p>One</p><ul><li>a</li></ul>")
    assert is_html("<p>One</p>Copy3 chars / 1 words")


@pytest.mark.parametrize(
    "tag", ["div", "ul><li", "blockquote", "span", "b", "table><tr><td", "ol><li><p", "button", "svg"]
)
def test_twenty_thousand_nested_elements_take_a_moment(tag):
    names = re.findall(r"\w+", tag)
    closing = "".join(f"</{name}>" for name in reversed(names))
    began = time.process_time()
    text = to_markdown(page(f"<p>before</p>{f'<{tag}>' * 20_000}deep{closing * 20_000}<p>after</p>"))
    assert time.process_time() - began < 3
    assert text.startswith("before")
    assert text.endswith("after")
    assert "deep" in text or tag in ("button", "svg")


@pytest.mark.parametrize(
    "piece", ["<a ", "<", '<a "', "<a '", "<button", "&", "`", "</p>", "<pre>", "<!--", "<li>", "1 / 2<div>"]
)
def test_a_megabyte_of_nonsense_takes_time_in_proportion_to_its_length(piece):
    def seconds(size):
        text = page(piece * (size // len(piece)))
        began = time.process_time()
        to_markdown(text)
        return time.process_time() - began

    assert seconds(1 << 20) < 3


PIECES = "<p> </p> <li> </li> <ul> </ul> <td> </td> <tr> <table> </table> <code> </code> <br> <blockquote> x &lt; ` <b>"


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([*PIECES.split(), "\n", "<pre><code>x</code></pre>", "<pre><code>x</code>x</pre>"])))
def test_tags_in_any_order_lose_no_text(pieces):
    text = to_markdown(page("".join(pieces)))
    assert text.count("x") == "".join(pieces).count("x")


def test_real_answers_keep_every_fence_and_its_language(sharegpt_700):
    """A sample of the figure that benchmarks/prepare.py takes over the whole file."""
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    renderer.add_render_rule("fence", lambda self, tokens, at, options, env: code(
        tokens[at].content.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"),
        (tokens[at].info.split() or [""])[0],
    ))  # fmt: skip
    fences = exact = 0
    for record in json.loads(sharegpt_700.read_text())[:300]:
        for turn in record["conversations"]:
            if turn["from"] == "gpt":
                html = renderer.render(turn["value"])
                found = [t for t in MarkdownIt().parse(to_markdown(page(html))) if t.type == "fence"]
                meant = [t for t in renderer.parse(turn["value"]) if t.type == "fence"]
                fences += len(meant)
                exact += sum(
                    a.content == b.content and a.info.split()[:1] == b.info.split()[:1]
                    for a, b in zip(meant, found, strict=False)
                )
    assert fences > 100
    assert exact / fences >= 0.995


def test_a_page_shown_as_code_is_no_page():
    answer = 'Use this:\n\n```html\n<div class="markdown-body"><p>Hello</p></div>\n```\n'
    assert not is_html(answer)


def test_html_that_somebody_asked_for_stays_html():
    answer = Turn("assistant", "<h1>Rye</h1><p>A grain.</p><ul><li>old</li></ul>")
    assert tidy(answer, from_page=False) == answer
    assert tidy(answer) != answer
