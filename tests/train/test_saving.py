"""Writing on a disk that is full: what was there before stays, and the error says what to do."""

import json
import os
import subprocess
import sys

import pytest

from humanturn import jsonl
from humanturn.conversation import Conversation, Turn
from humanturn.errors import HumanturnError
from humanturn.train import saving
from humanturn.train.stage import TrainSettings, train


def talks(count):
    return [
        Conversation(id=f"t{n}", messages=(Turn("user", f"Question {n}?"), Turn("assistant", "Yes.")))
        for n in range(count)
    ]


# The tiny model's weights are about 6.5 MB: its folder fits under the first limit and not under the second.
_TRAIN = """
import resource, signal, sys
from pathlib import Path
from humanturn.errors import HumanturnError
from humanturn.train import stage
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    stage.train(stage.TrainSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
except HumanturnError as error:
    sys.exit(str(error))
"""


def test_a_checkpoint_that_finds_no_room_stops_and_the_training_goes_on_later(tiny, tmp_path):
    jsonl.write(tmp_path / "train.jsonl", talks(6))
    settings = TrainSettings(
        data=str(tmp_path / "train.jsonl"), backbone=f"hf:{tiny}", method="full", epochs=1, batch_size=2,
        checkpoint_every=1, max_tokens=128,
    )  # fmt: skip
    weights = (tiny / "model.safetensors").stat().st_size
    command = [sys.executable, "-c", _TRAIN, settings.model_dump_json(), str(tmp_path / "out"), str(weights + 100_000)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "no room to write the model" in done.stderr
    assert "go on with --resume" in done.stderr
    assert "Traceback" not in done.stderr
    assert saving.newest_checkpoint(tmp_path / "out" / "checkpoints") is None, "a torn one is not taken for whole"
    assert train(settings, tmp_path / "out", resume=True).result["steps"] == 3


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_model_folder_on_a_full_disk_stays_what_it_was(small_disk):
    (small_disk / "config.json").write_text('{"old": 1}')
    no_room = pytest.raises(HumanturnError, match=r"no room to write the model \(\d+ MB are free there\)")
    with no_room, saving.model_folder(small_disk) as draft:
        (draft / "config.json").write_text('{"new": 1}')
        (draft / "model.safetensors").write_bytes(bytes(2 << 20))
    assert [p.name for p in small_disk.iterdir()] == ["config.json"]
    assert json.loads((small_disk / "config.json").read_text()) == {"old": 1}


def test_each_library_that_meets_a_full_disk_is_understood(small_disk):
    import safetensors.torch
    import torch

    tensor = {"weight": torch.zeros(1 << 20)}
    for write in (safetensors.torch.save_file, torch.save):
        with pytest.raises(HumanturnError, match="no room to write the model"), saving.explained(small_disk):
            write(tensor, small_disk / "file")


def test_other_errors_pass_as_they_are(tmp_path):
    with pytest.raises(PermissionError), saving.explained(tmp_path):
        raise PermissionError("not yours")


def test_a_model_folder_gets_its_config_last(tmp_path, monkeypatch):
    order = []
    replace = os.replace
    monkeypatch.setattr("pathlib.Path.replace", lambda self, to: (order.append(self.name), replace(self, to)))
    with saving.model_folder(tmp_path) as draft:
        for name in ("config.json", "a.json", "tokenizer.json"):
            (draft / name).write_text("{}")
    assert order[-1] == "config.json"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "config.json", "tokenizer.json"]
