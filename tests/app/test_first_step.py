"""The first step of a request, whose task is made when somebody needs it (ADR 26).

A handler must not notice: the task is asyncio.current_task() from its first line on, whoever asks,
and what is done to it then has the effect that it has in any task.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import urllib.request
import weakref
from typing import TYPE_CHECKING, Any

import fluvial
import pytest
from fluvial import App, Loop, Request, StreamingResponse
from support.asgi import Notes, body, http_only, start

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[], Awaitable[Any]]

TWICE = range(2)  # the first request of each kind has its task before it begins


def current() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def native(handler: Handler) -> Any:
    app = App()
    app.get("/")(handler)
    return app


def behind_middleware(handler: Handler) -> Any:
    app = native(handler)

    @app.middleware("http")
    async def outer(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    return app


def asgi(handler: Handler) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        answer = await handler()
        await send(start())
        await send(body(repr(answer).encode()))

    return http_only(app)


def mounted(handler: Handler) -> Any:
    app = App()
    app.mount("/", asgi(handler))
    return app


every_way = pytest.mark.parametrize("way", [native, behind_middleware, asgi, mounted])


@every_way
def test_it_is_one_task_for_the_whole_request(serve, way: Callable[[Handler], Any]) -> None:
    notes = Notes()

    async def handler() -> str:
        first = current()
        loop = asyncio.get_running_loop()
        notes.add([first in asyncio.all_tasks(), first.get_loop() is loop, first.done()])
        notes.add(asyncio.current_task(loop) is first)
        await asyncio.sleep(0)
        notes.add([current() is first, first in asyncio.all_tasks()])
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            child = group.create_task(asyncio.sleep(0, "child"))
        return child.result()

    client = serve(way(handler)).client
    for _ in TWICE:
        assert "child" in client.get("/").text
        assert notes.next() == [True, True, False]
        assert notes.next() is True
        assert notes.next() == [True, True]


@every_way
def test_a_task_that_only_waits_has_been_there_all_along(
    serve, way: Callable[[Handler], Any]
) -> None:
    notes = Notes()

    async def handler() -> str:
        await asyncio.sleep(0)
        task = current()
        notes.add(task in asyncio.all_tasks())
        looker = asyncio.ensure_future(look(task))
        return await looker

    async def look(task: asyncio.Task[Any]) -> str:
        notes.add(asyncio.current_task() is task)
        return task.get_coro().__name__  # type: ignore[union-attr]

    client = serve(way(handler)).client
    for _ in TWICE:
        assert client.get("/").status_code == 200
        assert [notes.next(), notes.next()] == [True, False]


def test_its_name_context_and_end(serve) -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")
    notes = Notes()

    async def handler() -> str:
        var.set("set")
        task = current()
        task.add_done_callback(ended)
        return task.get_name()

    def ended(task: asyncio.Task[Any]) -> None:
        notes.add([task.done(), task.cancelled(), task.result(), var.get()])
        notes.add(asyncio.current_task())

    client = serve(native(handler)).client
    for _ in TWICE:
        assert client.get("/").json().endswith("handler")
        assert notes.next() == [True, False, None, "set"]
        assert notes.next() is None


def test_nobody_is_current_after_it(serve) -> None:
    """Neither for callbacks nor for the next request, which has a task of its own."""
    notes = Notes()
    tasks: list[asyncio.Task[Any]] = []

    async def handler() -> str:
        asyncio.get_running_loop().call_soon(lambda: notes.add(asyncio.current_task()))
        tasks.append(current())
        return "fine"

    client = serve(native(handler)).client
    for _ in range(3):
        assert client.get("/").json() == "fine"
        assert notes.next() is None
    assert len({id(task) for task in tasks}) == 3
    assert all(task.done() for task in tasks)


@every_way
def test_a_task_that_cancels_itself_before_it_waits(serve, way: Callable[[Handler], Any]) -> None:
    notes = Notes()

    async def wait_for(what: Awaitable[Any]) -> None:
        current().cancel("enough")
        try:
            await what
        except asyncio.CancelledError as exc:
            notes.add(exc.args)
        notes.add([current().cancelling(), current().uncancel()])

    async def handler() -> str:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await wait_for(future)
        notes.add(future.cancelled())
        return "fine"

    async def with_child() -> str:
        child = asyncio.ensure_future(asyncio.sleep(3600))
        await wait_for(child)
        notes.add(child.cancelled())
        return "fine"

    async def with_pause() -> str:
        await wait_for(asyncio.sleep(0))
        notes.add(True)
        return "fine"

    for which in (handler, with_child, with_pause):
        client = serve(way(which)).client
        for _ in TWICE:
            assert "fine" in client.get("/").text
            assert notes.next() == ("enough",)
            assert notes.next() == [1, 0]
            assert notes.next() is True


def test_a_task_that_cancels_itself_right_before_its_end(serve) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def handler() -> str:
        tasks.append(current())
        current().cancel()
        return "fine"

    client = serve(native(handler)).client
    for _ in TWICE:
        assert client.get("/").json() == "fine"
    assert [task.cancelled() for task in tasks] == [True, True]


@pytest.mark.parametrize("asked", [False, True])
def test_a_cancellation_that_the_handler_raises(serve, *, asked: bool) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def handler() -> None:
        if asked:
            tasks.append(current())
        raise asyncio.CancelledError

    client = serve(native(handler)).client
    for _ in TWICE:
        assert client.get("/").status_code == 500
    assert all(task.cancelled() for task in tasks)


def test_another_thread_may_ask_first(serve) -> None:
    """As a watchdog does, that tells what blocks the loop."""
    found: list[Any] = []

    async def handler() -> bool:
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=lambda: found.append(asyncio.current_task(loop)))
        thread.start()
        thread.join()
        return found[-1] is current()

    client = serve(native(handler)).client
    for _ in TWICE:
        assert client.get("/").json() is True


def test_streams(serve) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def pieces() -> Any:
        tasks.append(current())
        yield b"fi"
        await asyncio.sleep(0)
        tasks.append(current())
        yield b"ne"

    async def handler() -> StreamingResponse:
        tasks.append(current())
        return StreamingResponse(pieces())

    assert serve(native(handler)).client.get("/").text == "fine"
    assert len({id(task) for task in tasks}) == 1


def test_a_task_is_freed_with_its_request(serve) -> None:
    refs: list[weakref.ref[Any]] = []

    async def handler() -> str:
        refs.append(weakref.ref(current()))
        await asyncio.sleep(0)
        return "fine"

    client = serve(native(handler)).client
    for _ in TWICE:
        assert client.get("/").json() == "fine"
    assert client.get("/").json() == "fine"
    gc.collect()
    assert [ref() for ref in refs[:2]] == [None, None]


class Hashed(Loop):
    """A loop that hashes in a way of its own."""

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return self is other


class Queueing(Loop):
    """A loop whose call_soon doesn't reach ours at once."""

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_later(0, callback, *args, context=context)


@pytest.mark.parametrize("kind", [Loop, Hashed, Queueing])
@pytest.mark.parametrize("debug", [False, True])
def test_loops_of_other_kinds(kind: type[Loop], *, debug: bool) -> None:
    async def handler() -> list[bool]:
        loop = asyncio.get_running_loop()
        task = current()
        places = {loop: hash(loop)}
        await asyncio.sleep(0)
        return [current() is task, places[loop] == hash(loop)]

    async def main() -> list[bytes]:
        async with fluvial.Server(native(handler), port=0, access_log=False) as server:
            return [await asyncio.to_thread(fetch, server.addresses[0]) for _ in TWICE]

    with asyncio.Runner(loop_factory=kind, debug=debug) as runner:
        assert runner.run(main()) == [b"[true,true]", b"[true,true]"]


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read()
