"""A turn streamed by a server, over real connections."""

import asyncio
import socket
import threading

import pytest

from chat_server import chat_server
from humanturn.conversation import Turn
from humanturn.errors import EndpointError
from humanturn.models import completion
from humanturn.models.model import Sampling
from humanturn.models.openai import OpenAIModel
from humanturn.models.streaming import stream
from serving import Talker, hosted

EGGS = [Turn("user", "How do I boil an egg?")]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
CHUNK = b'data: {"choices": [{"delta": {"content": "Six"}}]}\r\n\r\n'
END = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'


def heard(url, on_piece=lambda piece: None):
    """All that a stream says."""

    async def listen():
        model = OpenAIModel("m", url)
        try:
            said = []
            async for piece in stream(model, EGGS, sampling=Sampling(max_tokens=9), seed=5):
                said.append(piece)
                on_piece(piece)
            return said
        finally:
            await model.close()

    return asyncio.run(listen())


def answering(data):
    """URL of a server that answers one request with exactly `data`, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer():
        connection, _ = listener.accept()
        with connection, listener:
            connection.recv(65536)
            connection.sendall(data)

    threading.Thread(target=answer, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/v1"


def test_pieces_come_while_the_server_still_writes_and_last_the_whole_reply_with_its_usage():
    model = Talker("Six", " minutes.")
    model.go_on.clear()
    with hosted(model) as url:
        *said, reply = heard(url + "/v1", lambda piece: piece == "Six" and model.go_on.set())
    assert said == ["Six", " minutes."]
    assert (reply.text, reply.prompt_tokens, reply.completion_tokens) == ("Six minutes.", 3, 2)
    assert (reply.finish_reason, reply.model) == ("stop", f"openai:m@{url}/v1")
    (_, sampling, seed), *more = model.asked
    assert (sampling.max_tokens, seed, more) == (9, 5, [])


def test_a_server_that_does_not_stream_is_heard_in_one_piece():
    with chat_server() as server:
        said, reply = heard(server.url)
    assert said == reply.text
    assert server.tokens == reply.prompt_tokens + reply.completion_tokens


def test_a_stream_without_usage_is_counted_at_the_most_it_can_have_been():
    said, reply = heard(answering(HEAD + CHUNK + END + b"data: [DONE]\n\n"))
    assert said == reply.text == "Six"
    assert reply.completion_tokens == 3 and reply.prompt_tokens >= len(EGGS[0].content)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (HEAD + CHUNK, "broke off"),
        (HEAD + CHUNK + b"data: [DONE]\n\n", "broke off"),
        (HEAD + CHUNK + b"data: <html>\n\n", "no chat completion"),
        (HEAD + CHUNK + b'data: {"error": {"message": "out of memory"}}\n\n', "out of memory"),
        (HEAD.replace(b"close", b"close\r\nContent-Length: 500") + CHUNK, "ClientPayloadError"),
        (HEAD + b"data: " + b"x" * (33 << 20), "more than 32 MB"),
    ],
)
def test_a_stream_that_fails_in_the_middle_says_how_and_that_it_may_cost(data, said):
    with pytest.raises(EndpointError, match=said) as failure:
        heard(answering(data))
    assert failure.value.perhaps_paid and failure.value.passing


def test_what_the_server_refuses_is_refused_before_the_first_piece():
    with chat_server(refused="egg") as server, pytest.raises(EndpointError, match="HTTP 400"):
        heard(server.url)


@pytest.mark.parametrize(("finish", "kept"), [("stop", "stop"), (None, "stop"), ("content_filter", "length")])
def test_a_turn_is_cut_when_the_server_says_so_and_not_because_it_keeps_its_usage_to_itself(finish, kept):
    asked = [Turn("user", "hello")]
    found = completion.reply("m", "é" * 300, finish, None, asked, Sampling(max_tokens=256), 0.0)
    assert (found.finish_reason, found.completion_tokens) == (kept, 600)


def test_a_server_that_breaks_off_may_be_asked_again():
    with pytest.raises(EndpointError, match=r"broke off while it wrote \(error\)") as error:
        completion.reply("m", "half a", "error", None, [Turn("user", "hello")], Sampling(), 0.0)
    assert error.value.passing
    assert error.value.perhaps_paid
