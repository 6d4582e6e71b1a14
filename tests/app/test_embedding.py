"""`fluvial.Server` and `fluvial.serve`: an app within a program that does other things."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import fluvial
import httpx
import pytest
from fluvial import App, stopping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from conftest import Certificate

QUIET: dict[str, Any] = {"port": 0, "access_log": False}


def make_app(events: list[str] | None = None, started: asyncio.Event | None = None) -> App:
    events = [] if events is None else events

    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        events.append("started")
        if started is not None:
            started.set()
        yield
        events.append("ended")

    app = App(lifespan=lifespan)

    @app.get("/async")
    async def on_loop() -> str:
        return threading.current_thread().name

    @app.get("/sync")
    def in_thread() -> str:
        return "thread"

    return app


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read()


def test_on_the_running_loop() -> None:
    events: list[str] = []

    async def main() -> None:
        async with fluvial.Server(make_app(events), **QUIET) as server:
            (url,) = server.addresses
            assert events == ["started"]
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                response = await client.get(url + "/async")
                assert response.json() == threading.current_thread().name
                assert (await client.get(url + "/sync")).json() == "thread"
        assert events == ["started", "ended"]
        with pytest.raises(OSError, match="refused"):
            await asyncio.to_thread(get, url + "/sync")

    fluvial.run_async(main())


def test_in_a_thread() -> None:
    events: list[str] = []
    with fluvial.Server(make_app(events), **QUIET) as server:
        (url,) = server.addresses
        assert get(url + "/async") == b'"fluvial-server"'
        assert get(url + "/sync") == b'"thread"'
    assert events == ["started", "ended"]
    with pytest.raises(OSError, match="refused"):
        get(url + "/sync")


def test_in_a_thread_beside_another_loop() -> None:
    """As in a notebook, whose cells run on asyncio's own loop."""

    async def main() -> None:
        with fluvial.Server(make_app(), **QUIET) as server:
            body = await asyncio.to_thread(get, server.addresses[0] + "/async")
            assert body == b'"fluvial-server"'

    asyncio.run(main())


@pytest.mark.parametrize("call", ["serve", "start"])
def test_another_loop_is_refused_with_the_ways_to_go(call: str) -> None:
    async def main() -> None:
        app = make_app()
        await (fluvial.serve(app) if call == "serve" else fluvial.Server(app).start())

    with pytest.raises(
        RuntimeError, match=r"_UnixSelectorEventLoop is running: .*thread"
    ) as raised:
        asyncio.run(main())
    assert "\n" not in str(raised.value)


def client_of(path: Path) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(path))
    return httpx.AsyncClient(transport=transport, base_url="http://unix", timeout=30)


def test_serve_lets_requests_finish_when_it_is_cancelled(tmp_path: Path) -> None:
    events: list[str] = []
    started = asyncio.Event()
    app = make_app(events, started)
    begun = asyncio.Event()
    go_on = asyncio.Event()

    told = asyncio.Event()

    @app.get("/slow")
    async def slow() -> str:
        begun.set()
        await stopping.wait()
        told.set()
        await go_on.wait()
        return "finished"

    async def main() -> None:
        path = tmp_path / "socket"
        task = asyncio.create_task(fluvial.serve(app, uds=path, access_log=False))
        await started.wait()
        async with client_of(path) as client:
            request = asyncio.create_task(client.get("/slow"))
            await begun.wait()
            task.cancel()
            await told.wait()
            assert events == ["started"]
            go_on.set()
            assert (await request).json() == "finished"
            with pytest.raises(asyncio.CancelledError):
                await task
        assert events == ["started", "ended"]

    fluvial.run_async(main())


def test_a_second_cancellation_doesnt_wait_for_requests(tmp_path: Path) -> None:
    started, begun, told = asyncio.Event(), asyncio.Event(), asyncio.Event()
    events: list[str] = []
    app = make_app(events, started)

    @app.get("/endless")
    async def endless() -> None:
        begun.set()
        await stopping.wait()
        told.set()
        await asyncio.Event().wait()

    async def main() -> None:
        path = tmp_path / "socket"
        options: dict[str, Any] = {"access_log": False, "graceful_timeout": 3600}
        task = asyncio.create_task(fluvial.serve(app, uds=path, **options))
        await started.wait()
        async with client_of(path) as client:
            request = asyncio.create_task(client.get("/endless"))
            await begun.wait()
            task.cancel()
            await told.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert events == ["started", "ended"]
            with pytest.raises(httpx.RemoteProtocolError):
                await request

    fluvial.run_async(main())


def test_a_second_stop_doesnt_wait_for_requests() -> None:
    app = make_app()
    begun = asyncio.Event()

    @app.get("/endless")
    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def main() -> None:
        server = fluvial.Server(app, graceful_timeout=3600, **QUIET)
        await server.start()
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            request = asyncio.create_task(client.get(server.addresses[0] + "/endless"))
            await begun.wait()
            first = asyncio.create_task(server.stop())
            await asyncio.sleep(0)
            await server.stop()
            await first
            with pytest.raises(httpx.RemoteProtocolError):
                await request

    fluvial.run_async(main())


def test_two_servers_on_one_loop_end_apart() -> None:
    """Neither waits for the other's requests or cancels them, nor takes its threads away."""
    first, second = make_app(), make_app()
    begun, go_on = asyncio.Event(), asyncio.Event()

    @second.get("/slow")
    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return await asyncio.to_thread(str, "finished")

    @second.get("/pool")
    async def pool() -> str:
        from fluvial.concurrency import run_in_threadpool

        return await run_in_threadpool(lambda: type(threading.current_thread()).__name__)

    async def main() -> None:
        async with (
            fluvial.Server(second, **QUIET) as kept,
            httpx.AsyncClient(trust_env=False, timeout=30, base_url=kept.addresses[0]) as client,
        ):
            ended = fluvial.Server(first, graceful_timeout=0, **QUIET)
            await ended.start()
            request = asyncio.create_task(client.get("/slow"))
            await begun.wait()
            await ended.stop()
            assert (await client.get("/pool")).json() == "_DummyThread"  # not the executor's
            assert (await client.get("/sync")).json() == "thread"
            go_on.set()
            assert (await request).json() == "finished"

    fluvial.run_async(main())


def test_what_startup_raises_is_raised() -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        raise LookupError("no database")
        yield

    app = App(lifespan=lifespan)

    async def main() -> None:
        with pytest.raises(LookupError, match="no database"):
            await fluvial.Server(app, **QUIET).start()

    fluvial.run_async(main())
    with pytest.raises(LookupError, match="no database"):
        fluvial.Server(app, **QUIET).start_thread()


def test_an_address_in_use_is_an_oserror_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(OSError, match=rf"can't listen on 127\.0\.0\.1:{port}"):
            fluvial.Server(make_app(), port=port).start_thread()


def test_unix_sockets_and_their_files(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with fluvial.Server(make_app(), uds=path, access_log=False) as server:
        assert server.addresses == (f"unix:{path}",)
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, base_url="http://unix", timeout=30) as client:
            assert client.get("/sync").json() == "thread"
    assert not path.exists()


def test_tls(certificate: Certificate) -> None:
    from support.tls_socket import client_context

    tls = {"ssl_certfile": certificate.cert, "ssl_keyfile": certificate.key}
    with fluvial.Server(make_app(), **tls, **QUIET) as server:
        (url,) = server.addresses
        assert url.startswith("https://127.0.0.1:")
        verify = client_context(certificate.cert)
        with httpx.Client(trust_env=False, verify=verify, timeout=30) as client:
            assert client.get(url.replace("127.0.0.1", "localhost") + "/sync").json() == "thread"


def test_apps_of_other_kinds_and_by_name(tmp_path: Path) -> None:
    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "4")])
        return [b"wsgi"]

    with fluvial.Server(wsgi, interface="wsgi", **QUIET) as server:
        assert get(server.addresses[0]) == b"wsgi"
    (tmp_path / "embedded_app.py").write_text(
        "import fluvial\ndef make():\n    app = fluvial.App()\n"
        "    app.get('/')(lambda: 'named')\n    return app\n"
    )
    named = fluvial.Server("embedded_app:make", app_dir=str(tmp_path), factory=True, **QUIET)
    with named as server:
        assert get(server.addresses[0]) == b'"named"'
    with pytest.raises(RuntimeError, match="there is no module 'nowhere'"):
        fluvial.Server("nowhere:app", **QUIET).start_thread()


def test_what_makes_no_sense_here_is_refused() -> None:
    app = make_app()
    for options in ({"workers": 2}, {"max_requests": 1}, {"worker_timeout": 3}, {"preload": True}):
        (name,) = options
        with pytest.raises(ValueError, match=rf"serves in this process: {name} is an option of"):
            fluvial.Server(app, **options)
    for options in ({"user": "u"}, {"group": "g"}, {"umask": 0o22}, {"pid": "file"}):
        (name,) = options
        with pytest.raises(ValueError, match=rf"leaves this process as it is: {name} is that of"):
            fluvial.Server(app, **options)
    with pytest.raises(TypeError, match=r"fluvial\.Server\(\) has no option 'prot'; did you mean"):
        fluvial.Server(app, prot=8000)
    with fluvial.Server(app, **QUIET) as server, pytest.raises(RuntimeError, match="already"):
        server.start_thread()


def test_what_a_service_manager_passes_is_left_to_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    with fluvial.Server(make_app(), **QUIET) as server:
        assert get(server.addresses[0] + "/sync")
    assert os.environ["LISTEN_FDS"] == "1"
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        fd = os.dup(sock.fileno())
    with fluvial.Server(make_app(), bind=(f"fd://{fd}",), access_log=False) as server:
        assert server.addresses == (url,)
        assert get(url + "/sync")


def test_stopping_what_has_not_started_does_nothing() -> None:
    server = fluvial.Server(make_app())
    server.stop_thread()
    fluvial.run_async(server.stop())
    assert server.addresses == ()


def test_stopping_ends_a_startup_that_hangs() -> None:
    entered, cleaned = threading.Event(), threading.Event()

    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()
        yield

    server = fluvial.Server(App(lifespan=lifespan), **QUIET)

    def start() -> None:
        with pytest.raises(RuntimeError, match="stopped before"):
            server.start_thread()

    starter = threading.Thread(target=start)
    starter.start()
    assert entered.wait(30)
    server.stop_thread()
    starter.join(30)
    assert not starter.is_alive()
    assert cleaned.is_set()


def test_each_way_to_stop_says_which_one_it_takes() -> None:
    with (
        fluvial.Server(make_app(), **QUIET) as server,
        pytest.raises(RuntimeError, match="runs in a thread: call its stop_thread"),
    ):
        asyncio.run(server.stop())

    async def main() -> None:
        async with fluvial.Server(make_app(), **QUIET) as server:
            with pytest.raises(RuntimeError, match="runs on a loop: await its stop"):
                server.stop_thread()

    fluvial.run_async(main())


def test_a_function_in_a_thread_of_asyncio_s_holds_no_stop_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App()
    begun, go_on = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        go_on.wait()

    @app.get("/")
    async def handler() -> None:
        await asyncio.to_thread(block)

    server = fluvial.Server(app, graceful_timeout=0.1, cleanup_timeout=0.1, **QUIET)
    server.start_thread()
    host, port = server.addresses[0].removeprefix("http://").split(":")
    stopper = threading.Thread(target=server.stop_thread, daemon=True)
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert begun.wait(30)
        stopper.start()
        stopper.join(30)
    is_held_up = stopper.is_alive()
    go_on.set()
    assert not is_held_up
    assert "1 threads of asyncio's executor are still running" in caplog.text


def test_a_server_whose_task_is_cancelled_leaves_nothing_open() -> None:
    async def main() -> None:
        server = fluvial.Server(make_app(), **QUIET)
        await server.start()
        host, port = server.addresses[0].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as sock:
            (task,) = (t for t in asyncio.all_tasks() if t.get_name() == "fluvial-server")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await server.wait_stopped()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((host, int(port)))
            sock.settimeout(30)
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""

    fluvial.run_async(main())
