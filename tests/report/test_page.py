import base64
import gzip
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from example_run import HOSTILE, write

from humanturn.errors import InputError
from humanturn.report.page import report


class Tags(HTMLParser):
    """What a browser would see: tags, attributes, text by enclosing tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text.append(data)

    def said(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    return write(tmp_path_factory.mktemp("runs") / "spring", conversations=40)


@pytest.fixture(scope="module")
def page(run_dir):
    return report(run_dir).read_text()


def packed(page: str) -> list:
    found = re.search(r'id="packed">([^<]*)<', page)
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def test_the_page_asks_nothing_of_the_network(page):
    for tag, attributes in Tags(page).tags:
        for name in ("src", "href", "action", "srcset", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    assert "url(" not in page
    assert "@import" not in page


def test_only_the_page_s_own_script_may_run(page):
    policy = next(a["content"] for t, a in Tags(page).tags if t == "meta" and "Content-Security-Policy" in a.values())
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)[1]
    import hashlib

    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", script)


def test_every_turn_of_a_conversation_stands_in_the_packed_data(page, run_dir):
    first = [json.loads(line) for line in (run_dir / "simulate/conversations.jsonl").open()][30]
    id_, strategy, stop, _, turns, human = packed(page)[30]
    assert (id_, strategy, stop) == (first["id"], first["meta"]["strategy"], first["meta"]["stop_reason"])
    assert not human
    assert [text for _, text, _ in turns] == [turn["content"] for turn in first["messages"]]


def test_hostile_turns_never_stand_in_the_page_as_markup(page):
    raw = page.replace(re.search(r'id="packed">([^<]*)<', page)[1], "")
    for hostile in HOSTILE[:4]:
        assert hostile not in raw
    assert {tag for tag, _ in Tags(page).tags}.isdisjoint({"iframe", "img", "base", "object", "embed"})


def test_a_very_long_turn_is_cut_and_its_length_is_told(page):
    turns = packed(page)[13][4]
    assert len(turns[0][1]) == 100_000
    assert turns[0][2] == 1_100_000


def test_settings_and_recipes_are_escaped(tmp_path):
    folder = write(tmp_path / "run", conversations=1, hostile=False)
    (folder / "recipe.yaml").write_text("note: </pre><script>alert(1)</script>\n")
    page = report(folder).read_text()
    assert "<script>alert(1)" not in page
    assert html.escape("</pre><script>alert(1)</script>") in page


def test_figures_carry_their_intervals(page, run_dir):
    said = Tags(page).said()
    table = json.loads((run_dir / "analyze/heldout_nll.json").read_text())
    difference = table["differences"][0]["parts"]["all"]
    low, high = (f"{difference[end] * 100:+.1f}".replace("-", "−") for end in ("low", "high"))
    assert f"[{low}, {high}]" in said
    corpora = json.loads((run_dir / "analyze/corpora.json").read_text())
    rounds = corpora["corpora"]["human"]["columns"]["rounds"]
    assert f"{rounds['value']:.2f} [{rounds['low']:.2f}, {rounds['high']:.2f}]" in said


def test_an_interval_that_holds_zero_is_said_to_show_nothing(tmp_path):
    folder = write(tmp_path / "run", conversations=1, hostile=False)
    path = folder / "analyze/heldout_nll.json"
    table = json.loads(path.read_text())
    table["differences"][0]["parts"]["all"] |= {"value": -0.01, "low": -0.03, "high": 0.01}
    path.write_text(json.dumps(table))
    assert "no difference shown" in Tags(report(folder).read_text()).said()


STAGES = ("prepare", "user", "simulate", "assistant", "analyze", "scorecard", "evaluate", "duel", "annotate")


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_without_a_stage_has_a_page_without_it(tmp_path, stage):
    import shutil

    folder = write(tmp_path / "run", conversations=2, hostile=False)
    shutil.rmtree(folder / stage)
    tags = Tags(report(folder).read_text())
    sections = {a.get("id") for t, a in tags.tags if t == "section"}
    links = {a["href"][1:] for t, a in tags.tags if t == "a" and a["href"].startswith("#")} - {"main"}
    gone = {
        "prepare": {"funnel"},
        "simulate": {"simulation", "conversations"},
        "analyze": {"likelihood", "corpora", "correlations"},
        "scorecard": {"scorecard"},
        "evaluate": {"evaluation-2"},
        "duel": {"evaluation-2"},
        "annotate": {"people-1"},
    }
    assert not sections & gone.get(stage, set())
    assert links == sections


def test_one_stage_alone_is_enough_for_a_page(tmp_path):
    import shutil

    folder = write(tmp_path / "run", conversations=2, hostile=False)
    for stage in STAGES[1:]:
        shutil.rmtree(folder / stage)
    assert "Prepare funnel" in Tags(report(folder).read_text()).said()


def test_a_directory_without_stages_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no stage"):
        report(tmp_path)
    with pytest.raises(InputError, match="no such directory"):
        report(tmp_path / "nowhere")


def test_a_damaged_file_is_named(tmp_path):
    folder = write(tmp_path / "run", conversations=1, hostile=False)
    (folder / "prepare/funnel.json").write_text('{"steps": [')
    with pytest.raises(InputError, match=r"funnel\.json: damaged"):
        report(folder)
    assert not (folder / "report.html").exists()


def test_more_conversations_than_a_page_holds_are_sampled_and_all_counted(tmp_path, monkeypatch):
    from humanturn.report import conversations

    monkeypatch.setattr(conversations, "MOST", 10)
    folder = write(tmp_path / "run", conversations=35, hostile=False)
    page = report(folder).read_text()
    assert [row[0] for row in packed(page) if not row[5]] == [f"sim-{n * 35 // 10:05d}" for n in range(10)]
    assert "10 of 35 simulated conversations" in Tags(page).said()


def test_rows_where_the_baseline_is_nearer_are_named(page):
    assert "Where role-play is nearer to people: thanks only." in Tags(page).said()


def test_columns_that_were_not_measured_are_named_with_what_they_need(page):
    assert "Not measured: topic similarity," in Tags(page).said()
    assert "need a judge ( analyze.judge )" in Tags(page).said()


def test_grades_stand_with_their_intervals_and_what_could_not_be_read(page, run_dir):
    table = json.loads((run_dir / "evaluate/scores.json").read_text())["single"]
    said = Tags(page).said()
    for row in table["models"].values():
        for cell in (row["average"], *row["turns"].values(), *row["categories"].values(), *row["judges"].values()):
            assert f"{cell['value']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]" in said
        assert row["unparsed"] > 0
        assert re.search(rf"\b{row['average']['n']} {row['unparsed']}\b", said)
    assert "Judges on the same answer: the same grade on" in said
    assert "A judge asked again: the same grade on" in said
    assert "Turns of trained: 4 cut by the token limit, 1 empty." in said
    assert "3 judgments were refused by an endpoint" in said


def test_comparisons_stand_with_position_bias_ranking_and_cost(page, run_dir):
    table = json.loads((run_dir / "duel/scores.json").read_text())["pairwise"]
    said = Tags(page).said()
    for pair in table["pairs"]:
        rate = pair["win_rate"]
        shown = f"{100 * rate['value']:.1f} % [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}]"
        counts = f"{pair['wins']} {pair['ties']} {pair['losses']} {rate['n']}"
        assert f"{pair['a']} against {pair['b']} all {counts} {shown} {pair['unparsed']}" in said
        assert pair["unparsed"] > 0
    assert "first 160 0.0 % 100.0 % 0.0 %" in said.replace("first 480", "first 160")
    assert "first goes by the place of an answer in 100.0 % of comparisons" in said
    assert "fair goes by" not in said
    order = [row["model"] for row in table["ranking"]]
    assert re.search(".*".join(re.escape(f"{name} ") for name in order), said[said.index("Bradley–Terry") :])
    assert "judge gpt 640 1.9 % 300,000 60,000 1.23" in said
    assert "no price" in said


def test_a_win_rate_whose_interval_holds_one_half_is_said_to_show_nothing(run_dir, page):
    pairs = json.loads((run_dir / "duel/scores.json").read_text())["pairwise"]["pairs"][:2]
    assert all(pair["win_rate"]["high"] < 0.5 for pair in pairs)
    assert "holds one half" not in page
    path = run_dir / "duel/scores.json"
    before = path.read_text()
    found = json.loads(before)
    found["pairwise"]["pairs"][0]["win_rate"]["high"] = 0.52
    path.write_text(json.dumps(found))
    try:
        assert report(run_dir).read_text().count("The interval holds one half: no difference shown.") == 1
    finally:
        path.write_text(before)
        report(run_dir)


def test_what_people_said_stands_beside_what_judges_said(page, run_dir):
    found = json.loads((run_dir / "annotate/votes.summary.json").read_text())
    said = Tags(page).said()
    assert "2 people compared answers blind: 24 votes on 12 items" in said
    assert f"People and judges say the same on {found['human_judge']['same']:.1%}".replace("%", " %") in said
    assert f"Fleiss’ κ {found['agreement']['fleiss_kappa']:.2f}".replace("-", "−") in said


def test_names_of_models_are_escaped_in_tables_and_charts(page):
    assert "<i>plain</i>" not in page
    assert "&lt;i&gt;plain&lt;/i&gt;" in page


@pytest.mark.parametrize(
    ("auroc", "surface", "said"),
    [(0.97, 0.76, None), (0.97, 0.96, "hardly better than its surface"), (0.6, 0.5, "a poor detector")],
)
def test_a_detector_is_shown_with_how_good_it_is(tmp_path, auroc, surface, said):
    folder = write(tmp_path / "run", conversations=1, hostile=False)
    path = folder / "analyze/corpora.json"
    document = json.loads(path.read_text())
    document["detector"] = {"human_turns": 900, "machine_turns": 800} | {
        name: {"value": value, "n": 1700, "low": value - 0.01, "high": value + 0.01}
        for name, value in (("auroc", auroc), ("surface", surface))
    }
    path.write_text(json.dumps(document))
    shown = Tags(report(folder).read_text()).said()
    assert f"{auroc:.3f}" in shown
    assert f"{surface:.3f}" in shown
    assert said in shown if said else "poor detector" not in shown and "hardly better" not in shown


def test_every_chart_says_what_it_shows_without_sight(page):
    charts = [a for t, a in Tags(page).tags if t == "svg" and a.get("aria-hidden") != "true"]
    assert len(charts) == 7
    assert all(a["role"] == "img" and len(a["aria-label"]) > 40 for a in charts)


def test_tables_have_captions_and_header_cells(page):
    tags = Tags(page).tags
    tables = [a for t, a in tags if t == "table" and a.get("class") != "settings"]
    assert len([t for t, _ in tags if t == "caption"]) == len(tables)
    assert all(a.get("scope") for t, a in tags if t == "th")


def test_the_report_is_the_same_for_the_same_run(run_dir, page, monkeypatch):
    again = Path(report(run_dir)).read_text()
    without_time = re.compile(r"Written <time.*?</time>")
    assert without_time.sub("", again) == without_time.sub("", page)
