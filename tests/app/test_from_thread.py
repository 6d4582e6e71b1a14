"""anyio.from_thread in what runs on the server's threads, and what tells anyio of these."""

import asyncio
import concurrent.futures
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Annotated, Any

import anyio.lowlevel
import pytest
from anyio import from_thread, to_thread
from fluvial import App, BackgroundTasks, Depends, Loop, StreamingResponse, WebSocket, _core
from fluvial.concurrency import contextmanager_in_threadpool, run_in_threadpool
from fluvial.testclient import TestClient
from support.middleware import Passing

ASYNC, SYNC = "from a coroutine", "from a function"


async def on_loop() -> str:
    await anyio.lowlevel.checkpoint()
    assert asyncio.get_running_loop()
    return ASYNC


def both() -> list[str]:
    """Calls the loop from a worker's thread in both ways."""
    from_thread.check_cancelled()
    return [from_thread.run(on_loop), from_thread.run_sync(lambda: SYNC)]


def make(told: list[Any]) -> App:
    app = App()

    def dependency() -> Iterator[list[str]]:
        yield both()
        told.append(both())

    @app.get("/def")
    def in_thread(got: Annotated[list[str], Depends(dependency)]) -> list[str]:
        return got + both()

    @app.get("/async")
    async def in_task(got: Annotated[list[str], Depends(dependency)]) -> list[str]:
        in_pool = await run_in_threadpool(both)
        return got + in_pool + await to_thread.run_sync(both)

    @app.get("/stream")
    def stream(tasks: BackgroundTasks) -> StreamingResponse:
        def pieces() -> Iterator[str]:
            yield from both()

        tasks.add_task(lambda: told.append(both()))
        return StreamingResponse(pieces(), background=tasks)

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, got: Annotated[list[str], Depends(dependency)]) -> None:
        await websocket.accept()
        await websocket.send_json(got)

    return app


@pytest.mark.parametrize("middleware", [False, True])
def test_functions_in_threads_can_call_the_loop(middleware: bool) -> None:
    told: list[Any] = []
    app = make(told)
    if middleware:
        app.add_middleware(Passing)
    with TestClient(app) as client:
        assert client.get("/def").json() == [ASYNC, SYNC] * 2
        assert client.get("/async").json() == [ASYNC, SYNC] * 3
        assert client.get("/stream").text == ASYNC + SYNC
        with client.websocket_connect("/ws") as websocket:
            assert websocket.receive_json() == [ASYNC, SYNC]
    assert told == [[ASYNC, SYNC]] * 4


def test_under_another_loop() -> None:
    async def main() -> None:
        assert await run_in_threadpool(both) == [ASYNC, SYNC]
        async with contextmanager_in_threadpool(_Entered()) as got:
            assert got == [ASYNC, SYNC]

    asyncio.run(main())


class _Entered:
    def __enter__(self) -> list[str]:
        return both()

    def __exit__(self, *_: object) -> None:
        both()


def test_a_thread_is_greeted_once_when_the_module_is_there(monkeypatch) -> None:
    greeted: list[int] = []
    name = "a_module_of_this_test"

    async def main() -> None:
        greet = (name, lambda: greeted.append(threading.get_ident()))
        pool = _core.Pool(asyncio.get_running_loop(), threads=1, greet=greet)
        await pool.submit(None, int)
        assert greeted == []
        for imported in (name, "another_module", "and_another"):
            monkeypatch.setitem(sys.modules, imported, ModuleType(imported))
            thread = await pool.submit(None, threading.get_ident)
            assert greeted == [thread]
        pool.close()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("greet", ["name", ("name",), (3, print)])
def test_what_cannot_greet_is_refused(greet: Any) -> None:
    async def main() -> None:
        with pytest.raises(TypeError):
            _core.Pool(asyncio.get_running_loop(), greet=greet)

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


def test_a_cancelled_scope_cancels_what_the_thread_awaits_and_waits_for_the_thread() -> None:
    done: list[str] = []

    async def main() -> None:
        awaited, released = asyncio.Event(), threading.Event()

        async def forever() -> None:
            awaited.set()
            await asyncio.Event().wait()

        def work() -> None:
            try:
                from_thread.run(forever)
            except (asyncio.CancelledError, concurrent.futures.CancelledError):
                done.append("cancelled")
            released.wait()
            done.append("thread")

        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(run_in_threadpool, work)
                await awaited.wait()
                scope.cancel()
                asyncio.get_running_loop().call_later(0.01, released.set)
        done.append("scope")

    asyncio.run(main())
    assert done == ["cancelled", "thread", "scope"]


def test_what_a_thread_begins_to_await_after_that_is_cancelled_too() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        begun, go_on = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def work() -> None:
            loop.call_soon_threadsafe(begun.set)
            go_on.wait()
            with pytest.raises((asyncio.CancelledError, concurrent.futures.CancelledError)):
                from_thread.run(forever)

        async with anyio.create_task_group() as group:
            group.start_soon(run_in_threadpool, work)
            await begun.wait()
            group.cancel_scope.cancel()
            loop.call_later(0.01, go_on.set)

    asyncio.run(main())
