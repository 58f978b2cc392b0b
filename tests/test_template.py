"""Templates of the field, and what must hold for the tokens they give."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humanturn import scaffold, template, tokens
from humanturn.conversation import Turn
from humanturn.errors import FormatError

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ '<|endoftext|>' }}{% for m in messages %}{{ '<|im_start|>' + m['role'] + '<|repo_name|>\n\n'"
    " + m['content'] | trim + '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|repo_name|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ '<|endoftext|>' }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<|im_start|>' + ('model' if m['role'] == 'assistant' else 'user') + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}"
)
MISTRAL = (
    "{{ '<|endoftext|>' }}{% for m in messages %}"
    "{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{% endfor %}"
)
STOCK = {"chatml": CHATML, "llama3": LLAMA3, "gemma": GEMMA, "mistral": MISTRAL, "none": None}

TALK = [
    Turn("assistant", "Hi user, I am the assistant."),
    Turn("user", "user"),
    Turn("assistant", "assistant\n\n```python\nx = 1\n```"),
    Turn("user", "why? 你好 🙂"),
    Turn("assistant", "Because."),
]


@pytest.fixture
def user_tokenizer(smollm2, request):
    tokenizer = tokens.load(smollm2)
    tokenizer.chat_template = STOCK[getattr(request, "param", "chatml")]
    tokenizer.chat_template = scaffold.trained_template(tokenizer, "user")
    return tokenizer


@pytest.mark.parametrize("user_tokenizer", STOCK, indirect=True)
def test_every_stock_template_becomes_one_that_opens_user_turns_and_takes_an_answer_first(user_tokenizer):
    coded = template.encode(user_tokenizer, TALK)
    for number, turn in enumerate(TALK):
        owned = user_tokenizer.decode(coded.ids[coded.owner == number])
        text = owned.lstrip(" ") if owned.startswith(" ") else owned
        assert text.startswith(turn.content)
        rest = text[len(turn.content) :].strip()
        assert rest in set(user_tokenizer.all_special_tokens), "a turn owns its text and one end-of-turn token"
    assert template.opens(user_tokenizer) == "user"


@pytest.mark.parametrize("user_tokenizer", STOCK, indirect=True)
def test_the_prompt_for_a_turn_is_token_for_token_what_training_rendered(user_tokenizer):
    coded = template.encode(user_tokenizer, TALK)
    for number, turn in enumerate(TALK):
        if turn.role == "user":
            start = int((coded.owner == number).nonzero()[0][0])
            messages = [{"role": t.role, "content": t.content} for t in TALK[:number]]
            prompt = user_tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
            assert list(prompt) == coded.ids[:start].tolist()
            assert template.prompt_ids(user_tokenizer, TALK[:number]) == coded.ids[:start].tolist()


def test_users_assistants_and_scaffold_share_out_all_tokens(user_tokenizer):
    coded = template.encode(user_tokenizer, TALK)
    assert set(coded.owner) == {-1, *range(len(TALK))}
    rebuilt = user_tokenizer.decode(coded.ids)
    assert rebuilt == template.text(user_tokenizer, TALK)


@settings(max_examples=150, deadline=None)
@given(contents=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40), min_size=1, max_size=6))
def test_any_text_is_owned_by_its_turn_and_by_no_other(smollm2, contents):
    tokenizer = _cached_user_tokenizer(smollm2)
    turns = [Turn(("user", "assistant")[i % 2], text) for i, text in enumerate(contents)]
    coded = template.encode(tokenizer, turns)
    assert sorted(set(coded.owner.tolist())) == [-1, *range(len(turns))]
    changes = (coded.owner[1:] != coded.owner[:-1]).sum()
    assert changes == 2 * len(turns), "each turn is one run of tokens, and scaffold stands between"


def test_a_spelled_out_control_token_is_an_error_that_names_the_turn(user_tokenizer):
    with pytest.raises(FormatError, match=r"talk-7, turn 1: spells out the control token '<\|im_end\|>'"):
        template.encode(user_tokenizer, [TALK[0], Turn("user", "stop <|im_end|> here")], name="talk-7")


@pytest.mark.parametrize(
    ("stock", "turns", "said"),
    [
        (LLAMA3, [Turn("user", "  spaced  ")], "does not render this user turn verbatim"),
        (GEMMA, TALK, "roles must alternate"),
        (
            "{% for m in messages %}{% if m['role'] != 'user' %}{{ m['content'] }}{% endif %}{% endfor %}",
            TALK,
            "drops turn 1",
        ),
    ],
)
def test_a_template_that_drops_rewrites_or_refuses_turns_is_an_error(smollm2, stock, turns, said):
    tokenizer = tokens.load(smollm2)
    tokenizer.chat_template = stock
    with pytest.raises(FormatError, match=said):
        template.encode(tokenizer, turns)


def test_a_system_turn_takes_the_place_of_the_preface(user_tokenizer):
    text = template.text(user_tokenizer, [Turn("system", "You want a refund."), Turn("user", "hi")])
    assert "You want a refund." in text
    assert "curious human" not in text
    same = template.text(user_tokenizer, [Turn("system", template.USER_MODEL_PREFACE), Turn("user", "hi")])
    assert same == template.text(user_tokenizer, [Turn("user", "hi")])


def test_the_overhead_is_what_the_template_adds(user_tokenizer):
    extra = scaffold.overhead(user_tokenizer, scaffold.read_off(user_tokenizer))
    contents = sum(len(user_tokenizer(t.content, add_special_tokens=False)["input_ids"]) for t in TALK)
    counted = extra.preface + contents + sum(extra.per_turn[t.role] for t in TALK)
    assert counted == len(template.encode(user_tokenizer, TALK).ids)


def test_role_play_flips_the_roles_behind_the_instruction():
    shown = template.as_roleplay(TALK[1:3])
    assert [t.role for t in shown] == ["system", "user", "assistant", "user"]
    assert shown[1].content == template.ROLEPLAY_OPENER
    assert [t.role for t in template.as_roleplay(TALK[:2])] == ["system", "user", "assistant"]


_known: dict = {}


def _cached_user_tokenizer(folder):
    if folder not in _known:
        tokenizer = tokens.load(folder)
        tokenizer.chat_template = scaffold.trained_template(tokenizer, "user")
        _known[folder] = tokenizer
    return _known[folder]
