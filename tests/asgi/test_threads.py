"""`receive` and `send` called in other threads, and awaited on the loop, like an `async def`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, WebSocket
from support.asgi import body, http_only, start
from support.gateways import HOSTS, app_with, hosting
from support.ws_client import TEXT, Frame, upgraded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Serve
    from support.gateways import Host


def on_loop(loop: asyncio.AbstractEventLoop, func: Callable[..., Any], *args: Any) -> Any:
    """What `await func(*args)` gives on the loop: called here, in another thread."""
    return asyncio.run_coroutine_threadsafe(func(*args), loop).result(30)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Sends the body back from a thread."""
    loop = asyncio.get_running_loop()

    def work() -> None:
        content, more = b"", True
        while more:
            event = on_loop(loop, receive)
            content += event["body"]
            more = event["more_body"]
        on_loop(loop, send, start())
        for at in range(0, len(content), 100_000):
            on_loop(loop, send, body(content[at : at + 100_000], more=True))
        on_loop(loop, send, body())

    await asyncio.to_thread(work)


@pytest.mark.parametrize("where", ["root", "mount", "mount behind middleware"])
@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_requests(serve: Serve, where: str, size: int) -> None:
    app = http_only(echo)
    if where != "root":
        outer = App()
        outer.mount("/inner", app)
        if "middleware" in where:

            @outer.middleware("http")
            async def through(request: Any, call_next: Any) -> Any:
                return await call_next(request)

        app = outer
    content = bytes(range(250)) * (size // 250) + b"." * (size % 250)
    response = serve(app).client.post("/" if where == "root" else "/inner/", content=content)
    assert (response.status_code, response.content) == (200, content)


def test_what_send_refuses_is_raised_where_it_is_awaited(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        coro = await asyncio.to_thread(send, {"type": "http.response.nonsense"})
        with pytest.raises(RuntimeError, match=r"http\.response\.nonsense"):
            await coro
        await send(start())
        await send(body(b"refused"))

    assert serve(http_only(app)).client.get("/").text == "refused"


def test_nothing_is_sent_before_it_is_awaited(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        first = await asyncio.to_thread(send, start((b"x-from", b"thread"), status=201))
        await send(start(status=202))
        first.close()
        await send(body())

    assert serve(http_only(app)).client.get("/").status_code == 202


def test_a_websocket_by_asgi(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()

        def work() -> None:
            assert on_loop(loop, receive)["type"] == "websocket.connect"
            on_loop(loop, send, {"type": "websocket.accept"})
            text = on_loop(loop, receive)["text"]
            on_loop(loop, send, {"type": "websocket.send", "text": f"{text}!"})
            on_loop(loop, send, {"type": "websocket.close", "code": 3001})

        if scope["type"] == "websocket":
            await asyncio.to_thread(work)

    with upgraded(serve(app)) as client:
        client.send_frame(TEXT, b"text")
        assert client.read() == Frame(TEXT, b"text!")
        assert client.read().code == 3001


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, serve: Serve) -> Iterator[Host]:
    with hosting(request.param, serve) as host:
        yield host


def test_a_native_websocket(host: Host) -> None:
    async def handler(websocket: WebSocket) -> None:
        loop = asyncio.get_running_loop()

        def work() -> None:
            on_loop(loop, websocket.accept)
            on_loop(loop, websocket.send_text, on_loop(loop, websocket.receive_text) + "!")
            on_loop(loop, websocket.send_bytes, on_loop(loop, websocket.receive_bytes))
            on_loop(loop, websocket.send_json, on_loop(loop, websocket.receive_json))
            with pytest.raises(TypeError):
                on_loop(loop, websocket.send_text, 1)
            on_loop(loop, websocket.close, 3001, "enough")

        await asyncio.to_thread(work)

    with upgraded(host(app_with(handler))) as client:
        client.send_frame(TEXT, b"text")
        assert client.read() == Frame(TEXT, b"text!")
        client.send_frame(2, b"bytes")
        assert client.read().payload == b"bytes"
        client.send_frame(TEXT, b"[1]")
        assert client.read() == Frame(TEXT, b"[1]")
        assert client.read().code == 3001


def test_methods_that_a_subclass_overrides_run_once(serve: Serve) -> None:
    calls: list[str] = []

    class Own(WebSocket):
        def send_text(self, data: str) -> Any:
            calls.append(data)
            return super().send_text(data)

    async def handler(websocket: WebSocket) -> None:
        loop = asyncio.get_running_loop()
        await websocket.accept()
        websocket.__class__ = Own
        await asyncio.to_thread(on_loop, loop, websocket.send_text, "once")

    with upgraded(serve(app_with(handler))) as client:
        assert client.read() == Frame(TEXT, b"once")
    assert calls == ["once"]
