"""What the official client gets from the real server: whole and streamed, one and many, for every option it sends."""

import asyncio

import httpx
import openai
import pytest

from humanturn.conversation import Turn
from humanturn.errors import EndpointError
from serving import EGGS, Talker, hosted, messages, served, wait_until, write_script

QUESTION = messages(EGGS[0])


def client(url, **options):
    return openai.OpenAI(base_url=url, api_key="none", max_retries=0, **options)


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    with served(write_script(tmp_path_factory.mktemp("script") / "eggs.jsonl"), "--name", "eggs") as url:
        yield url


@pytest.fixture(scope="module")
def embedded(smollm2):
    with served("embedded") as url:
        yield url


def test_a_reply_comes_whole_with_its_usage(script):
    said = client(script).chat.completions.create(model="eggs", messages=QUESTION)
    assert said.choices[0].message.content == "Six minutes."
    assert said.choices[0].message.role == "assistant"
    assert said.choices[0].finish_reason == "stop"
    assert (said.usage.prompt_tokens, said.usage.completion_tokens, said.usage.total_tokens) == (6, 2, 8)
    assert said.object == "chat.completion" and said.model == "eggs"


def test_a_reply_comes_as_a_stream_that_says_who_speaks_what_it_cost_and_that_it_ends(script):
    chunks = list(
        client(script).chat.completions.create(
            model="eggs", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Six minutes."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens == 8
    assert all(c.usage is None for c in chunks[:-1])
    assert len({c.id for c in chunks}) == 1


def test_without_being_asked_a_stream_does_not_speak_of_usage(script):
    chunks = client(script).chat.completions.create(model="eggs", messages=QUESTION, stream=True)
    assert all(c.choices and c.usage is None for c in chunks)


def test_the_model_is_listed_under_its_name(script):
    models = client(script).models
    assert [model.id for model in models.list()] == ["eggs"]
    assert models.retrieve("eggs").owned_by == "humanturn"
    with pytest.raises(openai.NotFoundError, match="not served here"):
        models.retrieve("hf:some/other")


def test_sixty_four_at_once_are_all_served_whole_and_streamed(tiny):
    async def ask(asking, number):
        options = {"model": "tiny", "messages": messages(("user", f"Question {number}?")), "max_tokens": 4}
        if number % 2:
            reply = await asking.chat.completions.create(**options)
            return reply.usage.completion_tokens
        chunks = await asking.chat.completions.create(**options, stream=True, stream_options={"include_usage": True})
        return [chunk async for chunk in chunks][-1].usage.completion_tokens

    async def ask_all(url):
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as asking:
            return await asyncio.gather(*(ask(asking, number) for number in range(64)))

    with served(f"hf:{tiny}", "--name", "tiny") as url:
        spent = asyncio.run(ask_all(url))
    assert len(spent) == 64 and all(1 <= tokens <= 4 for tokens in spent)


def test_the_real_model_says_the_same_for_the_same_seed_whole_and_streamed(embedded):
    talk = client(embedded).chat.completions
    asked = {"model": "embedded", "messages": QUESTION, "max_tokens": 12, "seed": 5}
    whole = talk.create(**asked).choices[0].message.content
    pieces = [c.choices[0].delta.content or "" for c in talk.create(**asked, stream=True)]
    assert whole and "".join(pieces) == whole
    assert talk.create(**asked | {"seed": 6}).choices[0].message.content != whole


def test_n_gives_other_choices_of_which_the_first_is_the_one_without_n(embedded):
    talk = client(embedded).chat.completions
    asked = {"model": "embedded", "messages": QUESTION, "max_tokens": 12, "seed": 5}
    one = talk.create(**asked)
    three = talk.create(**asked, n=3)
    texts = [choice.message.content for choice in three.choices]
    assert texts[0] == one.choices[0].message.content
    assert len(set(texts)) == 3
    assert three.usage.prompt_tokens == one.usage.prompt_tokens
    streamed = ["", "", ""]
    for chunk in talk.create(**asked, n=3, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert streamed == texts


def test_temperature_zero_takes_the_likeliest_words_and_a_stop_cuts_them(embedded):
    talk = client(embedded).chat.completions
    asked = {"model": "embedded", "messages": QUESTION, "max_tokens": 16, "temperature": 0}
    whole = talk.create(**asked, seed=1).choices[0]
    assert talk.create(**asked, seed=2).choices[0].message.content == whole.message.content
    assert whole.finish_reason == "length"
    word = whole.message.content.split()[4]
    for stop in (word, ["never said", word]):
        cut = talk.create(**asked, stop=stop).choices[0]
        assert cut.message.content == whole.message.content.partition(word)[0].strip()
        assert cut.finish_reason == "stop"
        streamed = talk.create(**asked, stop=stop, stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in streamed) == cut.message.content


def test_what_the_client_asks_for_is_what_the_model_is_told():
    model = Talker("yes")
    with hosted(model) as url:
        talk = client(url + "/v1").chat.completions
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        talk.create(
            model="m",
            messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}],
            temperature=0.3,
            top_p=0.9,
            presence_penalty=0.5,
            max_tokens=5,
            max_completion_tokens=7,
            stop=["x", "y"],
            seed=11,
        )
        talk.create(model="m", messages=QUESTION)
    turns, sampling, seed = model.asked[0]
    assert turns == [Turn("system", "Be brief."), Turn("user", "ab")]
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens) == (0.3, 0.9, 7)
    assert (sampling.presence, sampling.stop, seed) == (0.5, ("x", "y"), 11)
    assert (model.asked[1][1].temperature, model.asked[1][1].top_p, model.asked[1][1].max_tokens) == (1, 1, 1024)


def test_pieces_arrive_while_the_model_still_speaks():
    model = Talker("Six", " minutes.")
    model.go_on.clear()
    with hosted(model) as url:
        pieces = iter(client(url + "/v1").chat.completions.create(model="m", messages=QUESTION, stream=True))
        assert [next(pieces).choices[0].delta.content for _ in range(2)] == ["", "Six"]
        model.go_on.set()
        assert "".join(chunk.choices[0].delta.content or "" for chunk in pieces) == " minutes."


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_calls_the_work_off(stream):
    model = Talker("Six", " minutes.")
    model.go_on.clear()
    with hosted(model) as url:
        impatient = client(url + "/v1", timeout=0.5)
        with pytest.raises(openai.APITimeoutError):
            list(impatient.chat.completions.create(model="m", messages=QUESTION, n=2, stream=stream))
        wait_until(lambda: model.called_off == 2)


def test_a_full_server_says_when_to_come_again_and_has_room_again_later():
    from humanturn.serve.service import Limits

    model = Talker("Six", " minutes.")
    model.go_on.clear()
    with hosted(model, limits=Limits(concurrency=2)) as url:
        talk = client(url + "/v1").chat.completions
        first = talk.create(model="m", messages=QUESTION, n=2, stream=True)
        with pytest.raises(openai.RateLimitError) as refused:
            talk.create(model="m", messages=QUESTION)
        assert refused.value.response.headers["retry-after"] == "1"
        with pytest.raises(openai.BadRequestError, match="n is at most 2"):
            talk.create(model="m", messages=QUESTION, n=3)
        model.go_on.set()
        list(first)
        assert talk.create(model="m", messages=QUESTION, n=2).choices[1].message.content == "Six minutes."
        patient = client(url + "/v1").with_options(max_retries=3)
        model.go_on.clear()
        list(zip(talk.create(model="m", messages=QUESTION, n=2, stream=True), range(2), strict=False))
        model.go_on.set()
        assert patient.chat.completions.create(model="m", messages=QUESTION, n=2).choices


def test_a_model_that_fails_is_told_with_what_may_help():
    with hosted(Talker(error=EndpointError("busy", passing=True, retry_after=7))) as url:
        with pytest.raises(openai.InternalServerError, match="busy") as refused:
            client(url + "/v1").chat.completions.create(model="m", messages=QUESTION)
        assert refused.value.status_code == 503 and refused.value.response.headers["retry-after"] == "7"
    with hosted(Talker(error=EndpointError("no such key"))) as url:
        with pytest.raises(openai.InternalServerError, match="no such key") as refused:
            client(url + "/v1").chat.completions.create(model="m", messages=QUESTION, stream=True)
        assert refused.value.status_code == 502


def test_what_the_model_behind_refuses_is_the_clients_mistake_here_too():
    with (
        hosted(Talker(error=EndpointError("too long", status=400))) as url,
        pytest.raises(openai.BadRequestError, match="too long"),
    ):
        client(url + "/v1").chat.completions.create(model="m", messages=QUESTION)


def test_a_model_that_fails_in_the_middle_of_a_stream_makes_the_client_raise():
    with hosted(Talker("Six", error=EndpointError("lost it"))) as url:
        pieces = client(url + "/v1").chat.completions.create(model="m", messages=QUESTION, stream=True)
        heard = []
        with pytest.raises(openai.APIError, match="lost it"):
            heard.extend(chunk.choices[0].delta.content for chunk in pieces)
        assert "".join(heard) == "Six"


def test_a_bug_is_a_500_that_tells_nothing_and_the_server_lives(caplog):
    with hosted(Talker(error=ZeroDivisionError("secret"))) as url:
        for _ in range(2):
            with pytest.raises(openai.InternalServerError) as refused:
                client(url + "/v1").chat.completions.create(model="m", messages=QUESTION)
            assert refused.value.status_code == 500 and "secret" not in str(refused.value)
    assert "ZeroDivisionError" in caplog.text


def test_a_key_from_the_environment_is_asked_of_everyone(tmp_path):
    spec = write_script(tmp_path / "eggs.jsonl")
    for variable, options in (("HUMANTURN_API_KEY", ()), ("OUR_KEY", ("--api-key-env", "OUR_KEY"))):
        with served(spec, "--name", "m", *options, **{variable: "sesame"}) as url:
            for wrong in ("none", "sesam", "sesame2"):
                stranger = openai.OpenAI(base_url=url, api_key=wrong, max_retries=0)
                with pytest.raises(openai.AuthenticationError):
                    stranger.chat.completions.create(model="m", messages=QUESTION)
                with pytest.raises(openai.AuthenticationError):
                    stranger.models.list()
            for header in ({}, {"Authorization": "sésame".encode()}, {"Authorization": "Basic sesame"}):
                assert httpx.get(url + "/models", headers=header).status_code == 401
            friend = openai.OpenAI(base_url=url, api_key="sesame", max_retries=0)
            assert friend.chat.completions.create(model="m", messages=QUESTION).choices[0].message.content
