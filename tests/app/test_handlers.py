"""What may be a handler, where it runs, and how paths and methods are matched."""

import asyncio
import contextvars
import datetime
import functools
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fluvial import (
    App,
    Config,
    Depends,
    FileResponse,
    JSONResponse,
    Loop,
    Request,
    Response,
    ResponseValidationError,
    StreamingResponse,
)
from fluvial._serving.load import adapt
from fluvial._serving.server import Service
from fluvial._serving.sockets import bind
from fluvial.testclient import TestClient
from msgspec import Struct

LOOP_THREAD = "server"  # as tests/support/serving.py names it


def where() -> str:
    """Which kind of thread this is."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return "pool"
    return "loop"


def sync_function(n: int = 1) -> Any:
    return [where(), n]


async def async_function(n: int = 1) -> Any:
    await asyncio.sleep(0)
    return [where(), n]


class SyncCallable:
    def __call__(self, n: int = 1) -> Any:
        return [where(), n]


class AsyncCallable:
    async def __call__(self, n: int = 1) -> Any:
        return [where(), n]


class Methods:
    def sync_method(self, n: int = 1) -> Any:
        return [where(), n]

    async def async_method(self, n: int = 1) -> Any:
        return [where(), n]

    @classmethod
    async def class_method(cls, n: int = 1) -> Any:
        return [where(), n]

    @staticmethod
    def static_method(n: int = 1) -> Any:
        return [where(), n]


class Made:
    def __init__(self, n: int = 1) -> None:
        self.values = [where(), n]


def bound(prefix: str, n: int = 1, *, suffix: str) -> Any:
    assert (prefix, suffix) == ("<", ">")
    return [where(), n]


async def async_bound(prefix: str, n: int = 1, *, suffix: str) -> Any:
    return bound(prefix, n, suffix=suffix)


def passing(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapper


def awaiting(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapper


HANDLERS: list[tuple[Any, str]] = [
    (sync_function, "pool"),
    (async_function, "loop"),
    (lambda n=1: [where(), int(n)], "pool"),
    (SyncCallable(), "pool"),
    (AsyncCallable(), "loop"),
    (Methods().sync_method, "pool"),
    (Methods().async_method, "loop"),
    (Methods.class_method, "loop"),
    (Methods.static_method, "pool"),
    (functools.partial(bound, "<", suffix=">"), "pool"),
    (functools.partial(async_bound, "<", suffix=">"), "loop"),
    (functools.partial(functools.partial(async_bound, "<"), suffix=">"), "loop"),
    (functools.partial(AsyncCallable()), "loop"),
    (passing(sync_function), "pool"),
    (passing(async_function), "loop"),
    (awaiting(sync_function), "loop"),
    (passing(passing(async_function)), "loop"),
]


@pytest.mark.parametrize("number", range(len(HANDLERS)))
def test_what_may_be_a_handler(serve, number: int) -> None:
    handler, expected = HANDLERS[number]
    app = App()
    assert app.get("/")(handler) is handler
    client = serve(app).client
    assert client.get("/").json() == [expected, 1]
    assert client.get("/?n=5").json() == [expected, 5]


def test_classes(serve) -> None:
    app = App()
    app.get("/")(Made)
    assert serve(app).client.get("/?n=3").json() == {"values": ["pool", 3]}


def test_inline_runs_on_the_loop(serve) -> None:
    app = App()
    app.get("/", inline=True)(sync_function)
    assert serve(app).client.get("/").json() == ["loop", 1]


def test_async_generators_need_a_class_that_streams() -> None:
    async def handler():
        yield 1

    with pytest.raises(TypeError, match="leave out response_class for JSON lines"):
        App().get("/", response_class=JSONResponse)(handler)


@pytest.mark.parametrize("is_async", [False, True])
def test_generators_make_json_lines(serve, is_async: bool) -> None:
    app, closed = App(), []

    class Item(Struct):
        name: str

    def items() -> Iterator[Item]:
        try:
            yield from (Item("a\n"), Item("b"))
        finally:
            closed.append(True)

    async def later() -> AsyncIterator[Item]:
        for item in items():
            yield item

    app.get("/")(later if is_async else items)

    @app.get("/plain", status_code=202)
    def plain():
        yield {"date": datetime.date(2026, 1, 2)}

    client = serve(app).client
    response = client.get("/")
    assert response.headers["content-type"] == "application/jsonl"
    assert response.text == '{"name":"a\\n"}\n{"name":"b"}\n'
    assert closed == [True]
    response = client.get("/plain")
    assert (response.status_code, response.text) == (202, '{"date":"2026-01-02"}\n')


def test_the_items_of_json_lines_fit_the_annotation(caplog) -> None:
    class Item(Struct):
        name: str

    app = App()

    @app.get("/")
    async def items() -> AsyncIterator[Item]:
        yield {"name": 1}

    with pytest.raises(ResponseValidationError):
        TestClient(app).get("/")


def test_async_handlers_are_tasks(serve) -> None:
    app = App()

    @app.get("/")
    async def handler():
        task = asyncio.current_task()
        assert task is not None
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            child = group.create_task(asyncio.sleep(0, "child"))
        return [task in asyncio.all_tasks(), child.result()]

    assert serve(app).client.get("/").json() == [True, "child"]


def test_each_request_has_a_context_of_its_own(serve) -> None:
    var: contextvars.ContextVar[int] = contextvars.ContextVar("var", default=0)
    app = App()

    def count() -> int:
        var.set(var.get() + 1)
        return var.get()

    async def count_async() -> int:
        return count()

    app.get("/sync")(count)
    app.get("/async")(count_async)
    app.get("/inline", inline=True)(count)
    client = serve(app, threads=1).client
    for path in ("/sync", "/async", "/inline") * 2:
        assert client.get(path).json() == 1


def test_handlers_see_what_was_set_before_the_server_started() -> None:
    """What the program has set is there for every kind of handler."""
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")
    app = App()

    async def ask_async() -> str:
        return var.get()

    def look() -> str:
        return var.get()

    def depends(found: Annotated[str, Depends(look)]) -> str:
        return found

    app.get("/def")(lambda: var.get())
    app.get("/async")(ask_async)
    app.get("/inline", inline=True)(lambda: var.get())
    app.get("/depends")(depends)
    paths = ("/def", "/async", "/inline", "/depends")

    async def main() -> list[str]:
        config = Config(port=0, access_log=False)
        (sock,) = bind(config)
        url = "http://{}:{}".format(*sock.getsockname()[:2])
        ready = asyncio.Event()
        service = Service(adapt(app), [sock], config)
        loop = asyncio.get_running_loop()
        running = loop.create_task(service.run(ready.set))
        await ready.wait()

        def ask() -> list[str]:
            with httpx.Client(trust_env=False) as client:
                return [client.get(url + path).json() for path in paths]

        try:
            return await loop.run_in_executor(None, ask)
        finally:
            service.stop()
            await running

    def run() -> list[str]:
        var.set("before")
        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(main())

    assert contextvars.copy_context().run(run) == ["before"] * len(paths)


def test_handlers_at_once(serve) -> None:
    app = App()
    barrier = threading.Barrier(8)

    @app.get("/")
    def handler():
        barrier.wait(30)
        return "met"

    served = serve(app)

    def get(client: Any) -> None:
        answers.append(client.get("/").json())

    answers: list[str] = []
    threads = [threading.Thread(target=get, args=(served.new_client(),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["met"] * 8


# ---- Paths and methods ---------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options", "trace"])
def test_methods(serve, method: str) -> None:
    app = App()

    @getattr(app, method)("/")
    def handler(request: Request):
        return request.method

    client = serve(app).client
    assert client.request(method, "/").json() == method.upper()
    other = "PUT" if method == "get" else "GET"
    allowed = "GET, HEAD" if method == "get" else method.upper()
    response = client.request(other, "/")
    assert (response.status_code, response.headers["allow"]) == (405, allowed)


def test_head_and_several_methods(serve) -> None:
    app = App()

    @app.head("/head")
    async def head():
        return {"a": 1}

    @app.api_route("/several", methods=["GET", "post"])
    def several(request: Request):
        return request.method

    client = serve(app).client
    response = client.head("/head")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == "7"
    assert client.get("/several").json() == "GET"
    assert client.post("/several").json() == "POST"
    response = client.head("/several")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == "6"
    assert client.put("/several").headers["allow"] == "GET, HEAD, POST"


def test_head_is_answered_as_get_without_the_body(serve, tmp_path: Path) -> None:
    """A route of its own goes first."""
    app = App()
    (tmp_path / "file").write_bytes(b"content")

    @app.get("/def")
    def sync_handler(request: Request):
        return request.method

    @app.get("/async/{number}")
    async def async_handler(number: int):
        return number

    @app.get("/file")
    async def file():
        return FileResponse(tmp_path / "file")

    @app.get("/stream")
    def stream():
        return StreamingResponse(iter([b"content"]))

    @app.get("/own")
    async def get_own():
        return "get"

    @app.head("/own")
    async def head_own():
        return Response(headers={"x-own": "head"})

    @app.post("/post")
    async def post():
        return None

    client = serve(app).client
    lengths = {"/def": "6", "/async/123": "3", "/file": "7"}
    for path, length in lengths.items():
        response = client.head(path)
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-length"] == length
        assert response.headers["content-type"] == client.get(path).headers["content-type"]
    response = client.head("/stream")
    assert (response.status_code, response.content) == (200, b"")
    assert client.head("/async/x").status_code == 422
    assert client.head("/own").headers["x-own"] == "head"
    response = client.head("/post")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_options_of_the_server(serve) -> None:
    app = App()
    data = serve(app).exchange(b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-length: 0\r\n" in data
    assert b"allow: " in data


def test_the_first_that_matches_wins(serve) -> None:
    app = App()
    app.get("/users/me")(lambda: "me")
    app.get("/users/{name}")(lambda name: name)
    app.get("/users/you")(lambda: "never")
    client = serve(app).client
    answers = [client.get(f"/users/{name}").json() for name in ("me", "you", "x")]
    assert answers == ["me", "you", "x"]


def test_trailing_slashes_are_redirected(serve) -> None:
    app = App()
    app.get("/with/")(lambda: "with")
    app.post("/without")(lambda: "without")
    client = serve(app).client
    response = client.get("/with?a=b")
    assert response.status_code == 307
    assert response.headers["location"].endswith("/with/?a=b")
    assert client.get("/with", follow_redirects=True).json() == "with"
    assert client.post("/without/", follow_redirects=True).json() == "without"


def test_add_api_route(serve) -> None:
    app = App()
    app.add_api_route("/a", sync_function, methods=["POST"], status_code=201)
    response = serve(app).client.post("/a?n=2")
    assert (response.status_code, response.json()) == (201, ["pool", 2])


def test_routes_may_be_added_while_serving(serve) -> None:
    app = App()
    client = serve(app).client
    assert client.get("/late").status_code == 404
    app.get("/late")(sync_function)
    assert client.get("/late").json() == ["pool", 1]
