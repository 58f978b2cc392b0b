"""The web page where people compare answers: plain forms over HTTP, which a little script drives by keyboard.

Who holds a link may read and vote as its annotator, and nobody else; nothing else is served but a style sheet and that
script. No page, address, header or storage holds a model's name.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from humanturn.annotate import render, results
from humanturn.annotate.store import Choice, Store

HERE = Path(__file__).parent
LONGEST_COMMENT = 10_000
"""Characters of a comment that are kept."""
LARGEST_FORM = 200_000
"""Bytes of a request that are read."""
CHOICES: dict[str, Choice] = {"first": "first", "tie": "tie", "second": "second"}

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:;"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def app(store: Store) -> Starlette:
    """The page over `store`, as an ASGI application."""
    return Starlette(
        routes=[
            Route("/a/{token}", partial(_begin, store), methods=["GET"]),
            Route("/a/{token}/undo", partial(_undo, store), methods=["POST"]),
            Route("/a/{token}/{place:int}", partial(_item, store), methods=["GET"]),
            Route("/a/{token}/{place:int}", partial(_vote, store), methods=["POST"]),
            Route("/admin/{token}", partial(_admin, store), methods=["GET"]),
            Route("/style.css", _style, methods=["GET"]),
            Route("/keys.js", _keys, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _refused},  # type: ignore[dict-item]
    )


async def _begin(store: Store, request: Request) -> Response:
    """The next item to compare, or thanks."""
    annotator = await _who(store, request)
    place = await run_in_threadpool(store.next_place, annotator)
    if place is not None:
        return _redirect(request, f"/{place}")
    voted, assigned = await run_in_threadpool(store.progress, annotator)
    return _page("done.html.j2", token=request.path_params["token"], voted=voted, assigned=assigned)


async def _item(store: Store, request: Request) -> Response:
    annotator = await _who(store, request)
    shown = await run_in_threadpool(store.shown, annotator, request.path_params["place"])
    if shown is None:
        raise HTTPException(404)
    voted, assigned = await run_in_threadpool(store.progress, annotator)
    question = shown.item.question
    first, second = shown.answers
    rounds = await run_in_threadpool(
        lambda: [tuple(map(render.markdown, round)) for round in zip(question.turns, first, second, strict=False)]
    )
    token = request.path_params["token"]
    return _page("item.html.j2", token=token, shown=shown, rounds=rounds, voted=voted, assigned=assigned)


async def _vote(store: Store, request: Request) -> Response:
    annotator, place = await _who(store, request), request.path_params["place"]
    form = await _form(request)
    choice = CHOICES.get(str(form.get("choice")))
    if choice is None:
        raise HTTPException(400)
    comment = str(form.get("comment") or "").strip()[:LONGEST_COMMENT]
    if not await run_in_threadpool(store.vote, annotator, place, choice, comment):
        raise HTTPException(404)
    following = await run_in_threadpool(store.next_place, annotator, place)
    return _redirect(request, "" if following is None else f"/{following}")


async def _undo(store: Store, request: Request) -> Response:
    annotator = await _who(store, request)
    place = await run_in_threadpool(store.undo, annotator)
    return _redirect(request, "" if place is None else f"/{place}")


async def _admin(store: Store, request: Request) -> Response:
    """Progress and agreement; results by model are for the export, so that whoever also annotates stays blind."""
    if not _same(request.path_params["token"], await run_in_threadpool(store.admin_token)):
        raise HTTPException(403)
    people = await run_in_threadpool(store.per_annotator)
    votes = await run_in_threadpool(store.votes)
    found = await run_in_threadpool(results.among_people, votes)
    return _page("admin.html.j2", people=people, agreement=found, votes=len(votes))


async def _style(request: Request) -> Response:
    sheet = (HERE / "static" / "style.css").read_text() + render.code_style()
    return Response(sheet, media_type="text/css", headers=HEADERS | {"Cache-Control": "max-age=3600"})


async def _keys(request: Request) -> Response:
    script = (HERE / "static" / "keys.js").read_text()
    return Response(script, media_type="text/javascript", headers=HEADERS | {"Cache-Control": "max-age=3600"})


async def _refused(request: Request, error: HTTPException) -> Response:
    """One page for everything that is not there or not theirs."""
    return _page("refused.html.j2", status=error.status_code)


async def _who(store: Store, request: Request) -> int:
    """Whose link it is; refuses what is nobody's."""
    annotator = await run_in_threadpool(store.annotator, request.path_params["token"])
    if annotator is None:
        raise HTTPException(403)
    return annotator


async def _form(request: Request) -> Any:
    """The fields of the form, unless it is larger than any of ours."""
    if int(request.headers.get("content-length") or LARGEST_FORM + 1) > LARGEST_FORM:
        raise HTTPException(413)
    return await request.form(max_files=0, max_fields=10)


def _page(template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    page = _environment().get_template(template).render(values | {"status": status})
    return HTMLResponse(page, status_code=status, headers=HEADERS)


def _redirect(request: Request, to: str) -> RedirectResponse:
    return RedirectResponse(f"/a/{request.path_params['token']}{to}", status_code=303, headers=HEADERS)


def _same(given: str, wanted: str) -> bool:
    import hmac

    return hmac.compare_digest(given.encode(), wanted.encode())


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
