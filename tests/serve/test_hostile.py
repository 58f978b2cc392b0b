"""Requests that are wrong, huge, slow or malicious: each is refused in the protocol's words, and the server lives."""

import json
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from humanturn.serve.service import Limits
from serving import EGGS, Talker, hosted, messages

GOOD = {"model": "m", "messages": messages(EGGS[0])}
NEST = 100_000


@pytest.fixture(scope="module")
def server():
    with hosted(Talker("Six minutes."), limits=Limits(body_seconds=0.5)) as url:
        yield url


def lives(url):
    said = httpx.post(url + "/v1/chat/completions", json=GOOD, timeout=20)
    return said.status_code == 200 and said.json()["choices"][0]["message"]["content"] == "Six minutes."


def with_(**changes):
    return json.dumps(GOOD | changes).encode()


@pytest.mark.parametrize(
    ("body", "status", "place"),
    [
        (with_(messages=messages(("user", "x" * 10_000_000))), 413, None),
        (with_(messages=messages(("wizard", "hi"))), 400, "messages[0].role"),
        (with_(messages=messages(("tool", "hi"))), 400, "messages[0].role"),
        (with_(messages=[{"role": "user"}]), 400, "messages[0]"),
        (with_(messages=[{"role": "user", "content": None}]), 400, "messages[0].content"),
        (with_(messages=[{"role": "user", "content": 7}]), 400, "messages[0].content"),
        (with_(messages=[{"role": "user", "content": [{"type": "image_url"}]}]), 400, "messages[0].content[0].type"),
        (with_(messages=["hi"]), 400, "messages[0]"),
        (with_(messages="hi"), 400, "messages"),
        (with_(messages=[]), 400, "messages"),
        (b'{"model": "m"}', 400, None),
        (b'{"messages": []}', 400, None),
        (with_(model="gpt-7"), 404, "model"),
        (with_(model=None), 400, "model"),
        (with_(model="../../etc/passwd\0"), 404, "model"),
        (b"", 400, None),
        (b"how are you?", 400, None),
        (b"[]", 400, None),
        (b"null", 400, None),
        (b'{"model": "m", "messages": [', 400, None),
        (b'{"model": "m\xff\xfe", "messages": []}', 400, None),
        (with_()[:-1] + b', "user": "\xff"}', 400, None),
        (with_()[:-1] + b', "user": "\\ud800"}', 400, None),
        (with_()[:-1] + b', "temperature": NaN}', 400, None),
        (with_()[:-1] + b', "temperature": 1e999}', 400, None),
        (with_()[:-1] + b', "max_tokens": 1' + b"0" * 5000 + b"}", 400, None),
        (with_()[:-1] + b', "user": ' + b"[" * NEST + b"]" * NEST + b"}", 400, None),
        (with_()[:-1] + b', "user": ' + b'{"a":' * NEST + b"1" + b"}" * NEST + b"}", 400, None),
        (with_(temperature=-1), 400, "temperature"),
        (with_(temperature="hot"), 400, "temperature"),
        (with_(temperature=10**400), 400, None),
        (with_(top_p=0), 400, "top_p"),
        (with_(top_p=2), 400, "top_p"),
        (with_(max_tokens=-5), 400, "max_tokens"),
        (with_(max_tokens=0), 400, "max_tokens"),
        (with_(max_tokens=True), 400, "max_tokens"),
        (with_(max_completion_tokens=2**40), 400, "max_completion_tokens"),
        (with_(n=10**9), 400, "n"),
        (with_(presence_penalty=9), 400, "presence_penalty"),
        (with_(frequency_penalty=1), 400, "frequency_penalty"),
        (with_(n=0), 400, "n"),
        (with_(seed=1.5), 400, "seed"),
        (with_(seed=2**70), 400, None),
        (with_(stop=[""]), 400, "stop[0]"),
        (with_(stop=["x"] * 1000), 400, "stop"),
        (with_(stop={"a": 1}), 400, "stop"),
        (with_(stream="yes"), 400, "stream"),
        (with_(stream_options=[1]), 400, "stream_options"),
        (with_(tools=[{"type": "function"}]), 400, "tools"),
        (with_(logprobs=True), 400, "logprobs"),
        (with_(response_format={"type": "json_object"}), 400, "response_format"),
        (with_(logit_bias={"50256": -100}), 400, "logit_bias"),
        (with_(chat_template="{{ 7 * 7 }}"), 400, "chat_template"),
    ],
    ids=lambda value: repr(value)[:40] if isinstance(value, bytes) else None,
)
def test_a_body_that_cannot_be_served_is_refused_with_its_place(server, body, status, place):
    said = httpx.post(
        server + "/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}, timeout=30
    )
    assert said.status_code == status, said.text
    error = said.json()["error"]
    assert error["message"] and error["type"] == "invalid_request_error" and error["code"]
    if place:
        assert error["param"] == place
    assert lives(server)


def test_options_that_ask_for_nothing_special_are_accepted(server):
    harmless = {
        "tools": [],
        "presence_penalty": 0.0,
        "logprobs": False,
        "response_format": {"type": "text"},
        "user": "someone",
        "metadata": {"a": 1},
        "temperature": None,
    }
    assert httpx.post(server + "/v1/chat/completions", json=GOOD | harmless).status_code == 200


def test_ten_megabytes_without_a_length_are_refused_too(server):
    pieces = (b"x" * 100_000 for _ in range(100))
    said = httpx.post(server + "/v1/chat/completions", content=pieces, headers={"Content-Type": "application/json"})
    assert said.status_code == 413
    assert lives(server)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_any_web_page_could_make_a_browser_send_is_refused(server, kind):
    said = httpx.post(
        server + "/v1/chat/completions", content=with_(), headers={"Content-Type": kind, "Origin": "http://evil"}
    )
    assert said.status_code == 415
    assert not [name for name in said.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("POST", "/v1/completions", 404),
        ("GET", "/", 404),
        ("GET", "/v1/models/nope", 404),
        ("GET", "/v1/models/..%2f..%2fetc/passwd", 404),
    ],
)
def test_other_addresses_are_refused_in_the_protocols_words(server, method, path, status):
    said = httpx.request(method, server + path)
    assert said.status_code == status and said.json()["error"]["message"]


def test_a_body_that_trickles_in_is_given_up(server):
    with connected(server) as line:
        line.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n")
        line.sendall(b"Content-Length: 100000\r\n\r\n")
        said = b""
        for _ in range(100):
            line.sendall(b" ")
            time.sleep(0.02)
            line.setblocking(False)
            try:
                said += line.recv(65536)
            except BlockingIOError:
                continue
            finally:
                line.setblocking(True)
            break
    assert said.startswith(b"HTTP/1.1 408 ")
    assert lives(server)


def test_a_client_that_leaves_in_the_middle_of_its_body_does_no_harm(server, caplog):
    for _ in range(20):
        with connected(server) as line:
            line.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
    assert lives(server)
    assert not caplog.records


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"A" * 200_000 + b"\r\n\r\n"])
def test_what_is_no_http_is_refused(server, garbage):
    with connected(server) as line:
        line.sendall(garbage + b"\r\n\r\n")
        try:
            said = line.recv(65536)
        except ConnectionResetError:
            said = b""
    assert said == b"" or b" 400 " in said.splitlines()[0]
    assert lives(server)


def connected(url):
    place = urlsplit(url)
    return socket.create_connection((place.hostname, place.port), timeout=10)


def test_health_is_told_without_a_key():
    with hosted(Talker("x"), key="sesame") as url:
        assert httpx.get(url + "/health").json() == {"status": "ok"}
        assert httpx.get(url + "/v1/models").status_code == 401
        assert httpx.get(url + "/v1/models", headers={"Authorization": "Bearer sesame"}).status_code == 200
