"""`@app.websocket`: the WebSocket object, parameters and dependencies, on Fluvial's own server,
under another, and inside other apps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest
from fluvial import (
    App,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    Header,
    HTTPConnection,
    HTTPException,
    Query,
    Request,
    Response,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
    WebSocketState,
)
from fluvial.testclient import TestClient
from support.gateways import HOSTS, app_with, declined, hosting, text_of
from support.ws_client import BINARY, TEXT, Frame, upgraded

if TYPE_CHECKING:
    from conftest import Serve
    from support.gateways import Host


@pytest.fixture(params=HOSTS)
def serve(request: pytest.FixtureRequest, serve: Serve) -> Iterator[Host]:
    """Serves a Fluvial app, whose WebSockets are to be the same everywhere."""
    with hosting(request.param, serve) as host:
        yield host


# ---- The object ----------------------------------------------------------------------------


def test_messages(serve: Host) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text() + "!")
        await websocket.send_bytes(await websocket.receive_bytes() + b"!")
        await websocket.send_json(await websocket.receive_json())
        await websocket.send_json(await websocket.receive_json(mode="binary"), mode="binary")
        await websocket.send_bytes(bytearray(b"array"))
        await websocket.send_bytes(memoryview(b"a view")[2:])

    with upgraded(serve(app_with(handler))) as client:
        client.send_frame(TEXT, b"text")
        client.send_frame(BINARY, b"bytes")
        client.send_frame(TEXT, b' {"a": [1, 2.5, null]} ')
        client.send_frame(BINARY, b'"x"')
        assert [client.read() for _ in range(6)] == [
            Frame(TEXT, b"text!"),
            Frame(BINARY, b"bytes!"),
            Frame(TEXT, b'{"a":[1,2.5,null]}'),
            Frame(BINARY, b'"x"'),
            Frame(BINARY, b"array"),
            Frame(BINARY, b"view"),
        ]
        assert client.read().code == 1000


@pytest.mark.parametrize("kind", ["text", "bytes", "json"])
def test_iterators(serve: Host, kind: str) -> None:
    found: list[Any] = []
    done = threading.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        async for message in getattr(websocket, f"iter_{kind}")():
            found.append(message)
        assert websocket.client_state is WebSocketState.DISCONNECTED
        done.set()

    with upgraded(serve(app_with(handler))) as client:
        client.send_frame(BINARY if kind == "bytes" else TEXT, b"1")
        client.send_frame(BINARY if kind == "bytes" else TEXT, b"2")
        client.close()
        assert done.wait(10)
    assert found == {"text": ["1", "2"], "bytes": [b"1", b"2"], "json": [1, 2]}[kind]


def test_events(serve: Host) -> None:
    seen: list[dict[str, Any]] = []
    done = threading.Event()

    async def handler(websocket: WebSocket) -> None:
        seen.append(await websocket.receive())
        await websocket.send({"type": "websocket.accept", "subprotocol": "a"})
        seen.extend([await websocket.receive(), await websocket.receive()])
        await websocket.send({"type": "websocket.send", "text": "t"})
        await websocket.send({"type": "websocket.send", "bytes": b"b"})
        seen.append(await websocket.receive())
        with pytest.raises(ValueError, match=r"can't send 'http.response.start'"):
            await websocket.send({"type": "http.response.start"})
        done.set()

    with upgraded(serve(app_with(handler)), "/", ["Sec-WebSocket-Protocol: a"]) as client:
        client.send_frame(TEXT, b"x")
        client.send_frame(BINARY, b"y")
        assert [client.read(), client.read()] == [Frame(TEXT, b"t"), Frame(BINARY, b"b")]
        client.close(3000)
        assert done.wait(10)
    assert seen == [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "x"},
        {"type": "websocket.receive", "bytes": b"y"},
        {"type": "websocket.disconnect", "code": 3000, "reason": ""},
    ]


def test_states(serve: Host) -> None:
    states: list[tuple[str, str]] = []
    done = threading.Event()

    async def handler(websocket: WebSocket) -> None:
        def note() -> None:
            states.append((websocket.client_state.name, websocket.application_state.name))

        note()
        await websocket.accept()
        note()
        with pytest.raises(WebSocketDisconnect) as info:
            await websocket.receive_text()
        assert (info.value.code, info.value.reason) == (1001, "")
        note()
        with pytest.raises(WebSocketDisconnect):
            await websocket.send_text("x")
        with pytest.raises(WebSocketDisconnect):
            await websocket.receive_text()
        await websocket.close()
        done.set()

    with upgraded(serve(app_with(handler))) as client:
        client.close(1001)
        assert done.wait(10)
    assert states == [
        ("CONNECTING", "CONNECTING"),
        ("CONNECTED", "CONNECTED"),
        ("DISCONNECTED", "CONNECTED"),
    ]


def test_what_the_object_tells(serve: Host) -> None:
    async def handler(websocket: WebSocket, number: int) -> None:
        await websocket.accept()
        await websocket.send_json(
            {
                "url": str(websocket.url),
                "path": websocket.path,
                "params": websocket.path_params,
                "query": dict(websocket.query_params),
                "cookies": websocket.cookies,
                "header": websocket.headers["x-a"],
                "protocols": websocket.subprotocols,
                "app": websocket.app.title,
                "client": websocket.client is not None,
                "state": websocket.state.__class__.__name__,
            }
        )

    fields = ["Cookie: a=1; b=2", "X-A: yes", "Sec-WebSocket-Protocol: p, q"]
    with upgraded(serve(app_with(handler, "/at/{number:int}")), "/at/5?x=y", fields) as client:
        assert msgspec.json.decode(client.read().payload) == {
            "url": "ws://test/at/5?x=y",
            "path": "/at/5",
            "params": {"number": 5},
            "query": {"x": "y"},
            "cookies": {"a": "1", "b": "2"},
            "header": "yes",
            "protocols": ["p", "q"],
            "app": "Fluvial",
            "client": True,
            "state": "State",
        }


def test_awaitables_make_tasks(serve: Host) -> None:
    """What receive and send give are coroutines to asyncio."""

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        reading = asyncio.create_task(websocket.receive_text())
        await asyncio.create_task(websocket.send_text("first"))
        await asyncio.gather(websocket.send_text("second"), websocket.send_json(3))
        async with asyncio.timeout(10):
            await websocket.send_text(await reading)
        waiting = asyncio.create_task(websocket.receive_text())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        await websocket.send_text(await websocket.receive_text())

    with upgraded(serve(app_with(handler))) as client:
        assert [client.read().payload for _ in range(3)] == [b"first", b"second", b"3"]
        for text in (b"a", b"b"):
            client.send_frame(TEXT, text)
            assert client.read() == Frame(TEXT, text)


def test_all_who_wait_learn_of_the_end(serve: Host) -> None:
    codes: list[int] = []
    done = threading.Event()

    async def handler(websocket: WebSocket) -> None:
        async def read() -> None:
            with pytest.raises(WebSocketDisconnect) as info:
                await websocket.receive_text()
            codes.append(info.value.code)

        await websocket.accept()
        await asyncio.gather(read(), read(), read())
        done.set()

    with upgraded(serve(app_with(handler))) as client:
        client.close(3000)
        assert done.wait(10)
    assert codes == [3000, 3000, 3000]


def test_others_may_send(serve: Host) -> None:
    sockets: set[WebSocket] = set()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        sockets.add(websocket)
        async for text in websocket.iter_text():
            for each in sockets:
                await each.send_text(text)
        sockets.discard(websocket)

    served = serve(app_with(handler))
    with upgraded(served) as one, upgraded(served) as two:
        for client in (one, two):
            client.send_frame(TEXT, b"hi")
            while client.read().payload != b"hi":
                pass
        one.send_frame(TEXT, b"all")
        for client in (one, two):
            while client.read().payload != b"all":
                pass


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda ws: ws.receive_text(), RuntimeError, "call accept"),
        (lambda ws: ws.send_text("x"), RuntimeError, "call accept"),
        (lambda ws: ws.accept("a b"), ValueError, "subprotocol"),
        (lambda ws: ws.accept(headers=[(b"a b", b"c")]), ValueError, "malformed header"),
        (lambda ws: ws.accept(headers=[("a", "b")]), TypeError, "tuple of two bytes"),
    ],
)
def test_misuse_before_accept(serve: Host, call: Any, error: type[Exception], words: str) -> None:
    async def handler(websocket: WebSocket) -> None:
        with pytest.raises(error, match=words):
            await call(websocket)
        await websocket.accept()
        await websocket.send_text("fine")

    assert text_of(serve(app_with(handler))) == "fine"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda ws: ws.accept(), RuntimeError, "accepted or closed"),
        (lambda ws: ws.send_text(b"x"), TypeError, "takes a str, not bytes"),
        (lambda ws: ws.send_bytes("x"), TypeError, "takes bytes, not str"),
        (lambda ws: ws.send_text("\ud800"), UnicodeEncodeError, "surrogates"),
        (lambda ws: ws.send_json(object()), (TypeError, ValueError), "object"),
        (lambda ws: ws.send_json(1, mode="xml"), ValueError, "mode must be"),
        (lambda ws: ws.receive_json(mode="xml"), ValueError, "mode must be"),
        (lambda ws: ws.close(1006), ValueError, "not 1006"),
        (lambda ws: ws.close(999), ValueError, "not 999"),
        (lambda ws: ws.close(1000, "x" * 124), ValueError, "not 124"),
        (lambda ws: ws.send_denial_response(Response()), RuntimeError, "accepted"),
    ],
)
def test_misuse_after_accept(serve: Host, call: Any, error: type[Exception], words: str) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        with pytest.raises(error, match=words):
            await call(websocket)
        await websocket.send_text("fine")

    assert text_of(serve(app_with(handler))) == "fine"


def test_misuse_after_close(serve: Host) -> None:
    done = threading.Event()

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()
        with pytest.raises(RuntimeError, match="has been closed"):
            await websocket.send_text("x")
        done.set()

    with upgraded(serve(app_with(handler))) as client:
        assert client.read().code == 1000
        assert done.wait(10)


@pytest.mark.parametrize(
    ("opcode", "method", "reason"),
    [
        (TEXT, "receive_bytes", "Bytes were expected, not text"),
        (BINARY, "receive_text", "Text was expected, not bytes"),
    ],
)
def test_a_message_of_the_other_kind(serve: Host, opcode: int, method: str, reason: str) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await getattr(websocket, method)()

    with upgraded(serve(app_with(handler))) as client:
        client.send_frame(opcode, b"x")
        assert ((last := client.read()).code, last.reason) == (1003, reason)


# ---- Parameters ----------------------------------------------------------------------------


def test_parameters(serve: Host) -> None:
    async def handler(
        websocket: WebSocket,
        number: int,
        q: float,
        tags: Annotated[list[str], Query()],
        cookie: Annotated[str, Cookie()],
        user_agent: Annotated[str | None, Header()] = None,
        limit: int = 10,
    ) -> None:
        await websocket.accept()
        await websocket.send_json([number, q, tags, cookie, user_agent, limit])

    fields = ["Cookie: cookie=c", "User-Agent: me"]
    found = text_of(serve(app_with(handler, "/{number}")), "/7?q=1.5&tags=a&tags=b", fields)
    assert found == '[7,1.5,["a","b"],"c","me",10]'


def test_bad_parameters_are_422(serve: Host) -> None:
    async def handler(websocket: WebSocket, number: int, q: int) -> None:
        raise AssertionError

    answer = declined(serve(app_with(handler, "/{number}")), "/x")
    assert answer.status == 422
    assert b'"loc":["path","number"]' in answer.body
    assert b'"loc":["query","q"]' in answer.body


order: list[str] = []
cleaned = threading.Event()


def find_token(websocket: WebSocket, token: str) -> str:
    return f"{token}@{websocket.path}"


async def find_path(connection: HTTPConnection) -> str:
    return connection.url.path


def open_session() -> Iterator[str]:
    order.append("opened")
    yield "session"
    order.append("closed")
    cleaned.set()


async def open_stream(name: Annotated[str, Depends(open_session)]) -> AsyncIterator[str]:
    yield name + "s"


def test_dependencies(serve: Host) -> None:
    order.clear()
    cleaned.clear()
    app = App(dependencies=[Depends(lambda: order.append("app"))])

    @app.websocket("/ws", dependencies=[Depends(lambda: order.append("route"))])
    async def handler(
        websocket: WebSocket,
        token: Annotated[str, Depends(find_token)],
        path: Annotated[str, Depends(find_path)],
        names: Annotated[str, Depends(open_stream)],
    ) -> None:
        order.append("handler")
        await websocket.accept()
        await websocket.send_json([token, path, names])

    assert text_of(serve(app), "/ws?token=t") == '["t@/ws","/ws","sessions"]'
    assert cleaned.wait(10)
    assert order == ["app", "route", "opened", "handler", "closed"]


def test_a_dependency_declines(serve: Host) -> None:
    async def check(websocket: WebSocket) -> None:
        raise WebSocketException(1008, "no")

    async def forbid() -> None:
        raise HTTPException(401, "who?", {"WWW-Authenticate": "Basic"})

    app = App()

    @app.websocket("/a", dependencies=[Depends(check)])
    @app.websocket("/b", dependencies=[Depends(forbid)])
    async def handler(websocket: WebSocket) -> None:
        raise AssertionError

    served = serve(app)
    assert declined(served, "/a").status == 403
    answer = declined(served, "/b")
    assert (answer.status, answer.body) == (401, b'{"detail":"who?"}')
    assert answer.fields["www-authenticate"] == "Basic"


def test_an_annotation_that_is_defined_later(serve: Host) -> None:
    app = App()
    exec(  # a module of its own, where names come in their own order
        "from __future__ import annotations\n"
        "@app.websocket('/')\n"
        "async def handler(websocket: Later):\n"
        "    await websocket.accept()\n"
        "    await websocket.send_text('later')\n"
        "from fluvial import WebSocket as Later\n",
        {"app": app, "__name__": "later"},
    )
    assert text_of(serve(app)) == "later"


def takes_request(request: Request) -> None: ...


def takes_websocket(websocket: WebSocket) -> None: ...


async def with_request(
    websocket: WebSocket, a: Annotated[None, Depends(takes_request)]
) -> None: ...
async def with_body(websocket: WebSocket, a: Annotated[int, Body()]) -> None: ...
async def with_dict(websocket: WebSocket, a: dict[str, int]) -> None: ...
async def with_response(websocket: WebSocket, a: Response) -> None: ...
async def with_tasks(websocket: WebSocket, a: BackgroundTasks) -> None: ...
def not_async(websocket: WebSocket) -> None: ...


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (with_request, r"route WebSocket /x .*'request' of .*takes_request is a Request"),
        (with_body, "'a' of .*with_body is for the body, which a WebSocket doesn't have"),
        (with_dict, "'a' of .*with_dict is for the body"),
        (with_response, "'a' of .*with_response is for a response"),
        (with_tasks, "'a' of .*with_tasks is for a response"),
        (not_async, "must be an `async def`"),
    ],
)
def test_signatures_that_are_refused(handler: Any, words: str) -> None:
    app = App()
    with pytest.raises(TypeError, match=words):
        app.add_api_websocket_route("/x", handler)
    assert app.websockets.routes == []


async def for_either(tasks: BackgroundTasks, response: Response) -> bool:
    tasks.add_task(print)
    response.headers["x"] = "y"
    return True


def test_dependencies_may_ask_for_what_only_requests_have() -> None:
    """One function serves both, as libraries' routers do it."""
    app = App()

    @app.websocket("/x")
    async def handler(websocket: WebSocket, value: Annotated[bool, Depends(for_either)]) -> None:
        await websocket.accept()
        await websocket.send_json(value)

    with TestClient(app).websocket_connect("/x") as websocket:
        assert websocket.receive_json() is True


def test_a_request_has_no_websocket() -> None:
    app = App()
    with pytest.raises(TypeError, match=r"'websocket' of .*takes_websocket is a Websocket"):
        app.get("/")(takes_websocket)
