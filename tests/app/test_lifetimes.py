"""When dependencies are closed: the scopes "function", "request" and "app"."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fluvial import App, Depends, Response, StreamingResponse, WebSocket
from fluvial._serving.server import StartError
from fluvial.exceptions import DependencyScopeError

Log = list[str]


def pair(log: Log, name: str, is_async: bool) -> Any:
    """A dependency that logs its begin and end."""

    def sync_dependency() -> Iterator[str]:
        log.append(f"+{name}")
        try:
            yield name
        finally:
            log.append(f"-{name}")

    async def async_dependency() -> AsyncIterator[str]:
        log.append(f"+{name}")
        try:
            yield name
        finally:
            log.append(f"-{name}")

    return async_dependency if is_async else sync_dependency


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
def test_function_ends_before_and_request_after_the_response(
    serve, is_async: bool, streamed: bool
) -> None:
    log: Log = []
    app = App()

    class Noted(StreamingResponse if streamed else Response):  # type: ignore[misc]
        async def respond(self, *args: Any) -> None:
            log.append("send")
            await super().respond(*args)

    @app.get("/")
    def read(
        late: Annotated[str, Depends(pair(log, "late", is_async), scope="request")],
        early: Annotated[str, Depends(pair(log, "early", is_async), scope="function")],
        other: Annotated[str, Depends(pair(log, "other", not is_async), scope="function")],
        usual: Annotated[str, Depends(pair(log, "usual", is_async))],
    ) -> Response:
        log.append("handler")
        made = Noted(iter(["a", "b"]) if streamed else "ab")
        assert late + early + other + usual == "lateearlyotherusual"
        return made

    served = serve(app)
    assert served.client.get("/").text == "ab"
    wait_for(served, lambda: "-late" in log)
    begun = ["+late", "+early", "+other", "+usual", "handler", "-other", "-early"]
    assert log == [*begun, "send", "-usual", "-late"]


def wait_for(served: Any, condition: Any) -> None:
    """Waits for what the server does after the client has its response."""

    async def wait() -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)

    asyncio.run_coroutine_threadsafe(wait(), served.loop).result(30)


def test_an_exception_reaches_function_scoped_dependencies_first(serve) -> None:
    log: Log = []
    app = App()

    def outer() -> Iterator[None]:
        try:
            yield
        except LookupError as exc:
            log.append(f"outer {exc!r}")
            raise

    async def inner() -> AsyncIterator[None]:
        try:
            yield
        except ValueError as exc:
            log.append(f"inner {exc!r}")
            raise LookupError("other") from exc

    @app.exception_handler(LookupError)
    def handler(request: Any, exc: Exception) -> Response:
        return Response(str(exc), 418)

    @app.get("/", dependencies=[Depends(outer), Depends(inner, scope="function")])
    def read() -> None:
        raise ValueError("first")

    assert serve(app).client.get("/").status_code == 418
    assert log == ["inner ValueError('first')", "outer LookupError('other')"]


def test_an_exception_that_is_swallowed(serve) -> None:
    app = App()

    def swallow() -> Iterator[None]:
        with contextlib.suppress(ValueError):
            yield

    @app.get("/", dependencies=[Depends(swallow, scope="function")])
    def read() -> None:
        raise ValueError

    assert serve(app).client.get("/").status_code == 500


def test_a_scope_is_part_of_what_is_shared(serve) -> None:
    log: Log = []
    app = App()
    made = pair(log, "x", False)

    @app.get("/")
    def read(
        a: Annotated[str, Depends(made, scope="function")],
        b: Annotated[str, Depends(made)],
        c: Annotated[str, Depends(made, scope="request")],
    ) -> str:
        return a + b + c

    served = serve(app)
    assert served.client.get("/").json() == "xxx"
    wait_for(served, lambda: log.count("-x") == 2)
    assert log == ["+x", "+x", "-x", "-x"]


def test_what_lives_longer_cannot_need_what_ends_earlier() -> None:
    app = App()

    def short() -> Iterator[int]:
        yield 1

    def long(value: Annotated[int, Depends(short, scope="function")]) -> Iterator[int]:
        yield value

    def once(value: Annotated[int, Depends(short)]) -> int:
        return value

    def asks(q: int) -> int:
        return q

    def handler(value: int) -> None: ...

    with pytest.raises(DependencyScopeError, match=r'"long" has a scope of "request".*short'):
        app.get("/", dependencies=[Depends(long)])(lambda: None)
    app.get("/", dependencies=[Depends(long, scope="function")])(lambda: None)
    app.get("/app", dependencies=[Depends(once, scope="app")])(lambda: None)
    for wrong in (long, asks):
        with pytest.raises(DependencyScopeError, match="made once, when the app starts"):
            app.get("/other", dependencies=[Depends(wrong, scope="app")])(lambda: None)
    with pytest.raises(ValueError, match="a scope is"):
        Depends(short, scope="session")  # type: ignore[arg-type]


def app_with_pool(log: Log) -> App:
    @contextlib.asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[None]:
        log.append("begin")
        yield
        log.append("end")

    app = App(lifespan=lifespan)

    def settings() -> dict[str, int]:
        log.append("settings")
        return {"size": 3}

    async def pool(settings: Annotated[dict[str, int], Depends(settings)]) -> AsyncIterator[Log]:
        log.append("+pool")
        yield ["pool"] * settings["size"]
        log.append("-pool")

    def cache(pool: Annotated[Log, Depends(pool, scope="app")]) -> Iterator[Log]:
        log.append(f"+cache in {threading.current_thread() is not threading.main_thread()}")
        yield pool
        log.append("-cache")

    Cache = Annotated[Log, Depends(cache, scope="app")]

    def count(cache: Cache) -> int:
        return len(cache)

    @app.get("/count")
    async def read_count(count: Annotated[int, Depends(count)], q: int = 1) -> int:
        return count * q

    @app.get("/ids")
    def read_ids(cache: Cache, pool: Annotated[Log, Depends(pool, scope="app")]) -> list[bool]:
        return [cache is pool]

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, cache: Cache) -> None:
        await websocket.accept()
        await websocket.send_json(cache)

    app.dependency_overrides[pool] = pool  # changes nothing
    return app


def test_app_scope_is_made_at_start_and_closed_at_the_end(serve) -> None:
    log: Log = []
    served = serve(app_with_pool(log))
    begun = ["begin", "settings", "+pool", "+cache in True"]
    assert log == begun
    for _ in range(2):
        assert served.client.get("/count?q=2").json() == 6
        assert served.client.get("/ids").json() == [True]
    assert log == begun
    served.stop()
    assert served.thread is not None
    served.thread.join()
    assert log == [*begun, "-cache", "-pool", "end"]


def test_app_scope_that_is_overridden(serve) -> None:
    app = App()

    def database() -> str:
        raise AssertionError

    @app.get("/")
    def read(value: Annotated[str, Depends(database, scope="app")]) -> str:
        return value

    app.dependency_overrides[database] = lambda: "fake"
    client = serve(app).client
    assert client.get("/").json() == "fake"

    @app.get("/late")
    def read_late(value: Annotated[str, Depends(lambda: 1, scope="app")]) -> str:
        return value

    assert client.get("/late").status_code == 500
    with pytest.raises(RuntimeError, match="registered after it"):
        app.dependencies.for_app.value((database, (), "other"))


def test_a_start_that_fails_closes_what_was_made(serve) -> None:
    log: Log = []
    app = App()

    def broken(value: Annotated[str, Depends(pair(log, "first", True), scope="app")]) -> None:
        raise OSError("no database")

    app.get("/", dependencies=[Depends(broken, scope="app")])(lambda: None)
    with pytest.raises(StartError):
        serve(app)
    assert log == ["+first", "-first"]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("yields", [False, True])
def test_max_concurrency(serve, is_async: bool, yields: bool) -> None:
    """A third call begins when one of the first two has ended; a generator's end is its end."""
    app = App()
    running: list[int] = []
    most = 0
    lock = threading.Lock()

    def enter() -> None:
        nonlocal most
        with lock:
            running.append(1)
            most = max(most, len(running))

    both = threading.Barrier(2)

    def wait() -> None:
        enter()
        both.wait(20)
        running.pop()

    async def wait_async() -> None:
        enter()
        await asyncio.to_thread(both.wait, 20)
        running.pop()

    def wait_yield() -> Iterator[None]:
        enter()
        yield
        both.wait(20)
        running.pop()

    async def wait_async_yield() -> AsyncIterator[None]:
        enter()
        yield
        await asyncio.to_thread(both.wait, 20)
        running.pop()

    funcs = {
        (False, False): wait,
        (True, False): wait_async,
        (False, True): wait_yield,
        (True, True): wait_async_yield,
    }
    limited = Depends(funcs[is_async, yields], max_concurrency=2)

    @app.get("/")
    def read(value: Annotated[None, limited]) -> str:
        return "done"

    served = serve(app)
    threads = [threading.Thread(target=served.client.get, args=("/",)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2
    with pytest.raises(ValueError, match="positive"):
        Depends(wait, max_concurrency=0)
