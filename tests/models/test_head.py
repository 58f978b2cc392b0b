"""Losses in chunks are the model's own, whatever it does to its hidden states and logits."""

import copy

import numpy as np
import pytest
import torch
import transformers

from humanturn.errors import ModelError
from humanturn.models import head, packed
from humanturn.models.packed import TokenSequence

SMALL = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
}
MODELS = {
    "llama": (transformers.LlamaConfig, {"tie_word_embeddings": False}),
    "llama, tied": (transformers.LlamaConfig, {"tie_word_embeddings": True}),
    "mistral, window of 8": (transformers.MistralConfig, {"sliding_window": 8}),
    "qwen3": (transformers.Qwen3Config, {}),
    "gemma2, softcaps and window": (
        transformers.Gemma2Config,
        {"sliding_window": 8, "final_logit_softcapping": 2.0, "attn_logit_softcapping": 1.0},
    ),
    "gemma3, window": (transformers.Gemma3TextConfig, {"sliding_window": 8}),
    "granite, scaled logits": (transformers.GraniteConfig, {"logits_scaling": 3.0}),
    "cohere, scaled logits": (transformers.CohereConfig, {"logit_scale": 0.3}),
    "phi, biased head": (transformers.PhiConfig, {}),
    "gpt2": (transformers.GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4, "resid_pdrop": 0, "embd_pdrop": 0}),
}


def sequences(lengths=(30, 17, 5)):
    rng = np.random.default_rng(0)
    found = []
    for n in lengths:
        trained = rng.random(n) < 0.6
        trained[0], trained[-1] = False, True
        found.append(TokenSequence(rng.integers(3, 99, n).astype(np.int32), trained))
    return found


def pair(name):
    """The same random model with packed attention, and with transformers' plainest."""
    make, changes = MODELS[name]
    torch.manual_seed(0)
    config = make(
        **({k: v for k, v in SMALL.items() if make is not transformers.GPT2Config} | {"vocab_size": 99} | changes)
    )
    config.attention_dropout = config.attn_pdrop = 0.0
    ours = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=packed.register_attention())
    torch.nn.init.normal_(ours.get_output_embeddings().weight, std=0.5)
    plain = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def one_at_a_time(plain):
    """Sum of -log p with the logits of every position, by the model's own masks, conversation by conversation."""
    total = torch.zeros(())
    for sequence in sequences():
        ids = torch.from_numpy(sequence.ids.astype("int64"))[None]
        labels = torch.where(torch.from_numpy(sequence.trained), ids[0], -100)
        logits = plain(ids).logits[0, :-1].float()
        total = total + torch.nn.functional.cross_entropy(logits, labels[1:], reduction="sum")
    return total


@pytest.mark.parametrize("name", MODELS)
def test_packed_chunked_loss_and_gradients_are_those_of_full_logits_one_at_a_time(name, monkeypatch):
    monkeypatch.setattr(head, "LOGITS_BYTES", 1)  # 16 predicted tokens a chunk
    ours, plain = pair(name)
    head.teach_losses(ours)
    inputs, targets = packed.model_inputs(sequences())
    assert len(targets) > 20, "more than one chunk"
    loss = ours(**inputs, targets=targets)
    (loss / 3).backward()
    expected = one_at_a_time(plain)
    (expected / 3).backward()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    expected_gradients = dict(plain.named_parameters())
    for path, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected_gradients[path].grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_the_logits_are_never_there_as_a_whole(name, monkeypatch):
    monkeypatch.setattr(head, "LOGITS_BYTES", 1)
    ours, _ = pair(name)
    seen = []
    ours.get_output_embeddings().register_forward_hook(lambda _m, _i, out: seen.append(out.shape[1]))
    head.teach_losses(ours)
    inputs, targets = packed.model_inputs(sequences())
    ours(**inputs, targets=targets)
    assert max(seen) == 16
    assert sum(seen) == len(targets) + 1


def test_adapters_on_the_head_are_trained_as_by_full_logits(monkeypatch):
    import peft

    monkeypatch.setattr(head, "LOGITS_BYTES", 1)
    wanted = peft.LoraConfig(r=2, target_modules=["lm_head", "q_proj"], init_lora_weights=False)
    models = []
    for model in pair("llama"):
        torch.manual_seed(1)
        models.append(peft.get_peft_model(model, copy.deepcopy(wanted)))
    ours, plain = models
    head.teach_losses(ours.get_base_model())
    inputs, targets = packed.model_inputs(sequences())
    ours(**inputs, targets=targets).backward()
    one_at_a_time(plain).backward()
    gradients = {n: p.grad for n, p in ours.named_parameters() if p.requires_grad}
    assert any("lm_head" in name for name in gradients)
    for path, parameter in plain.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(gradients[path], parameter.grad, rtol=1e-4, atol=1e-5)


def test_token_losses_sum_to_the_loss_and_need_no_taught_model():
    ours, plain = pair("gemma2, softcaps and window")
    inputs, targets = packed.model_inputs(sequences())
    losses = head.token_losses(ours.eval(), inputs, targets)
    assert losses.shape == targets.shape
    assert float(losses.sum()) == pytest.approx(float(one_at_a_time(plain).detach()), rel=1e-5)


def test_a_model_that_does_not_come_apart_gets_its_logits_at_the_trained_positions():
    ours, plain = pair("llama")
    ours.base_model_prefix = "elsewhere"
    head.teach_losses(ours)
    inputs, targets = packed.model_inputs(sequences())
    loss = ours(**inputs, targets=targets)
    loss.backward()
    one_at_a_time(plain).backward()
    torch.testing.assert_close(ours.lm_head.weight.grad, plain.lm_head.weight.grad, rtol=1e-4, atol=1e-5)


def test_a_taught_model_still_answers_and_generates_as_before():
    ours, plain = pair("llama")
    head.teach_losses(ours)
    ids = torch.arange(3, 12)[None]
    torch.testing.assert_close(ours(ids).logits, plain(ids).logits)
    assert (
        ours.generate(ids, max_new_tokens=3, do_sample=False).tolist()
        == plain.generate(ids, max_new_tokens=3, do_sample=False).tolist()
    )


def test_a_row_without_a_trained_token_has_no_loss_and_no_gradient():
    ours, _ = pair("llama, tied")
    head.teach_losses(ours)
    silent = TokenSequence(np.arange(3, 12, dtype=np.int32), np.zeros(9, dtype=bool))
    inputs, targets = packed.model_inputs([silent])
    loss = ours(**inputs, targets=targets)
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(not p.grad.any() for p in ours.parameters())


def test_kinds_of_layers_that_would_mix_conversations_are_refused_by_name():
    packed.refuse_unpackable(transformers.Gemma3TextConfig(**SMALL))
    config = transformers.Lfm2Config(**SMALL | {"layer_types": ["conv", "full_attention"]})
    with pytest.raises(ModelError, match="lfm2: its layers mix tokens by conv, which cannot be packed yet"):
        packed.refuse_unpackable(config)
    for config in (transformers.BloomConfig(), transformers.FalconConfig(), transformers.GPTJConfig()):
        with pytest.raises(ModelError, match=f"{config.model_type}: computes attention by code of its own"):
            packed.refuse_unpackable(config)
