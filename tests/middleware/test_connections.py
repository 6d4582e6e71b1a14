"""Requests, WebSockets and responses that ASGI apps make of a scope."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest
from fluvial import (
    App,
    BackgroundTask,
    FileResponse,
    Headers,
    HTTPConnection,
    JSONResponse,
    MutableHeaders,
    PlainTextResponse,
    Request,
    StreamingResponse,
    WebSocket,
)
from fluvial.datastructures import URL
from support.ws_client import TEXT, connect


class Mine(Request):
    """A user's own request."""

    def __init__(self, scope: Any, receive: Any = None, send: Any = None) -> None:
        super().__init__(scope, receive, send)
        self.mine = scope["method"].lower()

    async def body(self) -> bytes:
        return b"<" + await super().body() + b">"


done: list[str] = []


async def note() -> None:
    done.append("background")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """An app without a framework, but with these classes."""
    if scope["type"] == "websocket":
        await on_websocket(WebSocket(scope, receive, send))
        return
    if scope["type"] != "http":
        raise NotImplementedError
    request = Request(scope, receive)
    match request.url.path:
        case "/told":
            response: Any = JSONResponse(
                [request.method, dict(request.query_params), request.cookies, request["path"]]
            )
        case "/body":
            response = PlainTextResponse(await request.body())
        case "/pieces":
            response = StreamingResponse(request.stream(), media_type="text/plain")
        case "/mine":
            mine = Mine(scope, receive)
            response = PlainTextResponse(await mine.body(), headers={"x-mine": mine.mine})
        case "/file":
            response = FileResponse(Path(__file__))
        case "/later":
            response = PlainTextResponse("now", background=BackgroundTask(note))
        case _:
            response = PlainTextResponse(str(URL(scope=scope)), 404)
    await response(scope, receive, send)


async def on_websocket(websocket: WebSocket) -> None:
    if websocket.url.path == "/refused":
        await websocket.close()
        return
    await websocket.accept(subprotocol="b")
    async for text in websocket.iter_text():
        await websocket.send_text(f"{websocket.query_params['q']}: {text}")


def test_an_app_of_its_own(serve) -> None:
    client = serve(app).client
    told = client.get("/told?a=b", headers={"cookie": "c=d"}).json()
    assert told == ["GET", {"a": "b"}, {"c": "d"}, "/told"]
    assert client.post("/body", content=b"x" * 100_000).content == b"x" * 100_000
    assert client.post("/pieces", content=b"pieces").text == "pieces"
    mine = client.post("/mine", content=b"body")
    assert (mine.text, mine.headers["x-mine"]) == ("<body>", "post")
    assert client.get("/file").text == Path(__file__).read_text()
    assert client.get("/file", headers={"range": "bytes=1-3"}).status_code == 206
    answer = client.get("/file")
    again = client.get("/file", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/nowhere?a=b", headers={"host": "a.example"}).text == (
        "http://a.example/nowhere?a=b"
    )


def test_a_response_takes_nothing_from_the_requests_body() -> None:
    """It watches for the client's end while the app still reads: each event goes to one of them."""

    async def main() -> bytes:
        events: asyncio.Queue[Any] = asyncio.Queue()
        sent: asyncio.Queue[Any] = asyncio.Queue()
        scope = {**SCOPE, "method": "POST", "path": "/pieces"}
        call = asyncio.ensure_future(app(scope, events.get, sent.put))
        received = b""
        for piece in (b"one", b"two", b"end"):
            events.put_nowait({"type": "http.request", "body": piece, "more_body": piece != b"end"})
            while not received.endswith(piece):
                received += (await asyncio.wait_for(sent.get(), 30)).get("body", b"")
        await call
        return received

    assert asyncio.run(main()) == b"onetwoend"


def test_two_requests_of_one_scope() -> None:
    """What one has read the other can't; an empty body was read by nobody."""

    async def read_twice(body: bytes) -> tuple[bytes, bytes]:
        events = [{"type": "http.request", "body": body}]

        async def receive() -> Any:
            return events.pop(0)

        scope = dict(SCOPE)
        one, two = Request(scope, receive), Request(scope, receive)
        return await one.body(), await two.body()

    assert asyncio.run(read_twice(b"")) == (b"", b"")
    with pytest.raises(RuntimeError, match="read by another Request"):
        asyncio.run(read_twice(b"body"))


def test_a_background_runs_after_the_response(serve) -> None:
    done.clear()
    served = serve(app)
    assert served.client.get("/later").text == "now"
    served.finish()
    assert done == ["background"]


def test_websockets_of_its_own(serve) -> None:
    served = serve(app)
    with connect(served) as ws:
        answer = ws.open("/ws?q=1", ["Sec-WebSocket-Protocol: a, b"])
        assert answer.fields["sec-websocket-protocol"] == "b"
        ws.send_frame(TEXT, b"one")
        assert ws.read().payload == b"1: one"
    with connect(served) as ws:
        ws.send(ws.request("/refused"))
        assert ws.answer().status == 403


SCOPE: dict[str, Any] = {"type": "http", "method": "GET", "path": "/a b", "headers": []}


def test_what_needs_no_server() -> None:
    request = Request({**SCOPE, "headers": [(b"x-a", b"1")], "query_string": b"q=2"})
    assert (request.headers["x-a"], request.query_params["q"]) == ("1", "2")
    assert isinstance(request, Request)
    assert request.state is request.state
    assert Request(request.scope).state._items is request.state._items  # middleware shares it
    assert HTTPConnection({**SCOPE, "type": "websocket"}).path == "/a b"
    with pytest.raises(TypeError, match="made of a scope of HTTP"):
        Request({**SCOPE, "type": "lifespan"})


def test_without_receive_there_is_no_body() -> None:
    import asyncio

    with pytest.raises(RuntimeError, match=r"write Request\(scope, receive\)"):
        asyncio.run(Request(dict(SCOPE)).body())


def test_headers_of_a_message() -> None:
    message: dict[str, Any] = {"headers": ((b"vary", b"Accept"),)}
    headers = MutableHeaders(scope=message)
    headers.add_vary_header("Origin")
    headers["x-a"] = "b"
    assert message["headers"] == [(b"vary", b"Accept, Origin"), (b"x-a", b"b")]
    assert Headers(scope=dict(message))["x-a"] == "b"


def test_nobody_keeps_a_request() -> None:
    import weakref

    found = [weakref.ref(Mine({**SCOPE, "app": App()})) for _ in range(3)]
    gc.collect()
    assert [each() for each in found] == [None, None, None]
