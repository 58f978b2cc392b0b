"""Memory is counted before it is needed: what a forward pass keeps, what fits, and what to do when it does not."""

import platform
import subprocess
import sys

import pytest
import torch
import transformers
from torch.autograd.graph import saved_tensors_hooks

from humanturn.errors import InputError
from humanturn.models import packed, weights
from humanturn.train import adapters, memory, recompute
from humanturn.train.trainer import Steps


@pytest.fixture
def model(tiny):
    return weights.load(tiny, attention=packed.register_attention())[0]


def test_each_way_of_recomputing_is_counted_as_less_than_the_one_before(model):
    cost = memory.row_cost(model)
    found = [memory.per_token(cost, how) for how in ("none", "elementwise", "layers")]
    assert found == sorted(found, reverse=True)
    assert cost.layers == 2
    assert cost.layer_inputs == 2 * 32 * 4


def test_what_a_row_keeps_is_counted_to_the_byte_of_a_longer_one(model):
    inputs, _ = packed.model_inputs([memory.probe(model, 300)])
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    model.train()
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        output = model(**inputs)
    real = sum(size for pointer, size in kept.items() if pointer not in own)
    del output
    cost = memory.row_cost(model)
    assert cost.fixed + cost.everything * 300 == pytest.approx(real, rel=0.01)


def test_copies_of_weights_in_other_numbers_are_not_counted_for_every_token(model):
    cost = memory.row_cost(model)
    with torch.autocast("cpu", torch.bfloat16):
        rough = memory.row_cost(model)
    products = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    assert rough.fixed == pytest.approx(2 * products, rel=0.1)
    assert rough.everything < cost.everything


def test_adapters_take_the_memory_of_gradients_and_optimizer_away(model):
    import peft

    whole = memory.choose(model, row_tokens=500).needed
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    lean = memory.choose(adapted, row_tokens=500).needed
    size = sum(p.numel() for p in model.parameters() if p.requires_grad) * 4
    assert lean.gradients == size < whole.gradients / 10
    assert lean.optimizer == 2 * size


def test_with_little_room_whole_layers_are_computed_again(model, monkeypatch):
    cost = memory.row_cost(model)
    needs = {how: memory.estimate(model, cost, 5000, how).total for how in ("elementwise", "layers")}
    for room, expected in ((needs["elementwise"], "elementwise"), (needs["elementwise"] - 1, "layers")):
        monkeypatch.setattr(memory, "free", lambda _device, room=room: room)
        assert memory.choose(model, row_tokens=5000).recompute == expected


def test_only_plentiful_memory_is_spent_on_keeping_everything(model, monkeypatch):
    everything = memory.estimate(model, memory.row_cost(model), 5000, "none").total
    for room, expected in ((2 * everything, "none"), (2 * everything - 1, "elementwise")):
        monkeypatch.setattr(memory, "free", lambda _device, room=room: room)
        assert memory.choose(model, row_tokens=5000).recompute == expected


ALLOCATE = """
import sys
import psutil, torch
from humanturn.train import allocation

def grown(reused):
    process = psutil.Process()
    with allocation.blocks(reused=reused):
        torch.ones(1)
        before = process.memory_info().rss
        kept = []
        for _ in range(40):  # a block that stays after each one that goes
            passing = torch.ones(500_000)
            kept.append(torch.ones(500_000))
            del passing
        alive = process.memory_info().rss - before
        del kept
        return alive, process.memory_info().rss - before

print(*grown(False), *grown(True))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to do with freed blocks")
def test_freed_blocks_are_kept_for_the_next_row_or_given_back_where_memory_is_short():
    said = subprocess.check_output([sys.executable, "-c", ALLOCATE], text=True)
    alive, given_back, _, reused = map(int, said.split())
    assert alive == pytest.approx(40 * 2e6, rel=0.1), "what is alive, and no more"
    assert given_back < 10e6
    assert reused > 70e6, "kept for the next row"


def test_with_too_little_room_the_error_names_the_settings_that_help(model, monkeypatch):
    layers = memory.estimate(model, memory.row_cost(model), 5000, "layers")
    monkeypatch.setattr(memory, "free", lambda _device: layers.total - 1)
    with pytest.raises(InputError, match=r"set max_tokens and row_tokens to \d+ or less") as error:
        memory.choose(model, row_tokens=5000)
    advised = int(str(error.value).split("row_tokens to ")[1].split()[0])
    assert memory.choose(model, row_tokens=advised).recompute == "layers", "the advice holds"
    monkeypatch.setattr(memory, "free", lambda _device: 1000)
    with pytest.raises(InputError, match=r"train with LoRA \(--lora 16\), or choose a smaller backbone"):
        memory.choose(model, row_tokens=64)


def test_no_row_is_longer_than_the_bound_that_memory_is_counted_for():
    lengths = [30, 40, 100, 7]
    sequences = [
        packed.TokenSequence(torch.arange(n).numpy().astype("int32"), torch.arange(n).gt(0).numpy()) for n in lengths
    ]
    for budget in (20, 90, 120, 1000):
        data = Steps(sequences, [[0, 1], [2, 3]], budget)
        longest = max(rows["input_ids"].shape[1] for i in range(2) for rows in data[i]["rows"])
        assert longest <= data.longest_row()


@pytest.mark.parametrize("rank", [None, 4, 2 * recompute.NARROW])
@pytest.mark.parametrize("how", ["elementwise", "layers"])
def test_recomputing_changes_no_bit_of_the_gradients(tiny, how, rank):
    gradients = []
    for way in ("none", how):
        model = weights.load(tiny, attention=packed.register_attention())[0].train()
        recompute.enable(model, way)
        if rank:
            model = adapters.adapt(model, "lora", rank=rank, seed=0)
            torch.manual_seed(1)
            for name, factor in model.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(factor, std=0.02)
        inputs, targets = packed.model_inputs([memory.probe(model, 200)])
        torch.nn.functional.cross_entropy(model(**inputs).logits[0], targets).backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox"])
def test_layers_are_found_whatever_they_call_their_attention(kind):
    shape = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 512}
    config = transformers.AutoConfig.for_model(kind, **shape)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=packed.register_attention())
    cost = memory.row_cost(model)
    assert cost.layers == 3
    assert cost.layer_inputs == 3 * 32 * 4
    assert cost.everything > memory.per_token(cost, "elementwise") > memory.per_token(cost, "layers")


def test_processes_on_one_machine_share_its_memory(model, monkeypatch):
    alone = memory.free("cpu")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert memory.free("cpu") == pytest.approx(alone / 4, rel=0.2)


def test_elementwise_recomputing_keeps_no_result_of_an_elementwise_operation(tiny):
    model = weights.load(tiny, attention=packed.register_attention())[0].train()
    inputs, _ = packed.model_inputs([memory.probe(model, 200)])
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = []

    def count(tensor):
        kept.append(tensor.numel() if tensor.untyped_storage().data_ptr() not in own else 0)
        return tensor

    for way in ("none", "elementwise"):
        recompute.enable(model, way)
        with saved_tensors_hooks(count, lambda tensor: tensor):
            output = model(**inputs)
        kept.append(None)
        del output
    apart = kept.index(None)
    assert sum(kept[apart + 1 : -1]) < sum(kept[:apart]) / 2
