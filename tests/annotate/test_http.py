"""The page as a client sees it that is no browser: who may do what, and what is never said."""

import asyncio
import json
import signal
from collections import Counter
from urllib.parse import urlsplit

import httpx
import pytest

from example_pairs import MODELS, served, write_pairs
from humanturn.annotate.stage import export


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("annotate")
    write_pairs(folder / "pairs")
    with served(folder / "pairs", folder / "votes.sqlite", "ann", "bob", "cy", k=3) as links:
        yield folder, links


def test_no_answer_of_the_server_names_a_model(page):
    _, links = page
    with httpx.Client(follow_redirects=True) as client:
        said = [client.get(links["bob"] + path) for path in ["", *(f"/{place}" for place in range(1, 13))]]
        said.append(client.post(links["bob"] + "/3", data={"choice": "tie"}))
        said.append(client.post(links["bob"] + "/undo"))
        said.append(client.get(links["admin"]))
        base = "http://" + urlsplit(links["bob"]).netloc
        said += [client.get(base + path) for path in ("/style.css", "/keys.js", "/", "/a/nobody")]
        everything = "".join(
            f"{r.url}{r.headers}{r.text}{[(h.url, h.headers) for h in r.history]}" for r in said
        ).lower()
        assert not client.cookies
    assert not [model for model in MODELS if model.lower() in everything]
    assert "variant x1" in everything and "variant y1" in everything


def test_without_a_link_every_read_and_write_is_refused(page):
    _, links = page
    base = "http://" + urlsplit(links["ann"]).netloc
    for path in ("/a/wrong", "/a/wrong/1", "/admin/wrong", f"/admin/{links['ann'].rsplit('/')[-1]}"):
        assert httpx.get(base + path).status_code == 403
    for path in ("/a/wrong/1", "/a/wrong/undo", f"/a/{links['admin'].rsplit('/')[-1]}/1"):
        assert httpx.post(base + path, data={"choice": "tie"}).status_code == 403
    for path in ("/", "/a", "/admin", "/a/", "/../votes.sqlite", "/docs"):
        assert httpx.get(base + path).status_code == 404


@pytest.mark.parametrize(
    "path, data, status",
    [
        ("/99", {"choice": "tie"}, 404),
        ("/0", {"choice": "tie"}, 404),
        ("/1", {"choice": "model_1"}, 400),
        ("/1", {}, 400),
    ],
)
def test_votes_that_are_none_are_refused(page, path, data, status):
    _, links = page
    assert httpx.post(links["cy"] + path, data=data).status_code == status


def test_forms_larger_than_any_of_ours_are_not_read(page):
    _, links = page
    assert httpx.post(links["cy"] + "/1", data={"choice": "tie", "comment": "x" * 300_000}).status_code == 413


def test_one_annotators_votes_are_neither_shown_to_nor_changed_by_another(page):
    _, links = page
    httpx.post(links["ann"] + "/1", data={"choice": "first", "comment": "only mine"})
    for place in range(1, 13):
        seen = httpx.get(f"{links['cy']}/{place}").text
        assert "only mine" not in seen and "chosen" not in seen
    httpx.post(links["cy"] + "/undo")
    assert "only mine" in httpx.get(links["ann"] + "/1").text


def test_pages_forbid_scripts_of_others_frames_caches_and_referrers(page):
    _, links = page
    headers = httpx.get(links["ann"] + "/1").headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert (headers["referrer-policy"], headers["cache-control"]) == ("no-referrer", "no-store")
    assert "server" not in headers


def test_500_votes_at_once_are_all_kept_also_when_the_server_is_killed_after_them(tmp_path):
    write_pairs(tmp_path / "pairs", count=50, answer=lambda m, q, t: "short")
    people = [f"p{n}" for n in range(10)]

    async def vote_all(links):
        limits = httpx.Limits(max_connections=500)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:
            posts = [
                client.post(f"{links[person]}/{place}", data={"choice": "tie", "comment": f"{person}/{place}"})
                for person in people
                for place in range(1, 51)
            ]
            return Counter(response.status_code for response in await asyncio.gather(*posts))

    with served(tmp_path / "pairs", tmp_path / "votes.sqlite", *people, k=10) as links:
        assert asyncio.run(vote_all(links)) == {303: 500}
    found = export(tmp_path / "votes.sqlite", tmp_path / "votes.jsonl", plot=tmp_path / "plots" / "votes.svg")
    assert "a tie is half a win in the mean score" in (tmp_path / "plots" / "votes.svg").read_text()
    rows = [json.loads(line) for line in (tmp_path / "votes.jsonl").read_text().splitlines()]
    assert found["votes"] == 500
    assert json.loads((tmp_path / "votes.summary.json").read_text())["votes"] == 500
    assert {row["comment"] for row in rows} == {f"{person}/{place}" for person in people for place in range(1, 51)}


def test_serving_again_goes_on_with_the_same_links_and_votes(tmp_path):
    write_pairs(tmp_path / "pairs", count=2)
    with served(tmp_path / "pairs", tmp_path / "v.sqlite", "ann", k=1) as links:
        httpx.post(links["ann"] + "/1", data={"choice": "second"})
        first = urlsplit(links["ann"]).path
    with served(tmp_path / "pairs", tmp_path / "v.sqlite", "ann", k=1) as links:
        assert urlsplit(links["ann"]).path == first
        assert httpx.get(links["ann"]).headers["location"].endswith("/2")


def test_an_interrupt_from_the_keyboard_ends_it_quietly(tmp_path):
    write_pairs(tmp_path / "pairs", count=2)
    with served(tmp_path / "pairs", tmp_path / "v.sqlite", "ann", k=1) as links:
        httpx.post(links["ann"] + "/1", data={"choice": "second"})
        links.process.send_signal(signal.SIGINT)
        said, _ = links.process.communicate(timeout=20)
        assert links.process.returncode == 0 and "every vote is kept" in said
