"""The figures in a real browser: nothing overlaps, nothing is cut off, everything is named."""

import shutil

import pytest

from humanturn.evaluate import pairwise, plots, scores
from humanturn.evaluate.fastchat import PairRow, SingleRow

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

CATEGORIES = dict(enumerate(
    ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities") * 4, 1
))  # fmt: skip
NAMES = ("vicuna-7b-v1.5-16k", "realm-7b-50k", "baize-v2-13b", "ultra-llama-7b", "short", "a-model-with-a-long-name-7B")

BOXES = """() => [...document.querySelectorAll('text')].map((t) => {
  const b = t.getBoundingClientRect(); return [t.textContent.trim(), b.left, b.top, b.right, b.bottom]; })"""


def tables(count):
    names = NAMES[:count]
    singles = [
        SingleRow(q, name, ("judge", "p"), turn, 1 + (q * 7 + 3 * place + turn) % 10)
        for place, name in enumerate(names)
        for q in CATEGORIES
        for turn in (1, 2)
    ]
    sides = ["model_1", "model_2", "tie"]
    pairs = [
        PairRow(q, a, b, ("judge", "p"), 1, *[sides[(q + place) % 3 if (q + place) % 5 else 1]] * 2)
        for place, (a, b) in enumerate((a, b) for a in names for b in names if a < b)
        for q in CATEGORIES
    ]
    return {"single": scores.table(singles, CATEGORIES), "pairwise": pairwise.table(pairs, CATEGORIES)}


@pytest.fixture(scope="module")
def page():
    with sync_api.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_page(viewport={"width": 1200, "height": 2000})
        browser.close()


@pytest.mark.parametrize("count", [2, 3, 6])
def test_no_text_of_a_figure_overlaps_another_or_leaves_the_figure(tmp_path, page, count):
    drawn = plots.draw(tables(count), tmp_path)
    assert [path.name for path in drawn] == ["averages.svg", "radar.svg", "verdicts.svg"]
    for path in drawn:
        page.goto(path.as_uri())
        frame = page.evaluate("(({width, height}) => [width, height])(document.rootElement.getBoundingClientRect())")
        boxes = [box for box in page.evaluate(BOXES) if box[0]]
        for name in NAMES[:count]:
            assert any(name in box[0] for box in boxes), path.name
        for n, (text, left, top, right, bottom) in enumerate(boxes):
            assert left >= -1 and top >= -1 and right <= frame[0] + 1 and bottom <= frame[1] + 1, (path.name, text)
            for other, l2, t2, r2, b2 in boxes[n + 1 :]:
                apart = right <= l2 + 1 or r2 <= left + 1 or bottom <= t2 + 2 or b2 <= top + 2
                assert apart, (path.name, text, other)


def test_the_same_scores_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        plots.draw(tables(2), tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
