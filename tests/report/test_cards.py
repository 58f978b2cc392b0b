"""Dataset cards: read back by the hub's own library, with the numbers of the run."""

import json

import pytest
from example_run import write

from humanturn.report.cards import MARK
from humanturn.report.page import report

hub = pytest.importorskip("huggingface_hub")


@pytest.fixture
def folder(tmp_path):
    made = write(tmp_path / "run", conversations=12, hostile=False)
    report(made)
    return made


def test_the_hub_reads_the_header_of_both_cards(folder):
    prepared = hub.DatasetCard.load(folder / "prepare/README.md").data
    assert prepared.language == ["en"]
    assert prepared.size_categories == ["10K<n<100K"]
    assert prepared.task_categories == ["text-generation"]
    files = prepared.configs[0]["data_files"]
    assert files == [{"split": "train", "path": "train.jsonl"}, {"split": "test", "path": "heldout.jsonl"}]
    simulated = hub.DatasetCard.load(folder / "simulate/README.md").data
    assert simulated.size_categories == ["n<1K"] and "synthetic" in simulated.tags
    assert (folder / "simulate" / simulated.configs[0]["data_files"][0]["path"]).exists()


def test_the_cards_hold_the_numbers_of_the_report(folder):
    prepared, simulated = ((folder / name / "README.md").read_text() for name in ("prepare", "simulate"))
    assert "| train | 4,000 | 21,402 | 90,120 | 44,870 | 24,000,000 |" in prepared
    assert "| exact duplicates | 900 |" in prepared
    rounds = json.loads((folder / "analyze/corpora.json").read_text())["corpora"]["simulated"]["columns"]["rounds"]
    cell = f"{rounds['value']:.2f} [{rounds['low']:.2f}, {rounds['high']:.2f}]"
    assert f"| Rounds | {cell} | {rounds['n']} |" in simulated
    assert simulated.startswith("---\n") and "12 conversations with" in simulated
    assert "| answers as assistant | 4 | 2 |" in simulated
    assert "3f" * 32 in prepared


def test_names_from_outside_break_no_table(folder):
    assert "the assistant by `em bed ded`" in (folder / "simulate/README.md").read_text()


def test_a_card_that_somebody_took_over_is_left_alone(folder):
    path = folder / "prepare/README.md"
    own = path.read_text().replace(MARK, "").replace("# Human conversations", "# Mine")
    path.write_text(own)
    (folder / "simulate/README.md").write_text("old " + MARK)
    report(folder)
    assert path.read_text() == own
    assert "# Simulated conversations" in (folder / "simulate/README.md").read_text()


def test_unfinished_stages_have_no_card(tmp_path):
    made = write(tmp_path / "run", conversations=2, hostile=False)
    manifest = made / "simulate/manifest.json"
    manifest.write_text(manifest.read_text().replace('"status": "done"', '"status": "started"'))
    report(made)
    assert not (made / "simulate/README.md").exists()
    assert (made / "prepare/README.md").exists()
