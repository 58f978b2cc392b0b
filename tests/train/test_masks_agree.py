"""Three ways to find the trained tokens agree, over the templates of the field."""

import json

import numpy as np
import pytest
from tokenizers import Regex, pre_tokenizers

from humanturn import scaffold, template, tokens
from humanturn.conversation import Conversation, Turn
from humanturn.train.masking import mask

ROLES = (
    "{%- if loop.index0 % 2 != (m.role == 'assistant') | int -%}{{ raise_exception('must alternate') }}{%- endif -%}"
)

STOCK = {
    "chatml": (
        "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\n' }}"
        "@{{ m.content + '<|im_end|>' }}@{{ '\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
    ),
    "qwen": (
        "{%- if messages[0].role != 'system' -%}{{ '<|im_start|>system\nYou are helpful.<|im_end|>\n' }}{%- endif -%}"
        "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\n' }}"
        "@{{ m.content + '<|im_end|>' }}@{{ '\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
    ),
    "llama3": (
        "{{- '<|begin_of_text|>' -}}{%- for m in messages -%}"
        "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}"
        "@{{ m.content | trim + '<|eot_id|>' }}@{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif -%}"
    ),
    "gemma": (
        "{{- '<bos>' -}}{%- for m in messages -%}"
        + ROLES
        + "{{ '<start_of_turn>' + m.role.replace('assistant', 'model') }}"
        "{{ '\n' }}@{{ m.content | trim + '<end_of_turn>' }}@{{ '\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}"
    ),
    "mistral": (
        "{{- '<s>' -}}{%- for m in messages -%}"
        + ROLES
        + "{%- if m.role == 'user' -%}{{ '[INST] ' + m.content + '[/INST]' }}"
        "{%- else -%}{{ ' ' }}@{{ m.content + '</s>' }}@{%- endif -%}{%- endfor -%}"
    ),
    "vicuna": (
        "{{- 'A chat between a curious user and an artificial intelligence assistant. ' -}}{%- for m in messages -%}"
        "{%- if m.role == 'user' -%}{{ 'USER: ' + m.content + ' ' }}"
        "{%- else -%}{{ 'ASSISTANT: ' }}@{{ m.content + '</s>' }}@{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}"
    ),
    "none": None,
}
"""Stock templates, `@` where `{% generation %}` would begin and end."""

LINES_APART = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""How Llama 3 and Qwen split text: no line break is joined to a word, which prefixes depend on (offsets do not)."""

TOKENS = (
    "<|begin_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <bos> <start_of_turn> <end_of_turn> <s> </s>"
    " [INST] [/INST]"
)

TALK = Conversation(
    id="t",
    messages=(
        Turn("user", "user"),
        Turn("assistant", "assistant\n\n```python\nx = 1\n```"),
        Turn("user", "why? 你好 🙂"),
        Turn("assistant", "Because."),
    ),
)

BEGIN, END = "{% generation %}", "{% endgeneration %}"


@pytest.fixture(scope="module")
def stock(smollm2):
    loaded = tokens.load(smollm2)
    loaded.add_special_tokens({"additional_special_tokens": TOKENS.split()})
    split = pre_tokenizers.Split(Regex(LINES_APART), "isolated")
    loaded.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return loaded


def by_offsets(tokenizer, role):
    """Ids and mask before anything is cut."""
    coded = template.encode(tokenizer, TALK.messages)
    wanted = [n for n, turn in enumerate(TALK.messages) if turn.role == role]
    return coded.ids, np.isin(coded.owner, wanted)


def by_generation_tags(tokenizer, tagged):
    found = tokenizer.apply_chat_template(
        messages(TALK.messages), chat_template=tagged, return_dict=True, return_assistant_tokens_mask=True
    )
    return np.array(found["input_ids"]), np.array(found["assistant_masks"], dtype=bool)


def by_prefixes(tokenizer, role):
    """A turn is what the rendering up to it adds to the prompt for it, up to its last control token."""
    whole = ids(tokenizer, TALK.messages, False)
    trained = np.zeros(len(whole), dtype=bool)
    for number, turn in enumerate(TALK.messages):
        if turn.role == role:
            prompt, after = (
                ids(tokenizer, TALK.messages[:number], True),
                ids(tokenizer, TALK.messages[: number + 1], False),
            )
            assert whole[: len(prompt)] == prompt
            last = max(i for i, token in enumerate(after) if token in tokenizer.all_special_ids)
            assert whole[: last + 1] == after[: last + 1]
            trained[len(prompt) : last + 1] = True
    return np.array(whole), trained


def ids(tokenizer, turns, opened):
    """Stock templates need a turn, and so does transformers: a user model's first turn stands behind the preface."""
    shown = turns or [Turn("system", template.USER_MODEL_PREFACE)]
    return tokenizer(template.text(tokenizer, shown, open_turn=opened), add_special_tokens=False)["input_ids"]


def messages(turns):
    return [{"role": turn.role, "content": turn.content} for turn in turns]


def tagged(role, stock_template):
    """The template with generation tags around the turns of `role` alone."""
    first, *rest = stock_template.split("@")
    open_, close = f"{{%- if m.role == '{role}' -%}}", "{%- else -%}"
    parts = [first]
    for content, after in zip(rest[::2], rest[1::2], strict=True):
        parts += [f"{open_}{BEGIN}{content}{END}{close}{content}{{%- endif -%}}", after]
    return "".join(parts)


@pytest.mark.parametrize("name", [name for name, found in STOCK.items() if found])
def test_an_assistants_mask_is_the_same_by_offsets_by_generation_tags_and_by_prefixes(stock, name):
    stock.chat_template = STOCK[name].replace("@", "")
    given, trained = by_offsets(stock, "assistant")
    for other_ids, other in (
        by_generation_tags(stock, tagged("assistant", STOCK[name])),
        by_prefixes(stock, "assistant"),
    ):
        assert given.tolist() == other_ids.tolist()
        assert trained.tolist() == other.tolist()
    assert trained.sum() >= 8


@pytest.mark.parametrize("name", STOCK)
def test_a_user_models_mask_is_the_same_by_offsets_by_generation_tags_and_by_prefixes(stock, name):
    stock.chat_template = STOCK[name] and STOCK[name].replace("@", "")
    frame = scaffold.read_off(stock)
    stock.chat_template = ours = scaffold.chat_template(frame)
    specials = template.control_tokens(stock)
    ends = {role: end[: specials.search(end).end()] for role, end in frame.ends.items() if role != "system"}
    rest = {role: frame.ends[role][len(end) :] for role, end in ends.items()}
    turn = "{{- headers[message['role']] + message['content'] + ends[message['role']] -}}"
    assert turn in ours
    said = "{{- message['content'] + own[message['role']] -}}"
    with_tags = ours.replace(
        turn,
        f"{{%- set own = {json.dumps(ends)} -%}}{{%- set rest = {json.dumps(rest)} -%}}"
        "{{- headers[message['role']] -}}"
        f"{{%- if message['role'] == 'user' -%}}{BEGIN}{said}{END}{{%- else -%}}{said}{{%- endif -%}}"
        "{{- rest[message['role']] -}}",
    )
    given, trained = by_offsets(stock, "user")
    for other_ids, other in (by_generation_tags(stock, with_tags), by_prefixes(stock, "user")):
        assert given.tolist() == other_ids.tolist()
        assert trained.tolist() == other.tolist()
    (sequence,) = mask(stock, [TALK], role="user", max_tokens=500).sequences
    assert sequence.trained.tolist() == trained[: len(sequence.ids)].tolist()


@pytest.mark.parametrize("name", STOCK)
def test_every_token_is_a_users_an_assistants_or_scaffold(stock, name):
    stock.chat_template = STOCK[name] and STOCK[name].replace("@", "")
    stock.chat_template = scaffold.trained_template(stock, "user")
    _, users = by_offsets(stock, "user")
    _, assistants = by_offsets(stock, "assistant")
    neither = template.encode(stock, TALK.messages).owner == template.SCAFFOLD
    assert (users.astype(int) + assistants + neither == 1).all()
    assert min(users.sum(), assistants.sum(), neither.sum()) > 0


@pytest.mark.parametrize("name", STOCK)
def test_a_user_model_reads_the_papers_words_first(stock, name):
    stock.chat_template = STOCK[name] and STOCK[name].replace("@", "")
    stock.chat_template = scaffold.trained_template(stock, "user")
    read = " ".join(template.text(stock, TALK.messages).split())
    before = read[: read.index("brand new questions without any conversations as context.")]
    assert (
        "A chat between a curious human and an artificial intelligence assistant. The human can ask further" in before
    )


def test_an_assistant_without_a_template_of_its_own_gets_vicunas_and_opens_answers(stock):
    stock.chat_template = None
    stock.chat_template = scaffold.trained_template(stock, "assistant")
    text = template.text(stock, TALK.messages[:1], open_turn=True)
    assert text.removeprefix(stock.bos_token).startswith("A chat between a curious user")
    assert text.endswith("ASSISTANT:") or text.endswith("ASSISTANT:\n")
    assert template.opens(stock) == "assistant"
