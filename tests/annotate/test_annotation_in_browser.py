"""The page in a real headless Chromium: annotators at work, hostile answers, keyboard, phone, contrast."""

import shutil
import sqlite3

import pytest

from example_pairs import MODELS, served, write_pairs
from humanturn.annotate.stage import export

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]

PAYLOADS = [
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<svg onload=window.pwned=1>",
    "<svg><script>window.pwned=1</script></svg>",
    "<iframe src=javascript:window.parent.pwned=1></iframe>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<body onload=window.pwned=1>",
    "<input autofocus onfocus=window.pwned=1>",
    "<details open ontoggle=window.pwned=1>x</details>",
    "<video><source onerror=window.pwned=1></video>",
    "<math><mtext></p><script>window.pwned=1</script>",
    "<style>@import 'javascript:window.pwned=1'; body{display:none}</style>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<base href=https://evil.example/>",
    "<form action=https://evil.example/><button name=choice value=first autofocus>A is better</button></form>",
    "</article></main><script>window.pwned=1</script>",
    "--><script>window.pwned=1</script><!--",
    "]]><script>window.pwned=1</script>",
    "<scr<script>ipt>window.pwned=1</scr</script>ipt>",
    "[click](javascript:window.pwned=1)",
    "[click](JaVaScRiPt:window.pwned=1)",
    "[click](java&#x09;script:window.pwned=1)",
    "[click](data:text/html;base64,PHNjcmlwdD5wYXJlbnQucHduZWQ9MTwvc2NyaXB0Pg==)",
    "[click](vbscript:window.pwned=1)",
    '[click](https://example.org "title\\" onmouseover=window.pwned=1 x=\\"")',
    "![x](https://evil.example/pixel.png)",
    "![x](javascript:window.pwned=1)",
    '<https://example.org/"onmouseover=window.pwned=1>',
    '```"><script>window.pwned=1</script>\ncode\n```',
    "```html\n<script>window.pwned=1</script>\n```",
    "| <script>window.pwned=1</script> | b |\n|---|---|\n| <img src=x onerror=window.pwned=1> | d |",
    "`<script>window.pwned=1</script>`",
    "{{ 7 * 7 }} {% raw %} ${7*7}",
    "# <script>window.pwned=1</script>",
]

INERT = """() => [...document.querySelectorAll('main *')].flatMap((e) =>
  [...e.attributes].filter((a) => /^on/i.test(a.name) || /^\\s*(javascript|vbscript|data):/i.test(a.value))
    .map((a) => `${e.tagName} ${a.name}`))
  .concat([...document.querySelectorAll('iframe, object, embed, base')].map((e) => e.tagName))
  .concat([...document.querySelectorAll(['script', 'form', 'img', 'svg', 'style', 'meta', 'link', 'input', 'button',
    'video', 'details', 'math', 'audio'].map((name) => `main ${name}`))].map((e) => e.tagName))
  .concat(window.pwned ? ['pwned'] : [])"""

CONTRAST = """() => {
  const linear = (x) => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4;
  const lum = (c) => { const v = c.map((x) => linear(x / 255));
    return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
  const parse = (s) => s.match(/[\\d.]+/g).map(Number);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
  const bad = [];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || e.disabled) continue;
    if (e.closest(':disabled')) continue;
    const a = lum(parse(getComputedStyle(e).color).slice(0, 3)), b = lum(ground(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.push(`${e.tagName}.${e.className} ${ratio.toFixed(2)}`);
  }
  return bad;
}"""


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    contexts = []

    def opened(url, **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (page.complaints.append(dialog.message), dialog.dismiss()))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def served_pairs(tmp_path):
    write_pairs(tmp_path / "pairs")
    with served(tmp_path / "pairs", tmp_path / "votes.sqlite", "ann", "bob", "cy", k=3) as links:
        yield tmp_path, links


def place(page):
    return page.url.rsplit("/", 1)[-1]


def vote_by_key(page, key):
    before = page.url
    page.keyboard.press(key)
    page.wait_for_url(lambda url: url != before)


def test_three_annotators_compare_twelve_items_one_interrupted_two_at_the_same_time(served_pairs, open_page):
    folder, links = served_pairs
    ann, bob = open_page(links["ann"]), open_page(links["bob"])
    assert place(ann) == place(bob) == "1"
    ann.get_by_label("Comment").fill("typing 1, 2, 3 and u votes nothing")
    ann.get_by_role("button", name="A is better").click()
    bob.get_by_role("button", name="B is better").click()
    for _ in range(4):
        vote_by_key(ann, "2")
    assert place(ann) == "6"
    ann.context.close()  # interrupted, and resumed in another browser
    ann = open_page(links["ann"])
    assert place(ann) == "6" and "5 of 12 done" in ann.locator("header").inner_text()
    for page, key, more in ((ann, "1", 7), (bob, "3", 11), (open_page(links["cy"]), "2", 12)):
        for _ in range(more):
            vote_by_key(page, key)
        assert "All 12 items are compared" in page.locator("h1").inner_text()
        assert page.complaints == []
    found = export(folder / "votes.sqlite", folder / "votes.jsonl", pairs=folder / "pairs")
    assert (found["votes"], found["items"], found["annotators"]) == (36, 12, 3)
    stored = (
        sqlite3.connect(folder / "votes.sqlite").execute("SELECT comment FROM votes WHERE comment != ''").fetchall()
    )
    assert stored == [("typing 1, 2, 3 and u votes nothing",)]


def test_undo_shows_the_item_again_and_a_changed_vote_is_marked(served_pairs, open_page):
    _, links = served_pairs
    page = open_page(links["ann"])
    vote_by_key(page, "1")
    vote_by_key(page, "3")
    assert place(page) == "3"
    vote_by_key(page, "u")
    assert place(page) == "2" and page.locator("button.chosen").count() == 0
    vote_by_key(page, "ArrowLeft")
    assert page.locator("button.chosen").inner_text().startswith("A is better")
    assert page.locator("button[aria-pressed=true]").count() == 1


def test_storage_and_page_hold_no_model_name(served_pairs, open_page):
    _, links = served_pairs
    page = open_page(links["bob"])
    held = page.evaluate(
        "async () => JSON.stringify([document.documentElement.outerHTML, document.cookie, {...localStorage},"
        " {...sessionStorage}, location.href, (await indexedDB.databases()).length, document.referrer])"
    )
    assert not [model for model in MODELS if model.lower() in held.lower()]
    assert page.context.cookies() == []
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_hostile_answers_stay_inert(tmp_path, open_page):
    def hostile(model, question, turn):
        return PAYLOADS[question - 1] if (model, turn) == (0, 1) else f"harmless\n\n{PAYLOADS[-question]}"

    write_pairs(tmp_path / "pairs", count=len(PAYLOADS), answer=hostile)
    with served(tmp_path / "pairs", tmp_path / "votes.sqlite", "ann", k=1) as links:
        page = open_page(links["ann"] + "/1")
        foreign = []
        page.on("request", lambda r: foreign.append(r.url) if "127.0.0.1" not in r.url else None)
        for number in range(1, len(PAYLOADS) + 1):
            page.goto(f"{links['ann']}/{number}")
            for link in page.locator("main a").all():
                link.hover()
            assert page.evaluate(INERT) == [], page.locator("main").inner_html()
            assert page.locator("footer button[name=choice]").count() == 3
        assert len(PAYLOADS) >= 30 and foreign == [] and page.complaints == []


def test_everything_is_labelled_readable_and_fits_a_phone(served_pairs, open_page):
    _, links = served_pairs
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    for url in (links["ann"], links["admin"], links["ann"] + "x"):
        page = open_page(url, **phone)
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.locator("html[lang=en]").count() == page.locator("h1").count() == page.locator("main").count() == 1
    page = open_page(links["ann"], **phone)
    sizes = page.locator("button[name=choice]").evaluate_all("all => all.map((b) => b.getBoundingClientRect().height)")
    assert min(sizes) >= 44
    for role, name in (("textbox", "Comment"), ("group", "Your verdict"), ("progressbar", "Items compared")):
        assert page.get_by_role(role, name=name).count() == 1
    page.get_by_role("button", name="Tie").tap()
    page.wait_for_url("**/2")


def test_the_page_works_without_scripts_and_by_tab_and_enter(served_pairs, open_page):
    _, links = served_pairs
    page = open_page(links["cy"], java_script_enabled=False)
    page.locator("#comment").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/2")
    assert "1 of 12 done" in page.locator("header").inner_text()
