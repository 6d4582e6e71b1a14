"""Start, stop, and what requests under way get of it."""

import asyncio
import contextlib
import logging
import re
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fluvial import App, BackgroundTask, JSONResponse, Request
from fluvial._serving.server import StartError


def test_lifespan_surrounds_requests_on_the_same_loop(serve) -> None:
    events: list[str] = []
    loops: list[Any] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[dict[str, Any]]:
        events.append("start")
        loops.append(asyncio.get_running_loop())
        app.state.from_start = "app"
        yield {"shared": [1]}
        loops.append(asyncio.get_running_loop())
        events.append("stop")

    app = App(lifespan=lifespan)

    @app.get("/")
    async def handler(request: Request):
        events.append("request")
        loops.append(asyncio.get_running_loop())
        request.state.own = request.state.shared
        return [request.state.shared, request.app.state.from_start, "other" in request.state]

    @app.get("/sync")
    def sync_handler(request: Request):
        return "own" in request.state

    served = serve(app)
    assert served.client.get("/").json() == [[1], "app", False]
    assert served.client.get("/sync").json() is False
    assert events == ["start", "request"]
    served.stop()
    wait_for_stop(served)
    assert events == ["start", "request", "stop"]
    assert len(set(map(id, loops))) == 1


def wait_for_stop(served: Any) -> None:
    """Waits until the server's loop is closed."""
    import time

    deadline = time.monotonic() + 20
    while not served.loop.is_closed():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_bare_generators_are_taken(serve) -> None:
    events: list[str] = []

    async def lifespan(app: App) -> AsyncIterator[None]:
        events.append("start")
        yield
        events.append("stop")

    served = serve(App(lifespan=lifespan))  # type: ignore[arg-type]
    served.stop()
    wait_for_stop(served)
    assert events == ["start", "stop"]


def test_a_start_that_fails_is_logged_and_ends_the_server(
    serve, caplog: pytest.LogCaptureFixture
) -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    with pytest.raises(StartError):
        serve(App(lifespan=lifespan))
    assert "no database" in caplog.text


def test_what_a_lifespan_may_be(serve) -> None:
    @contextlib.asynccontextmanager
    async def wrong(app: App) -> AsyncIterator[str]:
        yield "text"

    with pytest.raises(StartError) as info:
        serve(App(lifespan=wrong))
    assert "a dict or nothing" in str(info.value.__cause__)
    with pytest.raises(StartError) as info:
        serve(App(lifespan=lambda app: None))  # type: ignore[arg-type, return-value]
    assert "async context manager" in str(info.value.__cause__)


@pytest.mark.parametrize("is_async", [False, True])
def test_requests_under_way_are_finished(serve, is_async: bool) -> None:
    app = App()
    started, go_on = threading.Event(), threading.Event()

    def wait() -> str:
        started.set()
        assert go_on.wait(20)
        return "finished"

    async def wait_async() -> str:
        started.set()
        while not go_on.is_set():  # noqa: ASYNC110 - it is set in another thread
            await asyncio.sleep(0.005)
        return "finished"

    app.get("/")(wait_async if is_async else wait)
    served = serve(app)
    with served.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert started.wait(20)
        served.stop()
        while True:  # nobody is let in any more
            try:
                served.connect().close()
            except (ConnectionRefusedError, ConnectionResetError):  # reset: it was queued
                break
        go_on.set()
        answer = b"".join(iter(lambda: sock.recv(1000), b""))
    assert answer.endswith(b'"finished"')
    assert b"connection: close" in answer


def test_a_stop_waits_for_the_background(serve) -> None:
    app = App()
    done = threading.Event()

    async def task() -> None:
        await asyncio.sleep(0.2)
        done.set()

    @app.get("/")
    async def handler():
        return JSONResponse("ok", background=BackgroundTask(task))

    served = serve(app)
    served.client.get("/")
    served.stop()
    wait_for_stop(served)
    assert done.is_set()


@pytest.mark.parametrize("twice", [False, True])
def test_requests_that_never_finish(serve, twice: bool, caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    started, cancelled = threading.Event(), threading.Event()

    @app.get("/")
    async def handler():
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    served = serve(app, graceful_timeout=30 if twice else 0.1)
    with served.connect() as sock, caplog.at_level(logging.WARNING, "fluvial"):
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert started.wait(20)
        served.stop()
        if twice:
            served.stop()
        assert sock.recv(1000) == b""
        wait_for_stop(served)
    assert cancelled.is_set()
    assert re.search(r"Cut off 1 request (at once|after 0.1 seconds): GET / \(", caplog.text)


def test_an_app_can_be_served_again(serve) -> None:
    app = App()
    app.get("/")(lambda: "again")
    for _ in range(3):
        served = serve(app)
        assert served.client.get("/").json() == "again"
        served.close_clients()
        served.stop()
        wait_for_stop(served)


def test_two_servers_of_one_app(serve) -> None:
    app = App()

    @app.get("/sync")
    def handler():
        return "sync"

    first, second = serve(app), serve(app)
    assert first.address != second.address
    for served in (first, second, first):
        assert served.client.get("/sync").json() == "sync"
