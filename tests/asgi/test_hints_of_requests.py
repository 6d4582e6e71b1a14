"""Request.send_early_hints() and send_push_promise()."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import Serve
from fluvial import App, Request, Response, StreamingResponse
from support.responses import Response as Answer

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
LINKS = ("</a.css>; rel=preload", "</b.js>; rel=preload")


def make_app(how: str) -> Any:
    app = App()

    @app.get("/")
    async def page(request: Request) -> Response:
        await request.send_early_hints(*LINKS)
        await request.send_push_promise("/a.css")
        return Response(b"page")

    async def adopted(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            request: Any = Request(scope, receive, send)
            await request.send_early_hints(*LINKS)
            await Response(b"page")(scope, receive, send)

    return {"native": app, "adopted": adopted, "bare": bare}[how]


@pytest.mark.parametrize("how", ["native", "adopted", "bare"])
def test_hints_come_before_the_response(serve: Serve, how: str) -> None:
    raw = serve(make_app(how), asgi_extensions=True).exchange(GET)
    first, rest = Answer.parse(raw)
    assert first.status == 103
    assert first.fields == [("link", link) for link in LINKS]
    assert Answer.parse(rest)[0].body == b"page"


@pytest.mark.parametrize("how", ["adopted", "bare"])
def test_without_the_extension_nothing_is_sent(serve: Serve, how: str) -> None:
    answer, rest = Answer.parse(serve(make_app(how)).exchange(GET))
    assert (answer.status, answer.body, rest) == (200, b"page", b"")


def test_a_native_handler_needs_no_extension(serve: Serve) -> None:
    app = App()

    @app.get("/")
    async def page(request: Request) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"pa"
            await request.send_early_hints(LINKS[1])  # too late
            yield b"ge"

        await request.send_early_hints(LINKS[0])
        await request.send_early_hints(LINKS[1])
        return StreamingResponse(pieces())

    @app.get("/wrong")
    async def wrong(request: Request) -> str:
        with pytest.raises(ValueError, match="link"):
            await request.send_early_hints("a\r\nb: c")
        return "said so"

    @app.get("/thread")
    def thread(request: Request) -> str:
        with pytest.raises(RuntimeError, match="on the server's loop"):
            asyncio.run(request.send_early_hints(LINKS[0]))
        return "said so"

    served = serve(app)
    first, rest = Answer.parse(served.exchange(GET))
    second, rest = Answer.parse(rest)
    assert [(each.status, each.fields) for each in (first, second)] == [
        (103, [("link", link)]) for link in LINKS
    ]
    assert Answer.parse(rest)[0].body == b"page"
    old = served.exchange(b"GET / HTTP/1.0\r\n\r\n")  # RFC 9110 section 15.2
    assert Answer.parse(old)[0].status == 200
    for path in ("/wrong", "/thread"):
        assert served.client.get(path).json() == "said so"


def test_what_is_pushed_has_fields_of_the_request() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"user-agent", b"x"), (b"cookie", b"a=b"), (b"accept", b"text/css")]
    scope = {"type": "http", "headers": headers, "extensions": {"http.response.push": {}}}
    request: Any = Request(scope, send=send)  # type: ignore[call-arg]
    asyncio.run(request.send_push_promise("/a.css"))
    kept = [headers[0], headers[2]]
    assert sent == [{"type": "http.response.push", "path": "/a.css", "headers": kept}]


def test_a_request_without_send_says_so() -> None:
    extensions: Any = {"http.response.push": {}, "http.response.early_hint": {}}
    request: Any = Request({"type": "http", "extensions": extensions})  # type: ignore[call-arg]
    for call in (request.send_early_hints, request.send_push_promise):
        with pytest.raises(RuntimeError, match=r"Request\(scope, receive, send\)"):
            asyncio.run(call("/a.css"))
