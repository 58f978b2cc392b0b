"""The served model reads what transformers and vLLM would give it: the folder's own chat template, and nothing else."""

import asyncio
import shutil

import httpx
import openai
import pytest

from humanturn import scaffold, template, tokens
from humanturn.conversation import Turn
from humanturn.errors import InputError
from humanturn.serve.roles import flipped, plain
from humanturn.serve.speaker import ContextFullError, Speaker, fitted, load
from humanturn.serve.stage import serve
from serving import EGGS, Talker, hosted, messages, served

TALKS = {
    "a first question": EGGS[:1],
    "an answer last": EGGS[:2],
    "a whole talk": EGGS,
    "a system turn": (("system", "You are terse."), *EGGS[:3]),
    "an answer first": EGGS[1:3],
}
SPARE = 1024
"""Positions of the tiny model."""


@pytest.fixture(scope="module")
def tiny_user(tiny, tmp_path_factory):
    """The tiny model as a user model: its chat template opens user turns."""
    folder = tmp_path_factory.mktemp("models") / "tiny-user"
    shutil.copytree(tiny, folder)
    tokenizer = tokens.load(tiny)
    tokenizer.chat_template = scaffold.trained_template(tokenizer, "user")
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("talk", TALKS.values(), ids=TALKS)
@pytest.mark.parametrize("kind", ["tiny", "tiny_user"])
def test_the_tokens_of_a_prompt_are_those_of_apply_chat_template(kind, talk, request):
    speaker = load(f"hf:{request.getfixturevalue(kind)}")
    assert speaker.plays == ("user" if kind == "tiny_user" else "assistant")
    fed = template.prompt_ids(speaker.tokenizer, plain(speaker, [Turn(*turn) for turn in talk]))
    expected = speaker.tokenizer.apply_chat_template(messages(*talk), add_generation_prompt=True, tokenize=True)
    assert fed == list(expected["input_ids"])


@pytest.mark.parametrize("kind", ["tiny", "tiny_user"])
def test_over_http_the_greedy_reply_is_what_transformers_generates_from_that_prompt(kind, request):
    """A model with random weights says something else after every other prompt."""
    import torch
    import transformers

    folder = request.getfixturevalue(kind)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    with served(f"hf:{folder}", "--name", "m") as url:
        talk = openai.OpenAI(base_url=url, api_key="none").chat.completions
        for turns in TALKS.values():
            prompt = tokenizer.apply_chat_template(
                messages(*turns), add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
            length = prompt["input_ids"].shape[1]
            with torch.inference_mode():
                written = model.generate(**prompt, do_sample=False, max_new_tokens=8)[0, length:]
            said = talk.create(model="m", messages=messages(*turns), temperature=0, max_tokens=8)
            assert said.usage.prompt_tokens == length
            assert said.choices[0].message.content == tokenizer.decode(written, skip_special_tokens=True).strip()
        if kind == "tiny_user":
            first = talk.create(model="m", messages=[], temperature=0, max_tokens=8)
            preface = len(template.prompt_ids(tokenizer, [Turn("system", template.USER_MODEL_PREFACE)]))
            assert first.usage.prompt_tokens == preface
        else:
            with pytest.raises(openai.BadRequestError, match="messages is empty"):
                talk.create(model="m", messages=[])
        varied = {"model": "m", "messages": messages(*EGGS[:1]), "temperature": 0, "max_tokens": 8}
        unlike = [talk.create(**varied, presence_penalty=p).choices[0].message.content for p in (2, -2)]
        assert unlike[0] != unlike[1]
        with pytest.raises(openai.BadRequestError) as refused:
            talk.create(model="m", messages=messages(("user", "egg " * SPARE)))
        assert refused.value.code == "context_length_exceeded"
        assert httpx.get(url + "/models").json()["data"][0]["max_model_len"] == SPARE


def test_before_the_first_turn_a_user_model_reads_its_preface_as_in_training(tiny_user):
    speaker = load(f"hf:{tiny_user}")
    opened = template.text(speaker.tokenizer, [Turn("user", "Hi")])
    shown = template.text(speaker.tokenizer, plain(speaker, []), open_turn=True)
    assert opened.startswith(shown) and template.USER_MODEL_PREFACE in shown


def test_a_client_that_calls_the_user_assistant_is_understood():
    asked = [Turn("assistant", "How do I boil an egg?"), Turn("user", "Six minutes.")]
    speaker = Speaker("m", Talker())
    assert flipped(speaker, asked) == [Turn("user", "How do I boil an egg?"), Turn("assistant", "Six minutes.")]
    told = [Turn("system", "You are in a hurry."), Turn("system", "You want eggs."), *asked]
    intent, *rest = flipped(speaker, told)
    assert rest == list(flipped(speaker, asked))
    assert [intent] == template.with_intent([], "You are in a hurry.\n\nYou want eggs.")
    assert flipped(speaker, []) == (Turn("system", template.USER_MODEL_PREFACE),)


def test_flipped_roles_reach_the_model_over_http():
    model = Talker("And a soft one?")
    asked = messages(("assistant", EGGS[0][1]), ("user", EGGS[1][1]))
    with hosted(model, roles="flipped") as url:
        said = openai.OpenAI(base_url=url + "/v1", api_key="none").chat.completions.create(model="m", messages=asked)
    assert model.asked[0][0] == [Turn(*turn) for turn in EGGS[:2]]
    assert said.choices[0].message.role == "assistant"


def test_an_ordinary_model_cannot_be_flipped_into_a_user(tiny):
    with pytest.raises(InputError, match="answers users"):
        serve(f"hf:{tiny}", port=0, roles="flipped")


def test_a_reply_has_the_room_that_its_prompt_leaves(tiny):
    speaker = load(f"hf:{tiny}")
    turns = [Turn("user", "egg " * 900)]
    prompt = len(template.prompt_ids(speaker.tokenizer, turns))

    def room(**asked):
        return asyncio.run(fitted(speaker, turns, **asked))

    assert room(wanted=None, usual=10) == 10
    assert room(wanted=None, usual=5000) == SPARE - prompt
    assert room(wanted=SPARE - prompt, usual=1) == SPARE - prompt
    with pytest.raises(ContextFullError, match=f"{prompt} and {SPARE - prompt + 1} are to be written"):
        room(wanted=SPARE - prompt + 1, usual=1)
