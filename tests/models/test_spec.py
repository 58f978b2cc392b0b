import asyncio
import json

import pytest

from chat_server import chat_server
from humanturn import jsonl
from humanturn.conversation import Conversation, Turn
from humanturn.errors import EndpointError, HumanturnError, ModelError
from humanturn.models import spec
from humanturn.models.model import Sampling

ASK = [Turn("user", "What is bread?")]


def reply(model, **sampling):
    return asyncio.run(_once(model, Sampling(**sampling)))


async def _once(model, sampling):
    try:
        return await model.reply(ASK, sampling=sampling, seed=3)
    finally:
        await model.close()


@pytest.mark.parametrize("name", ["", "gpt-4", "hf:", "openai:", "scripted:", "file:x"])
def test_a_malformed_spec_lists_the_forms(name):
    with pytest.raises(ModelError, match="embedded|hf:PATH"):
        spec.load(name)


def test_a_folder_that_holds_no_model_is_named(tmp_path):
    with pytest.raises(ModelError, match="is no model folder"):
        spec.load(f"hf:{tmp_path}")
    with pytest.raises(ModelError, match="no such model folder"):
        spec.load(f"hf:{tmp_path}/none")


def test_a_folder_whose_weights_are_missing_or_no_language_model_is_named(tmp_path, tiny):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["BertModel"], "model_type": "bert"}))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny / name).read_bytes())
    with pytest.raises(ModelError, match="no causal language model"):
        reply(spec.load(f"hf:{tmp_path}"))
    (tmp_path / "config.json").write_bytes((tiny / "config.json").read_bytes())
    with pytest.raises(ModelError, match="cannot be loaded"):
        reply(spec.load(f"hf:{tmp_path}"))


def test_a_hub_id_that_cannot_be_had_is_one_sentence(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="neither a folder here nor to be had from the hub"):
        spec.load("hf:nobody/nothing")


def test_an_openai_endpoint_replies_with_its_usage():
    with chat_server() as server:
        said = reply(spec.load(f"openai:m@{server.url}"), max_tokens=90, stop=("END",))
        assert said.text.startswith("Tell me about")
        assert (said.prompt_tokens, said.finish_reason) == (10, "stop")
        assert server.requests[0]["stop"] == ["END"]
        assert server.requests[0]["max_tokens"] == 90


def test_a_key_is_sent_from_the_environment_and_shown_nowhere(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with chat_server(faults=1.0) as server:
        model = spec.load(f"openai:m@{server.url}")
        with pytest.raises(EndpointError) as caught:
            reply(model)
        assert server.keys_seen == {"Bearer sk-very-secret"}
    assert "secret" not in str(caught.value) + repr(vars(model)) + model.name


def test_openai_itself_needs_a_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelError, match="export OPENAI_API_KEY"):
        spec.load("openai:gpt-x")


def test_an_endpoint_that_refuses_connections_is_one_sentence():
    with pytest.raises(EndpointError, match="nothing answers there"):
        reply(spec.load("openai:m@http://127.0.0.1:9/v1"))


def test_an_endpoint_that_hangs_is_given_up_after_the_time_it_has():
    with chat_server(faults=1.0, kinds=("hung",)) as server:
        with pytest.raises(EndpointError, match="TimeoutError") as caught:
            reply(spec.load(f"openai:m@{server.url}", timeout_s=0.2))
        assert caught.value.passing
        assert caught.value.perhaps_paid, "who knows whether it went on writing"


def test_a_reply_longer_than_was_asked_for_counts_as_cut():
    with chat_server(faults=1.0, kinds=("over-long",)) as server:
        said = reply(spec.load(f"openai:m@{server.url}"), max_tokens=9)
        assert (said.completion_tokens, said.finish_reason) == (21, "length")


def test_the_tiny_model_replies_alike_alone_and_in_company(tiny):
    async def both():
        model = spec.load(f"hf:{tiny}")
        sampling = Sampling(temperature=1.0, max_tokens=6)
        alone = await model.reply(ASK, sampling=sampling, seed=5)
        crowd = await asyncio.gather(*(model.reply(ASK, sampling=sampling, seed=s) for s in range(12)))
        await model.close()
        return alone, crowd

    alone, crowd = asyncio.run(both())
    assert crowd[5].text == alone.text
    assert len({r.text for r in crowd}) > 1


def test_a_script_says_what_comes_next_in_it(tmp_path):
    path = tmp_path / "s.jsonl"
    said = (Turn("user", "What is bread?"), Turn("assistant", "Food."))
    jsonl.write(path, [Conversation(id="a", messages=said)])
    assert reply(spec.load(f"scripted:{path}")).text == "Food."


def test_an_empty_script_is_refused(tmp_path):
    (tmp_path / "s.jsonl").write_text("")
    with pytest.raises(HumanturnError, match="holds no conversation"):
        spec.load(f"scripted:{tmp_path / 's.jsonl'}")


def test_a_password_in_a_url_is_refused_and_not_repeated():
    with pytest.raises(ModelError, match="takes no password") as error:
        spec.load("openai:m@https://me:hush@host/v1")
    assert "hush" not in str(error.value)
