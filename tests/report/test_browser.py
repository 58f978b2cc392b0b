"""The page in a real headless Chromium, network cut."""

import shutil

import pytest
from example_run import HOSTILE, HUMANS, write

from humanturn.report.page import report

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

SEARCH = """async (text) => {
  const found = document.getElementById("found"), query = document.getElementById("query");
  const began = performance.now();
  const told = new Promise((done) => {
    new MutationObserver(() => done(performance.now())).observe(found, { childList: true });
  });
  query.value = text;
  query.dispatchEvent(new Event("input"));
  const ended = await told;
  await new Promise(requestAnimationFrame);
  return { milliseconds: performance.now() - began, answered: ended - began, said: found.textContent };
}"""


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return report(write(tmp_path_factory.mktemp("runs") / "large", conversations=5000))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return report(write(tmp_path_factory.mktemp("runs") / "small", conversations=40))


@pytest.fixture
def opened(chromium, large):
    context = chromium.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda r: page.complaints.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
    page.goto(large.as_uri())
    page.wait_for_selector("#results button")
    page.wait_for_selector("html[data-search-ready]")
    yield page
    context.close()


def test_five_thousand_conversations_open_without_complaint_and_search_at_once(opened):
    assert "5,020 conversations found" in opened.text_content("#found")
    for text in ("python", "friendlier email", "no such words anywhere", "sim-04999", "e"):
        answers = [opened.evaluate(SEARCH, typed) for typed in (text, text + "?", text)]
        best = min(answers, key=lambda answer: answer["milliseconds"])  # others use this machine too
        assert best["milliseconds"] < 200, (text, answers)
    assert opened.evaluate(SEARCH, "sim-04999")["said"] == "1 conversation found"
    assert opened.text_content("#open h3") == "sim-04999"
    assert opened.complaints == []


def test_hostile_conversations_are_inert(opened):
    title = opened.title()
    for number in range(len(HOSTILE)):
        assert opened.evaluate(SEARCH, f"sim-{number:05d}")["said"] == "1 conversation found"
        opened.click("#results button")
        assert opened.text_content("#open h3") == f"sim-{number:05d}"
        for button in opened.query_selector_all("#open .body button"):
            button.click()
    assert opened.title() == title
    assert (
        opened.evaluate(
            "document.querySelectorAll('#browser :is(script, img, iframe, svg, style, base, meta, a)').length"
        )
        == 0
    )
    assert opened.evaluate("getComputedStyle(document.body).display") != "none"
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert opened.complaints == []


def test_characters_that_reorder_text_are_spelled_out(opened):
    opened.evaluate(SEARCH, "sim-00004")
    assert opened.locator("#open .control").all_text_contents()[:2] == ["U+202E", "U+202C"]
    assert "\u202e" not in opened.text_content("#browser")


def test_filters_narrow_the_list(opened):
    opened.select_option("#who", "human")
    assert opened.text_content("#found") == f"{HUMANS} conversations found"
    opened.select_option("#who", "")
    opened.select_option("#strategy", "roleplay")
    opened.select_option("#guard", "guard:answers_as_assistant")
    assert opened.text_content("#found") == "556 conversations found"
    opened.select_option("#guard", "none")
    assert opened.text_content("#found") == "1,111 conversations found"


def test_the_keyboard_is_enough(opened):
    opened.locator("body").press("j")
    opened.locator("body").press("j")
    assert opened.text_content("#open h3") == "sim-00002"
    opened.keyboard.press("p")
    opened.keyboard.press("j")
    assert (opened.text_content("#pinned h3"), opened.text_content("#open h3")) == ("sim-00002", "sim-00003")
    opened.keyboard.press("/")
    opened.keyboard.type("python j")
    opened.wait_for_selector("#open mark")
    assert opened.evaluate("document.activeElement.id") == "query"
    assert opened.text_content("#pinned h3") == "sim-00002"


def test_a_human_conversation_of_similar_length_stands_beside_a_simulated_one(opened):
    opened.evaluate(SEARCH, "sim-00030")
    opened.locator("body").press("h")
    first = opened.text_content("#pinned h3")
    assert first.startswith("human-") and opened.text_content("#open h3") == "sim-00030"
    assert opened.locator("#pinned .turn.user h4").first.text_content() == "User (human)"
    assert opened.locator("#open .turn.user h4").first.text_content() == "User (simulated)"
    opened.click("#beside")
    assert opened.text_content("#pinned h3") not in (first, "sim-00030")
    boxes = [opened.locator(f"#{side}").bounding_box() for side in ("pinned", "open")]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"] + 1 and boxes[0]["y"] == boxes[1]["y"]


def test_a_hostile_human_conversation_is_inert_too(opened):
    title = opened.title()
    for number in range(4):
        opened.evaluate(SEARCH, f"human-{number:03d}")
        assert opened.text_content("#open h3") == f"human-{number:03d}"
    assert opened.title() == title
    assert opened.locator("#browser :is(script, img, iframe, svg)").count() == 0
    assert opened.complaints == []


def test_scrolling_brings_the_rest_of_the_list(opened):
    assert opened.locator("#results li").count() == 80
    opened.evaluate("document.getElementById('results').scrollTop = 1e6")
    opened.wait_for_selector("#results li:nth-child(81)", state="attached")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(chromium, small, scheme):
    context = chromium.new_context(offline=True, color_scheme=scheme)
    page = context.new_page()
    page.goto(small.as_uri())
    page.wait_for_selector("#open .turn")
    assert page.evaluate(CONTRAST) == []
    context.close()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_page_never_scrolls_sideways(chromium, small, width):
    context = chromium.new_context(offline=True, viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(small.as_uri())
    page.wait_for_selector("#open .turn")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    context.close()


# WCAG 2.2, 1.4.3: contrast ratio of text to its background at least 4.5.
CONTRAST = """() => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const numbers = (css) => css.match(/[\\d.]+/g).map(Number);
  const rgb = (css) => css.startsWith("color(srgb") ? numbers(css).map((v) => 255 * v) : numbers(css);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (e) => {
    const c = e ? rgb(getComputedStyle(e).backgroundColor) : [255, 255, 255];
    return c.length < 4 || c[3] ? c : ground(e.parentElement);
  };
  const poor = new Set();
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.getClientRects().length) continue;
    const style = getComputedStyle(e), ink = rgb(e instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.add(`${e.tagName}.${e.className.baseVal ?? e.className} ${ratio.toFixed(2)}`);
  }
  return [...poor];
}"""
