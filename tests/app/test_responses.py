"""Responses of each class, their status, and what they are made of."""

import array
import ctypes
import functools
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fluvial import (
    URL,
    App,
    BackgroundTask,
    EventSourceResponse,
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    ServerSentEvent,
    StreamingResponse,
)
from support.middleware import Passing
from support.serving import serving


@pytest.mark.parametrize("is_async", [False, True])
def test_response_classes(serve, is_async: bool) -> None:
    app = App()
    made = {
        "plain": lambda: PlainTextResponse("é"),
        "html": lambda: HTMLResponse("<p>", headers={"X-A": "b"}, status_code=201),
        "json": lambda: JSONResponse({"a": {1}}, media_type="application/problem+json"),
        "bytes": lambda: Response(b"\x00\xff", media_type="application/octet-stream"),
        "empty": lambda: Response(status_code=204),
        "redirect": lambda: RedirectResponse("/a b?c=é", status_code=303),
    }

    def sync_handler(name: str):
        return made[name]()

    async def async_handler(name: str):
        return made[name]()

    app.get("/{name}")(async_handler if is_async else sync_handler)
    client = serve(app).client
    response = client.get("/plain")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == "é"
    response = client.get("/html")
    assert (response.status_code, response.headers["x-a"], response.text) == (201, "b", "<p>")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    response = client.get("/json")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {"a": [1]}
    assert client.get("/bytes").content == b"\x00\xff"
    response = client.get("/empty")
    assert (response.status_code, response.content) == (204, b"")
    assert "content-length" not in response.headers
    response = client.get("/redirect")
    assert (response.status_code, response.headers["location"]) == (303, "/a%20b?c=%C3%A9")


def test_route_options(serve) -> None:
    app = App()

    @app.post("/created", status_code=201)
    def created():
        return {"a": 1}

    @app.delete("/nothing", status_code=204)
    async def nothing():
        return None

    @app.get("/html", response_class=HTMLResponse)
    def html():
        return "<p>"

    @app.get("/html/own", response_class=HTMLResponse, status_code=202)
    async def own():
        return Response("own", 203)

    @app.get("/reset", status_code=205)
    async def reset():
        return {"a": 1}

    @app.get("/redirect", response_class=RedirectResponse)
    def redirect():
        return "/html"

    @app.get("/redirect/302", response_class=RedirectResponse, status_code=302)
    def redirect_302():
        return "/html"

    @app.get("/file", response_class=FileResponse)
    async def file():
        return __file__

    client = serve(app).client
    response = client.get("/reset")
    assert (response.status_code, response.content) == (205, b"")
    response = client.get("/redirect")
    assert (response.status_code, response.headers["location"]) == (307, "/html")
    assert client.get("/redirect/302").status_code == 302
    assert client.get("/file").content == pathlib.Path(__file__).read_bytes()
    assert client.post("/created").status_code == 201
    response = client.delete("/nothing")
    assert (response.status_code, response.content) == (204, b"")
    response = client.get("/html")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.text == "<p>"
    assert (client.get("/html/own").status_code, client.get("/html/own").text) == (203, "own")


async def asynchronous(piece: Any) -> AsyncIterator[Any]:
    yield piece


CONTENTS: list[tuple[Callable[[], Response], bytes]] = [
    (lambda: Response(bytearray(b"ABC")), b"ABC"),
    (lambda: Response(memoryview(b"ABCDE")[::2]), b"ACE"),
    (lambda: Response(array.array("B", [65])), b"A"),
    (lambda: HTMLResponse(b"ABC"), b"ABC"),
    (lambda: JSONResponse(7), b"7"),
    *(
        (functools.partial(StreamingResponse, content), b"ABC")
        for content in (b"ABC", "ABC", bytearray(b"ABC"), memoryview(b"ABC"), ["A", b"BC"])
    ),
    (lambda: StreamingResponse(array.array("B", b"ABC")), b"ABC"),
    (lambda: StreamingResponse([bytearray(b"AB"), memoryview(b"C")]), b"ABC"),
    (lambda: StreamingResponse(asynchronous(memoryview(b"ABC"))), b"ABC"),
    (lambda: EventSourceResponse(b"data: 1\n\n"), b"data: 1\n\n"),
    (lambda: EventSourceResponse("A"), b'data: "A"\n\n'),
    (lambda: EventSourceResponse([bytearray(b":\n\n"), memoryview(b":\n\n")]), b":\n\n:\n\n"),
    (lambda: RedirectResponse(URL("/b c")), b""),
]

INT = ctypes.c_int64(7)  # a buffer, as numpy's scalars are


@pytest.mark.parametrize("number", range(len(CONTENTS)))
def test_contents(serve, number: int) -> None:
    app = App()
    app.get("/")(CONTENTS[number][0])
    assert serve(app).client.get("/").content == CONTENTS[number][1]


@pytest.mark.parametrize("content", [7, True, 1.5, [65], [b"A"], {"a": 1}, 1j, INT], ids=repr)
@pytest.mark.parametrize("kind", [Response, PlainTextResponse, HTMLResponse])
def test_only_texts_and_bytes_are_content(kind: type[Response], content: Any) -> None:
    with pytest.raises(TypeError, match=f"the content of a {kind.__name__} .*, not"):
        kind(content)


@pytest.mark.parametrize("content", [7, None, 1.5, {"a": 1}, 1j, INT], ids=repr)
@pytest.mark.parametrize("kind", [StreamingResponse, EventSourceResponse])
def test_only_iterators_are_streamed(kind: Any, content: Any) -> None:
    with pytest.raises(TypeError, match=f"the content of a {kind.__name__} .*, not"):
        kind(content)
    response = Response("x")
    with pytest.raises(TypeError, match="the content of a Response"):
        response.body_iterator = content


@pytest.mark.parametrize("piece", [7, None, ["x"], INT], ids=repr)
def test_pieces_of_another_kind_break_the_answer_off(
    serve, caplog: pytest.LogCaptureFixture, piece: Any
) -> None:
    app = App()
    app.get("/sync")(lambda: StreamingResponse([b"a", piece]))
    app.get("/async")(lambda: StreamingResponse(asynchronous(piece)))
    client = serve(app).client
    for path in ("/sync", "/async"):
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(path)
    assert caplog.text.count("the piece of a StreamingResponse") == 2


def test_what_else_responses_are_made_of() -> None:
    for url in (7, None, b"/x", ["/x"]):
        with pytest.raises(TypeError, match="the url of a redirect is a str or URL, not"):
            RedirectResponse(url)
    for path in (0, 7, None):  # descriptors would be closed
        with pytest.raises(TypeError, match="PathLike"):
            FileResponse(path)  # type: ignore[arg-type]
    for background in (7, [BackgroundTask(print)], "later"):
        with pytest.raises(TypeError, match="background is a BackgroundTask"):
            Response("x", background=background)  # type: ignore[arg-type]
    for name in ("raw_data", "event", "id", "comment"):
        with pytest.raises(TypeError, match=f"an event's {name} is a str, not bytes"):
            ServerSentEvent(**{name: b"x"})


@pytest.mark.parametrize("body", [7, "x", None, [1]], ids=repr)
def test_bodies_of_other_interfaces(serve, caplog: pytest.LogCaptureFixture, body: Any) -> None:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": body})

    def wsgi(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return [body]

    assert serve(asgi).client.get("/").status_code == 500
    assert f"'body' must be bytes, not {type(body).__name__}" in caplog.text
    assert serve(wsgi).client.get("/").status_code == 500
    assert f"the body of a response is made of bytes, not {type(body).__name__}" in caplog.text


@pytest.mark.parametrize("body", [b"ABC", bytearray(b"ABC"), memoryview(b"ABC")])
def test_bytes_like_bodies_by_asgi(serve, body: Any) -> None:
    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": body})

    assert serve(asgi).client.get("/").content == b"ABC"


def test_a_class_may_set_its_header_fields_itself(serve) -> None:
    class Own(StreamingResponse):
        media_type = "text/event-stream"

        def __init__(self, pieces: Any) -> None:
            self.status_code = 201
            self.body_iterator = pieces
            self.background = None
            self.init_headers({"X-Own": "yes"})

    app = App()
    app.get("/")(lambda: Own(iter(["a", "b"])))
    response = serve(app).client.get("/")
    assert (response.status_code, response.text, response.headers["x-own"]) == (201, "ab", "yes")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("base", [Response, StreamingResponse, FileResponse])
@pytest.mark.parametrize("layered", [False, True])
def test_a_call_of_its_own_sends_a_response(tmp_path, base: Any, layered: bool) -> None:
    seen: list[str] = []
    file = tmp_path / "file"
    file.write_text("text")

    class Own(base):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def noting(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], (b"x-own", b"yes")]
                await send(message)

            await super().__call__(scope, receive, noting)
            seen.append("after")

    app = App()
    content = {Response: "text", StreamingResponse: ["te", "xt"], FileResponse: file}[base]
    background = BackgroundTask(lambda: seen.append("background"))
    app.get("/")(lambda: Own(content, 201, background=background))
    app.get("/bare")(lambda: Own(content))
    if layered:
        app.add_middleware(Passing)
    with serving(app) as served:
        for _ in range(2):
            response = served.client.get("/")
            assert (response.status_code, response.text) == (201, "text")
            assert response.headers["x-own"] == "yes"
        assert served.client.get("/bare").headers["x-own"] == "yes"
    assert seen == [*["background", "after"] * 2, "after"]
