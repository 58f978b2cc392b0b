"""Two processes under torchrun train as one does: the same losses, the same model, the same folder."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from humanturn import jsonl
from humanturn.conversation import Conversation, Turn
from humanturn.errors import InputError
from humanturn.models.packed import TokenSequence
from humanturn.train import distributed
from humanturn.train.stage import TrainSettings, train

pytestmark = pytest.mark.timeout(1800)  # processes are started that import torch, on however busy a machine


def talks(count):
    return [
        Conversation(
            id=f"t{n}",
            messages=tuple(
                Turn(("user", "assistant")[i % 2], f"Part {i} of talk {n}, {'and on ' * (n % 5)}so it goes.")
                for i in range(2 + 2 * (n % 3))
            ),
        )
        for n in range(count)
    ]


# The last step has one conversation, so that one of two processes has nothing to train on.
COUNT, BATCH = 9, 4

# Several trainings in the same processes; parameters are looked at on the way. The last one's processes end before step
# `stopped`, once a checkpoint is written.
PROGRAM = """
import json, os, sys
from pathlib import Path
from torch.distributed.tensor import DTensor
from humanturn.train import distributed, stage, trainer
where, stopped, given = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
step = trainer.PackedTrainer.training_step
def look(self, model, inputs, *rest):
    if self.state.global_step == stopped and name == list(given)[-1]:
        os._exit(7)
    seen.append([type(model).__name__, all(isinstance(p, DTensor) for p in model.parameters()), sum(inputs["weights"])])
    return step(self, model, inputs, *rest)
trainer.PackedTrainer.training_step = look
for name, settings in given.items():
    seen = []
    result = stage.train(stage.TrainSettings(**settings), where / name, resume=True)
    (where / f"{name}-{distributed.rank()}.json").write_text(json.dumps([seen, result.result, result.skipped]))
    if seen:
        (where / f"{name}-{distributed.rank()}-seen.json").write_text(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny):
    """Folders: one process, DDP and FSDP2 over two, and FSDP2 killed and resumed."""
    where = tmp_path_factory.mktemp("distributed")
    jsonl.write(where / "train.jsonl", talks(COUNT))
    jsonl.write(where / "heldout.jsonl", talks(5))
    same = {
        "data": str(where / "train.jsonl"),
        "heldout": str(where / "heldout.jsonl"),
        "backbone": f"hf:{tiny}",
        "epochs": 1,
        "batch_size": BATCH,
        "learning_rate": 5e-3,
        "checkpoint_every": 1,
        "max_tokens": 256,
        "row_tokens": 128,
        "evaluate_every": 2,
    }
    alone = {"one": {"method": "full"}, "one-lora": {}}
    for name, changes in alone.items():
        train(TrainSettings(**same | changes), where / name)
    pairs = {
        "ddp": same | {"method": "full"},
        "fsdp": same | {"method": "full", "parallel": "fsdp"},
        "fsdp-lora": same | {"parallel": "fsdp"},
    }
    stopped = start(where, pairs, stopped=2)
    assert stopped.returncode != 0
    assert (where / "fsdp" / "config.json").exists(), stopped.stderr[-5000:]
    assert not (where / "fsdp-lora" / "config.json").exists()
    done = start(where, pairs)
    assert done.returncode == 0, done.stderr[-5000:]
    return where


def start(where, trainings, stopped=-1):
    (where / "program.py").write_text(PROGRAM)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, str(where / "program.py"), str(where), str(stopped), json.dumps(trainings)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def report(where, name, rank=0):
    return json.loads((where / f"{name}-{rank}.json").read_text())


def seen(where, name, rank=0):
    return json.loads((where / f"{name}-{rank}-seen.json").read_text())


@pytest.mark.parametrize(("name", "alone"), [("ddp", "one"), ("fsdp", "one"), ("fsdp-lora", "one-lora")])
def test_two_processes_end_with_the_model_of_one(trained, name, alone):
    ours, theirs = (load_file(trained / n / "model.safetensors") for n in (name, alone))
    assert ours.keys() == theirs.keys()
    for key, weight in ours.items():
        np.testing.assert_allclose(weight.numpy(), theirs[key].numpy(), atol=2e-5)
    files = [sorted(p.name for p in (trained / n).iterdir()) for n in (name, alone)]
    assert files[0] == files[1], "the folder is the same, too"


@pytest.mark.parametrize(("name", "alone"), [("ddp", "one"), ("fsdp", "one"), ("fsdp-lora", "one-lora")])
def test_losses_gradients_and_heldout_figures_do_not_depend_on_the_number_of_processes(trained, name, alone):
    ours, theirs = (list(jsonl.read(trained / n / "metrics.jsonl", dict)) for n in (name, alone))
    assert len(ours) == len(theirs) == -(-COUNT // BATCH)
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        assert a == pytest.approx(b, rel=1e-4)
    assert "heldout_nll" in ours[1]
    rows = [json.loads((trained / n / "heldout.json").read_text()) for n in (name, alone)]
    for when in ("before", "after"):
        for a, b in zip(rows[0][when], rows[1][when], strict=True):
            assert a.pop("nll") == pytest.approx(b.pop("nll"), rel=1e-4)
            assert a == b


def test_the_engines_are_what_they_are_called(trained):
    assert {name for name, _, _ in seen(trained, "ddp")} == {"DistributedDataParallel"}
    assert not any(shards for _, shards, _ in seen(trained, "ddp"))
    assert all(shards for _, shards, _ in seen(trained, "fsdp")), "every parameter is a DTensor"
    assert all(shards for _, shards, _ in seen(trained, "fsdp-lora"))


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_a_process_without_a_trained_token_takes_part_and_nobody_waits_for_ever(trained, name):
    last = [seen(trained, name, rank)[-1][2] for rank in (0, 1)]
    assert last == [1.0, 0.0]


def test_a_killed_sharded_training_goes_on_from_its_shards(trained):
    steps = len(seen(trained, "fsdp-lora"))
    assert steps == -(-COUNT // BATCH) - 2, "the first two were not done again"


def test_every_process_hears_the_result_and_that_work_is_done_already(trained):
    """The second start finds what the first one finished, and goes on with what it did not."""
    for name, skipped in (("ddp", True), ("fsdp", True), ("fsdp-lora", False)):
        ours, theirs = (report(trained, name, rank) for rank in (0, 1))
        assert ours[1]["heldout_nll"] == theirs[1]["heldout_nll"]
        assert ours[2] is theirs[2] is skipped


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 300), min_size=1, max_size=40), st.integers(1, 5))
def test_rows_are_shared_out_whole_once_and_as_evenly_as_can_be(lengths, processes):
    rows = [[TokenSequence(np.full(n, i, np.int32), np.ones(n, bool))] for i, n in enumerate(lengths)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLD_SIZE", str(processes))
        shares = distributed.share_out(rows)
    assert len({len(share) for share in shares}) == 1
    assert sorted(int(row[0].ids[0]) for share in shares for row in share if row) == list(range(len(lengths)))
    loads = [sum(len(s.ids) for row in share for s in row) for share in shares]
    assert max(loads) - min(loads) <= max(lengths)


def test_weights_in_4_bits_are_not_sharded(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="--qlora and --fsdp exclude each other"):
        train(TrainSettings(data="x", backbone=f"hf:{tiny}", parallel="fsdp", method="qlora"), tmp_path / "o")


def test_fsdp_needs_several_processes(tiny, tmp_path):

    with pytest.raises(InputError, match="torchrun --nproc-per-node N -m humanturn train"):
        train(TrainSettings(data="x", backbone=f"hf:{tiny}", parallel="fsdp"), tmp_path / "o")
