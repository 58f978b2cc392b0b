"""Others' user models load by `hf:` with their own templates: a random Llama with a template of UserLM-8b's shape.

That template is Llama 3's with the header of a user turn always at its end, asked for or not; conversations end with
a token of their own.
"""

import asyncio

import pytest
import torch
import transformers

from humanturn import scaffold, template, tokens
from humanturn.conversation import Turn
from humanturn.models import spec, weights
from humanturn.models.model import Sampling

CONTROL = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
LEAVES = "<|endconversation|>"
TEMPLATE = (
    "{% for m in messages %}{% if loop.first %}{{ '<|begin_of_text|>' }}{% endif %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{{ '<|start_header_id|>user<|end_header_id|>\n\n' }}"
)
INTENT = Turn("system", "You are a user who wants to boil an egg.")
TALK = [INTENT, Turn("user", "eggs?"), Turn("assistant", "Six minutes.")]


@pytest.fixture(scope="module")
def userlm(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "userlm"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    tokenizer.add_special_tokens({"additional_special_tokens": CONTROL})
    tokenizer.add_tokens([LEAVES])
    tokenizer.eos_token = "<|eot_id|>"
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny)
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    return folder


def test_it_is_known_for_a_user_model_that_stops_at_its_own_end_tokens(userlm):
    tokenizer = tokens.load(userlm)
    assert template.opens(tokenizer) == "user"
    stops = tokenizer.convert_ids_to_tokens(template.stop_ids(tokenizer))
    assert {"<|eot_id|>", LEAVES} <= set(stops)
    assert weights.card(userlm) is None


def test_the_intent_stands_first_and_the_next_user_turn_is_opened_once(userlm):
    tokenizer = tokens.load(userlm)
    for talk in ([INTENT], TALK):
        shown = tokenizer.decode(template.prompt_ids(tokenizer, talk))
        assert shown.startswith("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou are a user who")
        assert shown.endswith("<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n")
        assert shown.count("<|start_header_id|>user") == 1 + (talk is TALK)


def test_its_turns_own_their_text_and_end_token(userlm):
    tokenizer = tokens.load(userlm)
    coded = template.encode(tokenizer, TALK)
    owned = [tokenizer.decode(coded.ids[coded.owner == n]) for n in range(3)]
    assert owned == [t.content + "<|eot_id|>" for t in TALK]


def test_training_goes_on_from_it_with_its_headers(userlm):
    tokenizer = tokens.load(userlm)
    tokenizer.chat_template = scaffold.trained_template(tokenizer, "user")
    text = template.text(tokenizer, TALK[1:])
    assert text.count("<|start_header_id|>user<|end_header_id|>") == 1
    assert text.endswith("Six minutes.<|eot_id|>")
    assert template.opens(tokenizer) == "user"


def test_saying_the_token_that_ends_conversations_is_an_empty_turn(userlm, tmp_path):
    tokenizer = tokens.load(userlm)
    model = transformers.AutoModelForCausalLM.from_pretrained(userlm)
    opened = template.prompt_ids(tokenizer, TALK)[-1]
    with torch.no_grad():  # layers that add nothing: what follows the opened turn is what its last token is closest to
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embedded = model.get_input_embeddings().weight
        embedded[tokenizer.convert_tokens_to_ids(LEAVES)] = 100 * embedded[opened]
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)

    async def ask():
        loaded = spec.load(f"hf:{tmp_path}")
        return await loaded.reply(TALK, sampling=Sampling(max_tokens=3, temperature=0), seed=0)

    reply = asyncio.run(ask())
    assert (reply.text, reply.finish_reason, reply.completion_tokens) == ("", "stop", 1)
