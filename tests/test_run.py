from typing import ClassVar

import filelock
import pytest

from humanturn import run
from humanturn.errors import InputError, SettingsChangedError


class Bake(run.Settings):
    free: ClassVar[frozenset[str]] = frozenset({"workers"})
    heat: int = 200
    workers: int = 1


def bake(out, settings=None, *, flour, resume=False, fails=False):
    def work():
        (out / "bread").write_text(flour.read_text())
        if fails:
            raise RuntimeError("burnt")
        return {"loaves": 1}

    return run.stage(
        "bake", out, settings or Bake(), inputs={"flour": flour}, outputs=("bread",), work=work, resume=resume
    )


@pytest.fixture
def flour(tmp_path):
    path = tmp_path / "flour"
    path.write_text("rye")
    return path


def test_a_finished_stage_is_skipped_and_hands_back_its_result(tmp_path, flour):
    first = bake(tmp_path / "o", flour=flour)
    second = bake(tmp_path / "o", flour=flour)
    assert (first.skipped, second.skipped) == (False, True)
    assert first.result == second.result == {"loaves": 1}


def test_settings_that_change_nothing_may_differ(tmp_path, flour):
    bake(tmp_path / "o", flour=flour)
    assert bake(tmp_path / "o", Bake(workers=9), flour=flour).skipped


def test_other_settings_are_refused_and_named(tmp_path, flour):
    bake(tmp_path / "o", flour=flour)
    with pytest.raises(SettingsChangedError, match=r"heat was 200 and is 250"):
        bake(tmp_path / "o", Bake(heat=250), flour=flour)


class BakeLater(Bake):
    glaze: str = "none"


def test_work_of_a_version_that_knew_fewer_settings_holds_where_the_new_one_is_at_its_default(tmp_path, flour):
    bake(tmp_path / "o", flour=flour)
    assert bake(tmp_path / "o", BakeLater(), flour=flour).skipped
    with pytest.raises(SettingsChangedError, match="glaze was None and is 'egg'"):
        bake(tmp_path / "o", BakeLater(glaze="egg"), flour=flour)
    with pytest.raises(SettingsChangedError, match="heat was 200 and is 250"):
        bake(tmp_path / "o", BakeLater(heat=250), flour=flour)


def test_another_input_is_refused_and_named(tmp_path, flour):
    bake(tmp_path / "o", flour=flour)
    flour.write_text("spelt")
    with pytest.raises(SettingsChangedError, match="the contents of flour changed"):
        bake(tmp_path / "o", flour=flour)


def test_unfinished_work_goes_on_only_when_asked_to(tmp_path, flour):
    with pytest.raises(RuntimeError):
        bake(tmp_path / "o", flour=flour, fails=True)
    with pytest.raises(SettingsChangedError, match="unfinished bake; add --resume"):
        bake(tmp_path / "o", flour=flour)
    assert not bake(tmp_path / "o", flour=flour, resume=True).skipped


def test_an_output_that_is_gone_is_made_again(tmp_path, flour):
    bake(tmp_path / "o", flour=flour)
    (tmp_path / "o" / "bread").unlink()
    assert not bake(tmp_path / "o", flour=flour).skipped


def test_two_at_once_in_one_directory_are_refused(tmp_path, flour):
    (tmp_path / "o").mkdir()
    with filelock.FileLock(tmp_path / "o" / ".lock"), pytest.raises(InputError, match="another humanturn"):
        bake(tmp_path / "o", flour=flour)


def test_a_damaged_manifest_says_how_to_start_afresh(tmp_path, flour):
    bake(tmp_path / "o", flour=flour)
    (tmp_path / "o" / "manifest.json").write_text("{")
    with pytest.raises(InputError, match="damaged .*; remove the directory"):
        bake(tmp_path / "o", flour=flour)


def test_a_folder_is_hashed_by_names_and_contents_without_our_own_records(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a").write_text("1")
    before = run.fingerprint(folder).sha256
    (folder / "manifest.json").write_text("{}")
    assert run.fingerprint(folder).sha256 == before
    (folder / "a").rename(folder / "b")
    assert run.fingerprint(folder).sha256 != before


def test_seeds_of_parts_depend_on_the_run_and_the_part_alone():
    assert run.derived_seed(0, 1) == run.derived_seed(0, 1)
    assert len({run.derived_seed(s, i) for s in range(20) for i in range(50)}) == 1000
    assert run.derived_seed(1, 11) != run.derived_seed(11, 1)


def test_bad_input_leaves_no_trace_that_would_refuse_the_mended_one(tmp_path, flour):
    def complain():
        raise InputError("no salt")

    with pytest.raises(InputError, match="no salt"):
        run.stage("bake", tmp_path / "o", Bake(), inputs={"flour": flour}, outputs=(), work=complain, resume=False)
    flour.write_text("rye and salt")
    assert not bake(tmp_path / "o", flour=flour).skipped


def test_bad_input_found_after_work_was_left_keeps_the_record_of_what_it_was_made_from(tmp_path, flour):
    def complain():
        (tmp_path / "o" / "dough").write_text("rye")
        raise InputError("no salt")

    with pytest.raises(InputError, match="no salt"):
        run.stage("bake", tmp_path / "o", Bake(), inputs={"flour": flour}, outputs=(), work=complain, resume=False)
    with pytest.raises(SettingsChangedError, match="heat was 200 and is 250"):
        bake(tmp_path / "o", Bake(heat=250), flour=flour, resume=True)
    assert not bake(tmp_path / "o", flour=flour, resume=True).skipped
