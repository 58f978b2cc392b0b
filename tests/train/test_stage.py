"""Training on a real tokenizer and a two-layer model: exactness, resume, and the folder it leaves."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from humanturn import jsonl, scaffold, template, tokens
from humanturn.conversation import Conversation, Turn
from humanturn.errors import FormatError, HumanturnError, InputError, SettingsChangedError
from humanturn.models import head, packed, weights
from humanturn.train import adapters, memory, recompute
from humanturn.train.masking import mask
from humanturn.train.stage import TrainSettings, train
from humanturn.train.trainer import PackedTrainer, Steps
from humanturn.train.watch import RISE, climbed


def talks(count=12):
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


@pytest.fixture
def data(tmp_path):
    jsonl.write(tmp_path / "train.jsonl", talks())
    jsonl.write(tmp_path / "heldout.jsonl", talks(4))
    return tmp_path


def settings(data, tiny, **changes):
    given = {"epochs": 2, "batch_size": 4, "learning_rate": 5e-3, "checkpoint_every": 1, "max_tokens": 256}
    return TrainSettings(
        data=str(data / "train.jsonl"), backbone=f"hf:{tiny}", heldout=str(data / "heldout.jsonl"), **given | changes
    )


def test_loss_and_gradients_of_a_packed_step_equal_one_conversation_at_a_time_with_all_logits(tiny, tmp_path):
    model, tokenizer = weights.load(tiny, attention=packed.register_attention())
    tokenizer.chat_template = scaffold.trained_template(tokenizer, "user")
    masked = mask(tokenizer, talks(), role="user", max_tokens=256)
    step = Steps(masked.sequences, [list(range(len(masked.sequences)))], row_tokens=200)
    head.teach_losses(model)
    recompute.enable(model, "elementwise")
    trainer = _trainer(model, tmp_path)
    loss = float(trainer.training_step(model, step[0]))
    ours = {name: p.grad.clone() for name, p in model.named_parameters()}

    plain, _ = weights.load(tiny)
    count = sum(int(s.trained.sum()) for s in masked.sequences)
    total = torch.zeros(())
    for sequence in masked.sequences:
        ids = torch.from_numpy(sequence.ids.astype("int64"))[None]
        labels = torch.where(torch.from_numpy(sequence.trained), ids[0], -100)
        logits = plain(ids).logits[0, :-1].float()
        total = (
            total + torch.nn.functional.cross_entropy(logits, labels[1:], reduction="sum", ignore_index=-100) / count
        )
    total.backward()
    assert loss == pytest.approx(float(total.detach()), rel=1e-5)
    assert len(step[0]["rows"]) > 1, "several rows, so that accumulation over rows is part of what is compared"
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, rtol=1e-3, atol=1e-6)


def test_products_in_bfloat16_leave_gradients_in_float32_and_near_those_of_float32(tiny, tmp_path):
    found = []
    for bfloat16 in (False, True):
        model, tokenizer = weights.load(tiny, attention=packed.register_attention())
        tokenizer.chat_template = scaffold.trained_template(tokenizer, "user")
        masked = mask(tokenizer, talks(), role="user", max_tokens=256)
        step = Steps(masked.sequences, [list(range(len(masked.sequences)))], row_tokens=200)
        head.teach_losses(model)
        loss = float(_trainer(model, tmp_path, bfloat16).training_step(model, step[0]))
        assert {p.dtype for p in model.parameters()} == {p.grad.dtype for p in model.parameters()} == {torch.float32}
        found.append((loss, torch.cat([p.grad.flatten() for p in model.parameters()])))
    (loss, gradient), (rough_loss, rough) = found
    assert loss != rough_loss == pytest.approx(loss, rel=1e-3)
    assert torch.nn.functional.cosine_similarity(gradient, rough, dim=0) > 0.999


def test_a_training_in_bfloat16_leaves_a_float32_model_and_refuses_to_go_on_otherwise(data, tiny):
    train(settings(data, tiny, precision="bfloat16", epochs=1), data / "out")
    assert {p.dtype for p in weights.load(data / "out")[0].parameters()} == {torch.float32}
    with pytest.raises(SettingsChangedError, match="precision"):
        train(settings(data, tiny, precision="float32", epochs=1), data / "out", resume=True)


def test_adapters_compute_what_peft_computes(tiny):
    import peft

    model = adapters.adapt(weights.load(tiny)[0], "lora", rank=4, seed=0)
    layers = [m for m in model.modules() if isinstance(m, peft.tuners.lora.Linear)]
    for layer in layers:
        torch.nn.init.normal_(layer.lora_B["default"].weight)
    ids = torch.arange(40)[None]
    found = []
    for forward in ([layer.forward for layer in layers], [type(layer).forward.__get__(layer) for layer in layers]):
        for layer, one in zip(layers, forward, strict=True):
            layer.forward = one
        model.zero_grad()
        logits = model(ids).logits
        logits.square().sum().backward()
        found.append([logits, *(p.grad for p in model.parameters() if p.requires_grad)])
    assert len(layers) == 14
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.detach().abs().max()))


def _trainer(model, out, bfloat16=False):
    import transformers

    arguments = transformers.TrainingArguments(output_dir=str(out), report_to="none", dataloader_pin_memory=False)
    return PackedTrainer(model=model, args=arguments, bfloat16=bfloat16)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_training_lowers_the_heldout_loss_and_leaves_a_plain_model_folder(data, tiny, method):
    import transformers

    out = data / "out"
    result = train(settings(data, tiny, method=method, epochs=4), out).result
    assert result["heldout_nll"]["after"] < result["heldout_nll"]["before"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    model = transformers.AutoModelForCausalLM.from_pretrained(out)
    assert model.config._attn_implementation == "sdpa"
    talk = talks()[1]
    coded = template.encode(tokenizer, talk.messages)
    start = int((coded.owner == 2).nonzero()[0][0])
    messages = [{"role": t.role, "content": t.content} for t in talk.messages[:2]]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert list(prompt) == coded.ids[:start].tolist(), "the folder opens the next user turn as training rendered it"
    assert template.opens(tokenizer) == "user"
    card = json.loads((out / "humanturn.json").read_text())
    assert (card["role"], card["max_tokens"]) == ("user", 256)
    assert not list(out.glob("checkpoints*")), "nothing half-made is left"
    kept = {p.suffix for p in out.iterdir()}
    assert not kept & {".bin", ".pt", ".pth"}, "safetensors only"


def test_the_assistant_keeps_its_backbones_template(data, tiny):
    train(settings(data, tiny, role="assistant"), data / "out")
    assert tokens.load(data / "out").chat_template == tokens.load(tiny).chat_template


def test_a_killed_training_resumes_to_the_same_weights_bit_for_bit(data, tiny):
    whole, torn = data / "whole", data / "torn"
    given = settings(data, tiny, epochs=3)
    train(given, whole)
    process = subprocess.Popen([sys.executable, "-c", _TRAIN, given.model_dump_json(), str(torn)])
    deadline = time.monotonic() + 120
    while not list((torn / "checkpoints").glob("checkpoint-*/complete")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (torn / "config.json").exists(), "killed before it was done"
    with pytest.raises(SettingsChangedError, match="add --resume"):
        train(given, torn)
    train(given, torn, resume=True)
    assert (torn / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    lines = [list(jsonl.read(d / "metrics.jsonl", dict)) for d in (torn, whole)]
    assert lines[0] == lines[1]


# Slowed down between steps, so that the kill falls in the middle.
_TRAIN = """
import sys, time
from pathlib import Path
from humanturn.train import stage, trainer
step = trainer.PackedTrainer.training_step
trainer.PackedTrainer.training_step = lambda self, *a, **k: (time.sleep(0.5), step(self, *a, **k))[1]
stage.train(stage.TrainSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_checkpoint_that_was_being_written_is_passed_over(tmp_path):
    from humanturn.train.saving import newest_checkpoint

    for step, whole in ((5, True), (10, True), (15, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if whole:
            (folder / "complete").touch()
    assert newest_checkpoint(tmp_path).name == "checkpoint-10"
    assert not (tmp_path / "checkpoint-15").exists()


def test_the_only_step_of_a_short_training_teaches(data, tiny):
    result = train(settings(data, tiny, epochs=1, batch_size=128), data / "out").result
    assert result["steps"] == 1
    assert result["heldout_nll"]["after"] < result["heldout_nll"]["before"]


def test_what_does_not_fit_is_refused_before_anything_is_measured(data, tiny, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda _device: 1000)
    with pytest.raises(InputError, match="choose a smaller backbone"):
        train(settings(data, tiny), data / "out")
    monkeypatch.undo()
    assert not (data / "out" / "heldout_before.jsonl").exists()
    train(settings(data, tiny, epochs=1, lora_rank=2), data / "out")


def test_sampling_settings_without_sampling_do_not_keep_a_model_from_being_saved(data, tiny, tmp_path):
    backbone = tmp_path / "sampler"
    shutil.copytree(tiny, backbone)
    sampler = {"temperature": 0.9, "top_p": 0.6, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    (backbone / "generation_config.json").write_text(json.dumps(sampler))
    train(settings(data, backbone, epochs=1), data / "out")
    kept = json.loads((data / "out" / "generation_config.json").read_text())
    assert (kept["bos_token_id"], kept["pad_token_id"]) == (1, 2)
    assert "temperature" not in kept


def test_a_diverging_loss_stops_and_says_what_to_do(data, tiny):
    with pytest.raises(
        HumanturnError, match=r"the (loss|gradient norm) of step \d is (nan|inf); lower the learning rate"
    ):
        train(settings(data, tiny, method="full", learning_rate=1e25, checkpoint_every=100), data / "out")


def test_a_loss_that_climbs_stops_with_the_last_good_checkpoint_kept(data, tiny):
    with pytest.raises(
        HumanturnError, match=r"the loss climbed by .* to step \d+; lower .*good checkpoint is"
    ) as error:
        train(settings(data, tiny, method="full", learning_rate=3.0, warmup=0.5, epochs=20), data / "out")
    losses = [line["loss"] for line in jsonl.read(data / "out" / "metrics.jsonl", dict)]
    assert climbed(losses) > RISE
    kept = int(str(error.value).rstrip(")").rpartition("checkpoint-")[2])
    assert climbed(losses[:kept]) < RISE / 2, "nothing was saved on the way up"


def test_a_loss_that_swings_and_falls_is_let_be():
    assert climbed([10.0, 7.0, 9.0, 6.0, 8.0, 5.0, 7.0, 4.0, 6.0, 3.0]) == 0
    assert climbed([2.0] * 6 + [9.0]) == pytest.approx(7 / 5)


def test_bad_data_is_named_by_file_and_line(data, tiny):
    (data / "train.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(FormatError, match=r"train\.jsonl:1: .*missing required field `messages`"):
        train(settings(data, tiny), data / "out")
    (data / "train.jsonl").write_text("")
    with pytest.raises(FormatError, match="holds no conversation"):
        train(settings(data, tiny), data / "out2")
    with pytest.raises(InputError, match="no such file"):
        train(settings(data, tiny).model_copy(update={"data": str(data / "none.jsonl")}), data / "out3")
