"""Dependencies: order, sharing, clean-up, threads and context variables."""

import asyncio
import contextlib
import contextvars
import dataclasses
import functools
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fluvial import (
    App,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    Header,
    HTTPException,
    Request,
    Response,
    Security,
    StreamingResponse,
)

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")


def common(q: str | None = None, limit: int = 100) -> dict[str, Any]:
    return {"q": q, "limit": limit}


async def common_async(q: str | None = None, limit: int = 100) -> dict[str, Any]:
    return {"q": q, "limit": limit}


class CommonClass:
    def __init__(self, q: str | None = None, limit: int = 100) -> None:
        self.q = q
        self.limit = limit


class Checker:
    def __init__(self, fixed: str) -> None:
        self.fixed = fixed

    def __call__(self, q: str = "") -> bool:
        return self.fixed in q


class AsyncChecker(Checker):
    async def __call__(self, q: str = "") -> bool:  # type: ignore[override]
        return self.fixed in q


@pytest.mark.parametrize("dependency", [common, common_async])
@pytest.mark.parametrize("is_async", [False, True])
def test_values(serve, dependency: Any, is_async: bool) -> None:
    app = App()

    def sync_handler(item_id: int, commons: Annotated[dict, Depends(dependency)]):
        return [item_id, commons]

    async def async_handler(item_id: int, commons=Depends(dependency)):  # noqa: B008
        return [item_id, commons]

    app.get("/{item_id}")(async_handler if is_async else sync_handler)
    client = serve(app).client
    assert client.get("/5?q=x").json() == [5, {"q": "x", "limit": 100}]
    response = client.get("/a?limit=b")
    assert [e["loc"] for e in response.json()["detail"]] == [
        ["query", "limit"],
        ["path", "item_id"],
    ]


def test_classes_callables_partials_and_path_parameters(serve) -> None:
    app = App()

    def with_path(item_id: int, factor: int) -> int:
        return item_id * factor

    @app.get("/{item_id}")
    def handler(
        a: Annotated[CommonClass, Depends()],
        b: Annotated[bool, Depends(Checker("bar"))],
        c: Annotated[bool, Depends(AsyncChecker("x"))],
        d: Annotated[int, Depends(functools.partial(with_path, factor=3))],
    ):
        return [a.q, a.limit, b, c, d]

    client = serve(app).client
    assert client.get("/2?q=foobar&limit=5&factor=9").json() == ["foobar", 5, True, False, 6]


def test_each_is_called_once_unless_asked_for(serve) -> None:
    app = App()
    calls: list[str] = []

    def base() -> int:
        calls.append("base")
        return len(calls)

    def left(n: Annotated[int, Depends(base)]) -> int:
        return n

    async def right(n: Annotated[int, Depends(base)]) -> int:
        return n

    @app.get("/")
    def handler(
        a: Annotated[int, Depends(left)],
        b: Annotated[int, Depends(right)],
        c: Annotated[int, Depends(base)],
        d: Annotated[int, Depends(base, use_cache=False)],
    ):
        return [a, b, c, d]

    assert serve(app).client.get("/").json() == [1, 1, 1, 2]


def test_earlier_dependencies_speak_before_later_problems(serve) -> None:
    app = App()

    async def token(x_token: Annotated[str, Header()]) -> None:
        if x_token != "right":
            raise HTTPException(400, "X-Token header invalid")

    def key(x_key: Annotated[str, Header()]) -> str:
        return x_key

    def never(number: int) -> int:
        raise AssertionError("called without its argument")

    @app.get("/", dependencies=[Depends(token), Depends(key)])
    def handler(n: Annotated[int, Depends(never)]):
        return n

    client = serve(app).client
    response = client.get("/?number=x", headers={"X-Token": "wrong"})
    assert (response.status_code, response.json()) == (400, {"detail": "X-Token header invalid"})
    response = client.get("/?number=x", headers={"X-Token": "right"})
    assert response.status_code == 422
    found = [e["loc"] for e in response.json()["detail"]]
    assert found == [["header", "x-key"], ["query", "number"]]
    response = client.get("/")
    found = [e["loc"] for e in response.json()["detail"]]
    assert found == [["header", "x-token"], ["header", "x-key"], ["query", "number"]]


def test_dependencies_of_the_app(serve) -> None:
    seen: list[str] = []
    app = App(dependencies=[Depends(lambda: seen.append("app"))])

    @app.get("/", dependencies=[Depends(lambda: seen.append("route"))])
    async def handler():
        return list(seen)

    assert serve(app).client.get("/").json() == ["app", "route"]


def test_bodies_in_dependencies(serve) -> None:
    app = App()

    def user(name: Annotated[str, Body()], age: Annotated[int, Body()]) -> str:
        return f"{name} {age}"

    @app.post("/")
    async def handler(who: Annotated[str, Depends(user)], sid: Annotated[str, Cookie()] = "none"):
        return [who, sid]

    client = serve(app).client
    assert client.post("/", json={"name": "a", "age": "5"}).json() == ["a 5", "none"]
    response = client.post("/", json={"name": 1})
    assert [e["loc"] for e in response.json()["detail"]] == [["body", "name"], ["body", "age"]]


def test_one_body_of_the_same_name_in_handler_and_dependency(serve) -> None:
    app = App()

    def name_of(item: dict[str, str]) -> str:
        return item["name"]

    @app.post("/")
    async def handler(item: dict[str, str], name: Annotated[str, Depends(name_of)]):
        return [name, item]

    client = serve(app).client
    assert client.post("/", json={"name": "a"}).json() == ["a", {"name": "a"}]
    assert client.post("/", json=5).status_code == 422


def test_a_default_beside_annotated_is_for_other_callers(serve) -> None:
    app = App()

    @app.get("/")
    def handler(number: Annotated[int, Depends(lambda: 5)] = 0) -> int:
        return number

    assert handler() == 0
    assert serve(app).client.get("/").json() == 5


# ---- Threads and context variables ---------------------------------------------------------


def test_def_handler_and_def_dependencies_share_one_thread(serve) -> None:
    app = App()

    def first() -> int:
        return threading.get_ident()

    def second(a: Annotated[int, Depends(first)]) -> tuple[int, int]:
        return a, threading.get_ident()

    @app.get("/")
    def handler(pair: Annotated[tuple[int, int], Depends(second)]):
        return [*pair, threading.get_ident()]

    served = serve(app)
    threads = set(served.client.get("/").json())
    assert len(threads) == 1


def test_async_runs_on_the_loop_and_def_does_not(serve) -> None:
    app = App()

    def in_thread() -> int:
        return threading.get_ident()

    async def on_loop(a: Annotated[int, Depends(in_thread)]) -> tuple[int, int]:
        asyncio.get_running_loop()
        return a, threading.get_ident()

    @app.get("/")
    async def handler(pair: Annotated[tuple[int, int], Depends(on_loop)]):
        return [*pair, threading.get_ident()]

    thread, loop, handler_thread = serve(app).client.get("/").json()
    assert thread != loop == handler_thread


def set_sync() -> None:
    var.set("sync")


async def set_async() -> None:
    var.set("async")


def yield_sync() -> Iterator[None]:
    token = var.set("yield-sync")
    yield
    var.reset(token)


async def yield_async() -> AsyncIterator[None]:
    token = var.set("yield-async")
    yield
    var.reset(token)


@pytest.mark.parametrize("dependency", [set_sync, set_async, yield_sync, yield_async])
@pytest.mark.parametrize("is_async", [False, True])
def test_context_variables_reach_what_runs_after(serve, dependency: Any, is_async: bool) -> None:
    app = App()

    def between_sync() -> str:
        return var.get()

    async def between_async() -> str:
        return var.get()

    A = Annotated[str, Depends(between_sync)]
    B = Annotated[str, Depends(between_async)]

    def sync_handler(x: Annotated[None, Depends(dependency)], a: A):
        return [a, var.get()]

    async def async_handler(x: Annotated[None, Depends(dependency)], a: A, b: B):
        return [a, b, var.get()]

    app.get("/")(async_handler if is_async else sync_handler)
    client = serve(app).client
    expected = dependency.__name__.replace("set_", "").replace("_", "-")
    for _ in range(3):  # and nothing stays behind in a worker
        assert set(client.get("/").json()) == {expected}


def test_no_context_leaks_from_one_request_to_the_next(serve) -> None:
    app = App()

    @app.get("/")
    def handler(set_it: bool):
        before = var.get()
        if set_it:
            var.set("leaked")
        return before

    client = serve(app, threads=1).client
    assert client.get("/?set_it=1").json() == "unset"
    assert client.get("/?set_it=0").json() == "unset"


# ---- Generators ----------------------------------------------------------------------------


def make_generators(events: list[str]) -> tuple[Any, Any]:
    def sync_dep() -> Iterator[str]:
        events.append("enter")
        try:
            yield "value"
        except ValueError:
            events.append("caught")
            raise
        finally:
            events.append("exit")

    async def async_dep() -> AsyncIterator[str]:
        with contextlib.contextmanager(sync_dep)() as value:
            yield value

    return sync_dep, async_dep


@pytest.fixture(params=["sync-sync", "sync-async", "async-sync", "async-async"])
def generator_app(request: pytest.FixtureRequest) -> tuple[App, list[str]]:
    kind, handler_kind = request.param.split("-")
    events: list[str] = []
    dependency = make_generators(events)[kind == "async"]
    app = App()
    D = Annotated[str, Depends(dependency)]

    def work(value: str, mode: str) -> Any:
        events.append("handler")
        if mode == "http":
            raise HTTPException(418, "teapot")
        if mode == "value":
            raise ValueError("broken")
        if mode == "stream":

            def pieces() -> Iterator[str]:
                yield from value
                events.append("streamed")

            return StreamingResponse(pieces())
        return value

    def sync_handler(value: D, mode: str = ""):
        return work(value, mode)

    async def async_handler(value: D, mode: str = ""):
        return work(value, mode)

    app.get("/")(sync_handler if handler_kind == "sync" else async_handler)
    app.exception_handler(ValueError)(lambda request, exc: Response(str(exc), 400))
    return app, events


@pytest.mark.parametrize(
    ("mode", "status", "text", "expected"),
    [
        ("", 200, '"value"', ["enter", "handler", "exit"]),
        ("http", 418, '{"detail":"teapot"}', ["enter", "handler", "exit"]),
        ("value", 400, "broken", ["enter", "handler", "caught", "exit"]),
        ("stream", 200, "value", ["enter", "handler", "streamed", "exit"]),
    ],
)
def test_generators_clean_up(
    serve, generator_app: Any, mode: str, status: int, text: str, expected: list[str]
) -> None:
    app, events = generator_app
    served = serve(app)
    response = served.client.get("/", params={"mode": mode})
    assert (response.status_code, response.text) == (status, text)
    if mode == "stream":  # clean-up follows the last byte: it is over when the server has stopped
        served.client.close()
        wait_until(lambda: events[-1] == "exit")
    assert events == expected


def wait_until(condition: Any) -> None:
    """For what another thread does, without an event to wait for."""
    import time

    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_stream_ends_before_its_clean_up(serve) -> None:
    app = App()
    received, closed = threading.Event(), threading.Event()

    async def resource() -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(received.wait, 30)
        closed.set()

    @app.get("/")
    async def handler(r: Annotated[None, Depends(resource)]):
        return StreamingResponse(iter(["a", "b"]))

    assert serve(app).client.get("/").text == "ab"
    received.set()
    assert closed.wait(30)


def test_what_a_thread_has_set_up_is_cleaned_up_after_a_timeout(serve) -> None:
    app = App()
    events: list[str] = []
    timed_out = threading.Event()

    def slow() -> Iterator[None]:
        assert timed_out.wait(30)
        events.append("enter")
        try:
            yield
        finally:
            events.append("exit")

    async def quick() -> None:
        pass

    @app.get("/")
    async def handler(a: Annotated[None, Depends(slow)], b: Annotated[None, Depends(quick)]):
        events.append("handler")

    @app.middleware("http")
    async def limit(request: Request, call_next: Any) -> Response:
        asyncio.get_running_loop().call_later(0.02, timed_out.set)
        try:
            async with asyncio.timeout(0.01):
                return await call_next(request)
        except TimeoutError:
            return Response(status_code=504)

    assert serve(app).client.get("/").status_code == 504
    assert events == ["enter", "exit"]


def test_generators_unwind_in_reverse(serve) -> None:
    app = App()
    events: list[str] = []

    def outer() -> Iterator[str]:
        events.append("outer in")
        yield "outer"
        events.append("outer out")

    async def inner(a: Annotated[str, Depends(outer)]) -> AsyncIterator[str]:
        events.append("inner in")
        yield a + " inner"
        events.append("inner out")

    @app.get("/")
    async def handler(value: Annotated[str, Depends(inner)]):
        return value

    assert serve(app).client.get("/").json() == "outer inner"
    assert events == ["outer in", "inner in", "inner out", "outer out"]


def test_results_are_encoded_before_the_clean_up(serve) -> None:
    import dataclasses

    @dataclasses.dataclass
    class Row:
        name: str

    app = App()

    def session() -> Iterator[Row]:
        row = Row("open")
        yield row
        row.name = "closed"

    @app.get("/sync")
    def sync_handler(row: Annotated[Row, Depends(session)]):
        return row

    @app.get("/async")
    async def async_handler(row: Annotated[Row, Depends(session)]):
        return row

    client = serve(app).client
    assert client.get("/sync").json() == {"name": "open"}
    assert client.get("/async").json() == {"name": "open"}


@pytest.mark.parametrize("is_async", [False, True])
def test_a_generator_that_swallows_the_exception_is_an_error(serve, is_async: bool) -> None:
    app = App()

    def swallow() -> Iterator[None]:
        with contextlib.suppress(ValueError):
            yield

    def sync_handler(x: Annotated[None, Depends(swallow)]):
        raise ValueError

    async def async_handler(x: Annotated[None, Depends(swallow)]):
        raise ValueError

    app.get("/")(async_handler if is_async else sync_handler)
    assert serve(app).client.get("/").status_code == 500


# ---- Response and BackgroundTasks as parameters --------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
def test_response_parameter(serve, is_async: bool) -> None:
    app = App()

    def set_header(response: Response) -> None:
        response.headers["x-dep"] = "1"

    def sync_handler(response: Response, x: Annotated[None, Depends(set_header)]):
        response.set_cookie("a", "b")
        response.status_code = 201
        return {"ok": True}

    async def async_handler(response: Response, x: Annotated[None, Depends(set_header)]):
        return sync_handler(response, x)

    app.get("/")(async_handler if is_async else sync_handler)
    response = serve(app).client.get("/")
    assert response.status_code == 201
    assert response.json() == {"ok": True}
    assert response.headers["x-dep"] == "1"
    assert response.cookies["a"] == "b"


@pytest.mark.parametrize("is_async", [False, True])
def test_background_tasks(serve, is_async: bool) -> None:
    app = App()
    done = threading.Event()
    seen: list[Any] = []

    def task(name: str) -> None:
        seen.append(name)

    async def last(name: str) -> None:
        seen.append(name)
        done.set()

    def sync_handler(tasks: BackgroundTasks):
        tasks.add_task(task, "one")
        tasks.add_task(last, name="two")
        return {"seen": list(seen)}

    async def async_handler(tasks: BackgroundTasks):
        return sync_handler(tasks)

    app.get("/")(async_handler if is_async else sync_handler)
    assert serve(app).client.get("/").json() == {"seen": []}
    assert done.wait(20)
    assert seen == ["one", "two"]


def test_request_in_dependencies(serve) -> None:
    app = App()

    async def whole(request: Request) -> bytes:
        return await request.body()

    def method(request: Request) -> str:
        return request.method

    @app.post("/")
    async def handler(body: Annotated[bytes, Depends(whole)], m: Annotated[str, Depends(method)]):
        return [body.decode(), m]

    assert serve(app).client.post("/", content=b"abc").json() == ["abc", "POST"]


UNKNOWN_DEPENDENCIES = """
from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

from fluvial import App, Depends

if TYPE_CHECKING:
    from nowhere import User, authenticate

app = App()
calls = []

def known(kind: str = "") -> str:
    calls.append(kind)
    return "known"

class Checker:
    def __init__(self, roles) -> None:
        self.roles = roles

    def __call__(self) -> None: ...

@app.get("/")
async def read(user: {annotation}) -> Any:
    return user
"""


@pytest.mark.parametrize(
    "annotation",
    [
        "Annotated[str, Depends(authenticate)]",
        "Annotated[User, Depends(authenticate)]",
        "Annotated[str, Depends(Checker(authenticate))]",
        "Annotated[str, Depends(functools.partial(known, authenticate))]",
        "Annotated[str, Depends(known), authenticate]",
        'Annotated[str, Depends(authenticate)] = "default"',
        "User = Depends(authenticate)",
    ],
)
def test_a_dependency_that_is_not_defined_is_never_left_out(
    tmp_path: Path, annotation: str
) -> None:
    """The metadata of an annotation is read by its names, and an unknown one stands for nothing."""
    (tmp_path / "it.py").write_text(UNKNOWN_DEPENDENCIES.replace("{annotation}", annotation))
    code = "import it; it.app.plan_routes()"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "NameError" in done.stderr
    assert "authenticate" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "annotation",
    [
        "Annotated[User, Depends(known)]",
        "Annotated[list[User], Depends(known)]",
        "User = Depends(known)",
        "User[int, str] | None = Depends(known)",
        "nowhere.User = Depends(known)",
    ],
)
def test_the_type_of_a_dependency_may_be_known_to_type_checkers_alone(
    tmp_path: Path, annotation: str
) -> None:
    (tmp_path / "it.py").write_text(UNKNOWN_DEPENDENCIES.replace("{annotation}", annotation))
    code = "import it; it.app.plan_routes(); print(it.app.table.find('GET', '/')[0])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("found\n", "")


def test_depends_are_dataclasses() -> None:
    def limit() -> int:
        return 1

    depends = Depends(limit, scope="function", max_concurrency=2)
    other = dataclasses.replace(depends, use_cache=False)
    assert (other.dependency, other.use_cache, other.scope) == (limit, False, "function")
    assert other.max_concurrency == 2
    with_scopes = dataclasses.replace(Security(limit, scopes=["a"]), scopes=["a", "b"])
    assert type(with_scopes) is Security
    assert with_scopes.scopes == ("a", "b")
    assert dataclasses.replace(with_scopes) == with_scopes
