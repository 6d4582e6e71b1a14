"""The coroutine of a request's task, as users get at it: `asyncio.current_task().get_coro()`."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fluvial import App, Loop, Request, Response, StreamingResponse, WebSocket
from support.asgi import Notes, body, read_body, start
from support.ws_client import TEXT, Client, frame

STEPS: dict[str, Callable[[Any], Any]] = {
    "send": lambda coro: coro.send(None),
    "throw": lambda coro: coro.throw(LookupError()),
    "close": lambda coro: coro.close(),
    "next": lambda coro: coro.__await__().__next__(),
}


def own_coro() -> Any:
    task = asyncio.current_task()
    assert task is not None
    return task.get_coro()


def provoke() -> None:
    """What one's own running coroutine refuses, from this thread and from another."""
    coro = own_coro()
    for step in STEPS.values():
        with pytest.raises(ValueError, match="coroutine already executing"):
            step(coro)
    found: list[BaseException] = []
    thread = threading.Thread(target=lambda: found.extend(map(refusal, STEPS.values(), 4 * [coro])))
    thread.start()
    thread.join()
    assert [str(exc) for exc in found] == 4 * ["coroutine already executing"]
    assert (coro.cr_running, coro.cr_suspended) == (True, False)


def refusal(step: Callable[[Any], Any], coro: Any) -> Exception:
    with pytest.raises((ValueError, RuntimeError)) as found:
        step(coro)
    return found.value


def make_app(coros: Notes) -> App:
    app = App()

    @app.get("/handler")
    async def handler() -> Response:
        provoke()
        coros.add(own_coro())
        await asyncio.sleep(0)
        provoke()
        return Response(b"fine")

    @app.get("/response")
    async def response() -> Response:
        class Odd(Response):
            @property
            def status_code(self) -> int:
                provoke()
                return 200

            @status_code.setter
            def status_code(self, value: int) -> None:
                pass

        coros.add(own_coro())
        return Odd(b"fine")

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces() -> Any:
            provoke()
            yield b"fi"
            await asyncio.sleep(0)
            provoke()
            coros.add(own_coro())
            yield b"ne"

        return StreamingResponse(pieces())

    @app.exception_handler(LookupError)
    async def handle(request: Request, exc: Exception) -> Response:
        provoke()
        coros.add(own_coro())
        return Response(b"fine")

    @app.get("/error")
    def error() -> None:
        raise LookupError

    return app


@pytest.mark.parametrize("middleware", [False, True])
@pytest.mark.parametrize("path", ["/handler", "/response", "/stream", "/error"])
def test_a_running_coroutine_refuses(serve, path: str, *, middleware: bool) -> None:
    coros = Notes()
    app = make_app(coros)
    if middleware:

        @app.middleware("http")
        async def outer(request: Request, call_next: Any) -> Any:
            provoke()
            return await call_next(request)

    client = serve(app).client
    assert client.get(path).text == "fine"
    assert client.get(path).text == "fine"
    coro = coros.next()
    for name in ("send", "throw", "next"):
        exc = refusal(STEPS[name], coro)
        assert (type(exc), str(exc)) == (RuntimeError, "cannot reuse already awaited coroutine")
    assert coro.close() is None
    assert (coro.cr_running, coro.cr_suspended, coro.cr_frame) == (False, False, None)


@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_asgi_apps(serve, kind: str, *, mounted: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise AssertionError
        provoke()
        if scope["type"] == "http":
            await read_body(receive)
            provoke()
            await send(start())
            await send(body(b"fine"))
        else:
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            provoke()
            await send({"type": "websocket.send", "text": "fine"})

    outer: Any = app
    if mounted:
        outer = App()
        outer.mount("/at", app)
    served = serve(outer)
    if kind == "http":
        assert served.client.post("/at", content=b"x" * 100_000).text == "fine"
        return
    with Client(served.connect()) as client:
        client.open("/at")
        client.send(frame(TEXT, b"go on"))
        assert client.read().payload == b"fine"


def test_websocket_handlers(serve) -> None:
    app = App()

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        provoke()
        await websocket.accept()
        await websocket.receive_text()
        provoke()
        await websocket.send_text("fine")

    with Client(serve(app).connect()) as client:
        client.open("/")
        client.send(frame(TEXT, b"go on"))
        assert client.read().payload == b"fine"


@pytest.mark.parametrize("step", ["send", "throw", "close"])
def test_another_thread_is_refused_while_it_waits(serve, step: str) -> None:
    app = App()

    async def look(coro: Any) -> list[str]:
        exc = await asyncio.to_thread(refusal, STEPS[step], coro)
        return [type(exc).__name__, str(exc)]

    @app.get("/")
    async def handler() -> list[str]:
        return await asyncio.create_task(look(own_coro()))

    answer = serve(app).client.get("/").json()
    assert answer == ["RuntimeError", "a request's coroutine runs on the loop's thread only"]


def test_another_threads_loop_is_refused(serve) -> None:
    app = App()

    async def awaiting(coro: Any) -> None:
        with pytest.raises(RuntimeError, match="on the loop's thread only"):
            await coro

    async def look(coro: Any) -> None:
        await asyncio.to_thread(asyncio.run, awaiting(coro))

    @app.get("/")
    async def handler() -> str:
        await asyncio.create_task(look(own_coro()))
        return "fine"

    assert serve(app).client.get("/").text == '"fine"'


# ---- What debuggers see ------------------------------------------------------------------------


class Awaitable:
    """Something to await that is no coroutine: its iterator is a generator, or plain."""

    def __init__(self, future: "asyncio.Future[str]", *, plain: bool) -> None:
        self.future = future
        self.plain = plain

    def __await__(self) -> Iterator[Any]:
        return PlainIterator(self.future) if self.plain else self._generate()

    def _generate(self) -> Any:
        return (yield from self.future)


class PlainIterator:
    """Neither throw() nor close()."""

    def __init__(self, future: "asyncio.Future[str]") -> None:
        self._steps = iter(future)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._steps)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("cancelled", [False, True])
def test_an_app_that_gives_another_awaitable(serve, *, plain: bool, cancelled: bool) -> None:
    notes = Notes()

    def app(scope: Any, receive: Any, send: Any) -> Any:
        if scope["type"] == "lifespan":
            raise AssertionError
        loop = asyncio.get_running_loop()
        future: asyncio.Future[str] = loop.create_future()
        notes.add(future)
        loop.call_soon(look, future)
        return Awaitable(future, plain=plain)

    def look(future: "asyncio.Future[str]") -> None:
        (task,) = (t for t in asyncio.all_tasks() if "request handler" in repr(t.get_coro()))
        coro = task.get_coro()
        assert (coro.cr_frame is None) is plain
        assert (coro.cr_running, coro.cr_origin) == (False, None)
        assert isinstance(task.get_stack(), list)
        notes.add("seen")
        if cancelled:
            task.cancel()
        else:
            future.set_result("")

    answer = serve(app).client.get("/")
    assert answer.status_code == 500  # nothing was sent
    notes.next()
    assert notes.next() == "seen"


def test_attributes_while_it_waits(serve) -> None:
    app = App()
    future: list[asyncio.Future[None]] = []
    tasks: list[asyncio.Task[Any]] = []

    @app.get("/wait")
    async def wait() -> str:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        future.append(asyncio.get_running_loop().create_future())
        looker = asyncio.ensure_future(look(task))
        await future[0]
        return await looker

    async def look(task: Any) -> str:
        coro = task.get_coro()
        assert (coro.cr_running, coro.cr_suspended) == (False, True)
        assert coro.cr_code is coro.cr_frame.f_code
        assert coro.cr_code.co_name == coro.__name__ == "wait"
        assert coro.cr_origin is None
        assert asyncio.isfuture(coro.cr_await) or coro.cr_await is not None
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["wait"]
        assert "wait" in repr(task)
        future[0].set_result(None)
        return "seen"

    assert serve(app).client.get("/wait").json() == "seen"


# ---- What is awaited on the way ----------------------------------------------------------------


def test_two_tasks_await_one_receive(serve) -> None:
    """The second one is refused, and the first one gets its event."""
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise AssertionError
        event = receive()

        async def wait() -> Any:
            return await event

        first = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
            await wait()
        exc = await asyncio.to_thread(refusal, STEPS["send"], event)
        assert "on the loop's thread only" in str(exc)
        notes.add("refused")
        assert (await first)["body"] == b"x"
        for step in ("send", "throw"):
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                STEPS[step](event)
        assert event.close() is None
        await send(start())
        await send(body(b"fine"))

    with serve(app).connect() as sock:
        sock.sendall(
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\nconnection: close\r\n\r\n"
        )
        assert notes.next() == "refused"
        sock.sendall(b"x")
        assert b"".join(iter(lambda: sock.recv(65536), b"")).endswith(b"fine")


def test_a_step_out_of_turn_loses_no_wake_up(serve) -> None:
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise AssertionError
        event = receive()
        first = asyncio.ensure_future(event)
        await asyncio.sleep(0)
        event.send(None)
        with pytest.raises(RuntimeError, match="await wasn't used with future"):
            event.send(None)
        notes.add("taken")
        assert (await first)["body"] == b"x"
        await send(start())
        await send(body(b"fine"))

    with serve(app).connect() as sock:
        sock.sendall(
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\nconnection: close\r\n\r\n"
        )
        assert notes.next() == "taken"
        sock.sendall(b"x")
        assert b"".join(iter(lambda: sock.recv(65536), b"")).endswith(b"fine")


def test_a_running_sock_recv_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []

    async def main() -> bytes:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            op = loop.sock_recv(ours, 10)
            steps = [step for name, step in STEPS.items() if name != "next"]

            def fileno(self: socket.socket) -> int:
                if self is ours and not found:
                    found.extend(str(refusal(step, op)) for step in steps)
                return plain(self)

            plain = socket.socket.fileno
            monkeypatch.setattr(socket.socket, "fileno", fileno)
            theirs.sendall(b"bytes")
            return await op

    with asyncio.Runner(loop_factory=Loop) as runner:
        loop = runner.get_loop()
        assert runner.run(main()) == b"bytes"
    assert found == 3 * ["coroutine already executing"]
