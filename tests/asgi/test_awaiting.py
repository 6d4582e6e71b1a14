"""`receive()` and `send(...)` may be awaited in whatever way a coroutine may be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from fluvial import App, WebSocket
from support.asgi import Notes, body, http_only, start
from support.gateways import HOSTS, app_with, hosting
from support.ws_client import upgraded

if TYPE_CHECKING:
    from conftest import Serve


async def by_tasks(receive: Any, send: Any) -> Any:
    loop = asyncio.get_running_loop()
    event = await loop.create_task(receive())
    await asyncio.gather(send(start()))
    await asyncio.wait({asyncio.create_task(send(body(event["body"])))})


async def by_task_groups(receive: Any, send: Any) -> Any:
    async with asyncio.TaskGroup() as tasks:
        event = tasks.create_task(receive())
    for message in (start(), body(event.result()["body"])):
        async with anyio.create_task_group() as group:
            group.start_soon(send, message)


async def with_timeouts(receive: Any, send: Any) -> Any:
    event = last = await asyncio.wait_for(receive(), 30)
    while last["more_body"]:
        last = await asyncio.wait_for(receive(), 30)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(receive(), 0.01)
    with anyio.move_on_after(0.01):
        await receive()
    await asyncio.shield(send(start()))
    await asyncio.wait_for(send(body(event["body"])), 30)


async def from_threads(receive: Any, send: Any) -> Any:
    def work() -> None:
        event = anyio.from_thread.run(receive)
        anyio.from_thread.run(send, start())
        anyio.from_thread.run(send, body(event["body"]))

    await anyio.to_thread.run_sync(work)


@pytest.mark.parametrize("how", [by_tasks, by_task_groups, with_timeouts, from_threads])
@pytest.mark.parametrize("place", ["here", "below middleware"])
def test_ways_to_await(serve: Serve, place: str, how: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await how(receive, send)

    outer: Any = http_only(app)
    if place == "below middleware":
        outer = App()
        outer.mount("/", app)

        @outer.middleware("http")
        async def around(request: Any, call_next: Any) -> Any:
            return await call_next(request)

    assert serve(outer).client.post("/", content=b"hello").content == b"hello"


def test_what_send_refuses_is_raised_where_it_is_awaited(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        refused = [send(body()), send({"type": "nonsense"}), send(start(status=99)), send(7)]
        for result in await asyncio.gather(*refused, return_exceptions=True):
            notes.add(type(result))
        await send(start())
        await send(body())

    assert serve(http_only(app)).client.get("/").status_code == 200
    found = [notes.next() for _ in range(4)]
    assert found == [RuntimeError, RuntimeError, ValueError, TypeError]


def test_what_send_refuses_of_a_websocket(serve: Serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        refused = [send({"type": "websocket.send", "text": "x"}), send({"type": "nonsense"})]
        for result in await asyncio.gather(*refused, return_exceptions=True):
            notes.add(isinstance(result, OSError))

    with upgraded(serve(app, lifespan="off")):
        pass
    assert [notes.next(), notes.next()] == [True, True]


@pytest.mark.parametrize("kind", HOSTS)
def test_a_message_to_all_reaches_those_who_are_there(serve: Serve, kind: str) -> None:
    """One WebSocket of several is closed: the exception is the result of its own send."""
    notes = Notes()
    there: list[WebSocket] = []

    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        there.append(websocket)
        notes.add("accepted")
        async for _ in websocket.iter_text():
            sending = [each.send_text("to all") for each in there]
            for result in await asyncio.gather(*sending, return_exceptions=True):
                notes.add(result is None)
        notes.add("left")

    with hosting(kind, serve) as host:
        served = host(app_with(handler))
        with upgraded(served):
            assert notes.next() == "accepted"
        assert notes.next() == "left"
        with upgraded(served) as client:
            client.send_frame(1, b"now")
            assert client.read().payload == b"to all"
            assert notes.next() == "accepted"
            assert [notes.next(), notes.next()] == [False, True]


def test_what_methods_of_a_websocket_refuse(serve: Serve) -> None:
    notes = Notes()

    async def handler(websocket: WebSocket) -> None:
        early = websocket.send_text("not accepted yet")
        await websocket.accept()
        wrong: Any = 7
        refused = [
            early,
            websocket.accept(),
            websocket.accept(headers=[wrong]),
            websocket.send_text(wrong),
            websocket.send_bytes(wrong),
            websocket.send_utf8(wrong),
            websocket.close(1),
        ]
        for result in await asyncio.gather(*refused, return_exceptions=True):
            notes.add(type(result))

    with upgraded(serve(app_with(handler))):
        found = [notes.next() for _ in range(7)]
    assert found == [RuntimeError, RuntimeError, *[TypeError] * 4, ValueError]
