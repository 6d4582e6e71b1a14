"""Exceptions in handlers, and the user's handlers for them."""

import asyncio
import logging
import threading
import traceback
from typing import Any

import httpx
import pytest
from fluvial import (
    App,
    BackgroundTask,
    Depends,
    HTTPException,
    JSONResponse,
    PlainTextResponse,
    Request,
    RequestValidationError,
    StreamingResponse,
    WebSocket,
    WebSocketException,
)
from support.ws_client import upgraded


class Broken(Exception):
    pass


class VeryBroken(Broken):
    pass


SERIOUS = {
    "exit": SystemExit(3),
    "cancelled": asyncio.CancelledError(),
    "closed": GeneratorExit(),
    "end": StopAsyncIteration(),
    "base": BaseException("base"),
}


def routes(app: App) -> App:
    def fail(kind: str) -> Any:
        if kind == "http":
            raise HTTPException(404, {"what": "item"}, headers={"X-Error": "there goes"})
        if kind == "teapot":
            raise HTTPException(418)
        if kind == "empty":
            raise HTTPException(304, headers={"ETag": '"x"'})
        if kind == "broken":
            raise VeryBroken("oh")
        if kind == "stop":
            raise StopIteration("no end")
        if kind in SERIOUS:
            raise SERIOUS[kind]
        return "fine"

    def sync_handler(kind: str):
        return fail(kind)

    async def async_handler(kind: str):
        return fail(kind)

    app.get("/sync/{kind}")(sync_handler)
    app.get("/async/{kind}")(async_handler)
    app.get("/inline/{kind}", inline=True)(sync_handler)
    return app


@pytest.fixture(params=["sync", "async", "inline"])
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


def test_http_exceptions(serve, mode: str) -> None:
    client = serve(routes(App())).client
    response = client.get(f"/{mode}/http")
    assert (response.status_code, response.json()) == (404, {"detail": {"what": "item"}})
    assert response.headers["x-error"] == "there goes"
    assert response.headers["content-type"] == "application/json"
    response = client.get(f"/{mode}/teapot")
    assert (response.status_code, response.json()) == (418, {"detail": "I'm a Teapot"})
    response = client.get(f"/{mode}/empty")
    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", '"x"')


@pytest.mark.parametrize("kind", ["broken", "stop", "exit"])
def test_others_are_logged_and_answered(
    serve, mode: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(routes(App()))
    with caplog.at_level(logging.ERROR, "fluvial"):
        response = served.client.get(f"/{mode}/{kind}")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    (record,) = caplog.records
    assert record.getMessage() == f"GET /{mode}/{kind} failed"
    assert record.exc_info is not None
    exc = record.exc_info[1]
    assert exc is not None
    if kind == "stop" and mode != "inline":  # told as RuntimeError, as Python does in coroutines
        exc = exc.__cause__ or exc
    assert traceback.extract_tb(exc.__traceback__)[-1].name == "fail"
    # Neither the connection nor the server has suffered.
    assert served.client.get(f"/{mode}/fine").json() == "fine"


@pytest.mark.parametrize("middleware", [False, True])
@pytest.mark.parametrize("kind", SERIOUS)
def test_what_is_not_an_error_ends_one_request_only(
    serve, mode: str, kind: str, middleware: bool
) -> None:
    app = routes(App())
    if middleware:

        @app.middleware("http")
        async def pass_on(request: Request, call_next: Any) -> Any:
            return await call_next(request)

    served = serve(app)
    assert served.client.get(f"/{mode}/{kind}").status_code == 500
    assert served.client.get(f"/{mode}/fine").json() == "fine"


def test_handlers_by_class_and_status(serve, mode: str) -> None:
    app = routes(App())

    @app.exception_handler(Broken)
    def broken(request: Request, exc: Broken):
        return JSONResponse({"broken": str(exc), "path": request.path}, status_code=400)

    @app.exception_handler(404)
    async def not_found(request: Request, exc: HTTPException):
        return PlainTextResponse(f"not found: {exc.detail}", 404)

    @app.exception_handler(405)
    async def not_allowed(request: Request, exc: HTTPException):
        return PlainTextResponse("not allowed", 405, headers=exc.headers)

    client = serve(app).client
    response = client.get(f"/{mode}/broken")
    assert (response.status_code, response.json()["broken"]) == (400, "oh")
    assert client.get(f"/{mode}/http").text == "not found: {'what': 'item'}"
    assert client.get("/nowhere").text == "not found: Not Found"
    response = client.post(f"/{mode}/fine")
    assert (response.status_code, response.text) == (405, "not allowed")
    assert response.headers["allow"] == "GET, HEAD"
    assert client.get(f"/{mode}/teapot").status_code == 418


def test_sync_handlers_run_in_the_pool(serve) -> None:
    app = routes(App())
    threads: list[int] = []

    @app.exception_handler(Broken)
    def broken(request: Request, exc: Broken):
        threads.append(threading.get_ident())
        return PlainTextResponse("handled")

    @app.exception_handler(418)
    async def teapot(request: Request, exc: HTTPException):
        threads.append(threading.get_ident())
        return PlainTextResponse("handled")

    client = serve(app).client
    client.get("/async/broken")
    client.get("/sync/teapot")
    in_pool, on_loop = threads
    assert in_pool != on_loop


def test_default_answers_without_routes(serve) -> None:
    client = serve(routes(App())).client
    response = client.get("/nowhere")
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
    response = client.delete("/sync/fine")
    assert (response.status_code, response.json()) == (405, {"detail": "Method Not Allowed"})
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("key", [500, Exception])
def test_the_last_resort(serve, mode: str, key: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = routes(App())

    @app.exception_handler(key)
    def last(request: Request, exc: Exception):
        return PlainTextResponse(f"sorry: {type(exc).__name__}", 500)

    client = serve(app).client
    assert client.get(f"/{mode}/broken").text == "sorry: VeryBroken"
    assert "VeryBroken" in caplog.text
    assert client.get(f"/{mode}/http").status_code == 404


def test_validation_errors_have_a_handler_too(serve) -> None:
    app = App()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, exc: RequestValidationError):
        return JSONResponse({"bad": [e["loc"] for e in exc.errors()], "body": exc.body}, 400)

    @app.get("/")
    def handler(n: int):
        return n

    @app.post("/")
    def post(n: dict[str, int]):
        return n

    client = serve(app).client
    response = client.get("/?n=x")
    assert (response.status_code, response.json()) == (400, {"bad": [["query", "n"]], "body": None})
    response = client.post("/", json={"a": "x"})
    assert response.json() == {"bad": [["body", "a"]], "body": {"a": "x"}}


def test_failing_handlers_end_in_500(serve, caplog: pytest.LogCaptureFixture) -> None:
    app = routes(App())

    @app.exception_handler(Broken)
    def broken(request: Request, exc: Broken):
        raise ValueError("again")

    @app.exception_handler(500)
    async def last(request: Request, exc: Exception):
        raise KeyError("and again")

    client = serve(app).client
    response = client.get("/async/broken")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert "again" in caplog.text
    assert client.get("/async/fine").json() == "fine"


def test_keys_of_handlers() -> None:
    with pytest.raises(TypeError, match="status or a class"):
        App().exception_handler("404")(lambda request, exc: None)  # type: ignore[arg-type]


def test_texts() -> None:
    assert str(HTTPException(404, "gone")) == "404: gone"
    assert "404" in repr(HTTPException(404))
    error = RequestValidationError([{"type": "missing", "loc": ("query", "q"), "msg": "needed"}])
    assert str(error) == "1 validation error: query.q: needed"


# ---- Exceptions of exception handlers --------------------------------------------------------


class First(Exception):
    pass


class Second(Exception):
    pass


class Third(HTTPException):
    pass


RAISED: dict[str, Any] = {
    "broken": Broken,
    "first": First,
    "third": lambda: Third(402),
    "teapot": lambda: HTTPException(418),
    "same": lambda: KeyError("same"),
    "answer-header": OSError,
    "answer-status": ArithmeticError,
    "header": lambda: HTTPException(400, headers={"x": "a\r\nset-cookie: b"}),
    "name": lambda: HTTPException(400, headers={"x y": "a"}),
    "latin": lambda: HTTPException(400, headers={"x": "한"}),
    "number": lambda: HTTPException(400, headers={"x": 5}),  # type: ignore[dict-item]
    "status": lambda: HTTPException(999),
    "info": lambda: HTTPException(100),
    "text": lambda: HTTPException("404"),  # type: ignore[arg-type]
    "list": lambda: HTTPException([404]),  # type: ignore[arg-type]
    "detail": lambda: HTTPException(400, object()),
    "dict": LookupError,
}
ANSWERS: dict[str, tuple[int, Any]] = {
    "broken": (409, {"detail": "of Broken"}),
    "third": (402, {"third": 402}),
    "teapot": (409, {"detail": "of Broken"}),
    "first": (500, {"last": "First"}),
    "same": (500, {"last": "KeyError"}),
    **{name: (500, {"last": "TypeError"}) for name in ("number", "list")},
    "detail": (500, {"last": "NoJson"}),
    "dict": (200, {"plain": 1}),
}


def raising_app(*, last: bool = True) -> App:
    app = App()

    @app.exception_handler(Broken)
    async def broken(request: Request, exc: Broken) -> Any:
        raise HTTPException(409, "of Broken", {"x-from": "broken"})

    @app.exception_handler(418)
    def teapot(request: Request, exc: HTTPException) -> Any:
        raise Broken

    @app.exception_handler(First)
    async def first(request: Request, exc: First) -> Any:
        raise Second

    @app.exception_handler(Second)
    def second(request: Request, exc: Second) -> Any:
        raise First

    @app.exception_handler(Third)
    def third(request: Request, exc: Third) -> Any:
        return JSONResponse({"third": exc.status_code}, exc.status_code)

    @app.exception_handler(KeyError)
    def same(request: Request, exc: KeyError) -> Any:
        raise exc

    @app.exception_handler(LookupError)
    def plain(request: Request, exc: LookupError) -> Any:
        return {"plain": 1}

    @app.exception_handler(OSError)
    async def header(request: Request, exc: OSError) -> Any:
        return PlainTextResponse("", headers={"x": "a\n"})

    @app.exception_handler(ArithmeticError)
    def status(request: Request, exc: ArithmeticError) -> Any:
        return PlainTextResponse("", 99)

    if last:

        @app.exception_handler(Exception)
        async def anything(request: Request, exc: Exception) -> Any:
            return JSONResponse({"last": type(exc).__name__}, 500)

    def of_a_dependency(kind: str) -> Any:
        raise RAISED[kind]()

    async def after_a_yield(kind: str) -> Any:
        yield
        raise RAISED[kind]()

    @app.get("/sync/{kind}")
    def sync_handler(kind: str) -> Any:
        raise RAISED[kind]()

    @app.get("/async/{kind}")
    async def async_handler(kind: str) -> Any:
        raise RAISED[kind]()

    app.get("/depends/{kind}", dependencies=[Depends(of_a_dependency)])(lambda: 1)
    app.get("/yield/{kind}", dependencies=[Depends(after_a_yield)])(lambda: 1)
    app.get("/middleware/{kind}")(lambda: 1)
    return app


@pytest.fixture(scope="module", params=["", "middleware", "mounted", "adopted"])
def raising(request: pytest.FixtureRequest):
    from support.serving import serving

    app = raising_app()

    @app.middleware("http")
    async def around(request: Request, call_next: Any) -> Any:
        if request.path.startswith("/middleware/"):
            raise RAISED[request.path.rpartition("/")[2]]()
        return await call_next(request)

    served: Any = raising_app()
    if request.param == "middleware":
        served = app
    elif request.param == "mounted":
        served = App()
        served.mount("/", app)
    elif request.param == "adopted":

        async def served(scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, send)

    with serving(served) as running:
        yield request.param, running.client


@pytest.mark.parametrize("kind", RAISED)
def test_what_a_handler_raises_has_a_handler(raising, kind: str) -> None:
    where, client = raising
    expected = ANSWERS.get(kind, (500, {"last": "ValueError"}))
    for path in ("sync", "async", "depends", "yield", "middleware"):
        if path != "middleware" or where:
            response = client.get(f"/{path}/{kind}")
            assert (response.status_code, response.json()) == expected, path
            assert response.headers.get("x-from") == ("broken" if expected[0] == 409 else None)


@pytest.mark.parametrize("kind", RAISED)
def test_without_a_last_resort(serve, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    client = serve(raising_app(last=False)).client
    status = ANSWERS.get(kind, (500,))[0]
    for path in ("sync", "async"):
        caplog.clear()
        assert client.get(f"/{path}/{kind}").status_code == status
        assert (f"GET /{path}/{kind} failed" in caplog.text) == (status == 500)
    assert ("gave up after" in caplog.text) == (kind == "first")


def test_the_last_resort_may_raise_what_has_a_handler(serve) -> None:
    app = App()

    @app.exception_handler(Exception)
    def anything(request: Request, exc: Exception) -> Any:
        raise HTTPException(503) if request.path == "/" else exc

    app.get("/")(lambda: 1 / 0)
    app.get("/same")(lambda: 1 / 0)
    client = serve(app).client
    assert client.get("/").json() == {"detail": "Service Unavailable"}
    assert client.get("/same").text == "Internal Server Error"


@pytest.mark.parametrize("kind", ["broken", "third", "first"])
def test_what_is_raised_after_the_answer_is_logged(
    serve, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """It can't be answered, so its handlers aren't called."""
    app = raising_app()

    def fail() -> None:
        raise RAISED[kind]()

    async def pieces() -> Any:
        yield b"a"
        fail()

    app.get("/background")(lambda: JSONResponse(1, background=BackgroundTask(fail)))
    app.get("/stream")(lambda: StreamingResponse(pieces()))
    served = serve(app)
    assert served.client.get("/background").json() == 1
    with pytest.raises(httpx.RemoteProtocolError):
        served.client.get("/stream")
    served.finish()
    for path in ("background", "stream"):
        (record,) = [r for r in caplog.records if f"/{path} failed" in r.getMessage()]
        assert record.exc_info is not None
        assert type(record.exc_info[1]).__name__ == kind.title()


@pytest.mark.parametrize(
    ("kind", "code"), [("first", 1011), ("second", 4001), ("same", 1011), ("closing", 1000)]
)
def test_websockets(serve, caplog: pytest.LogCaptureFixture, kind: str, code: int) -> None:
    app = App()

    @app.exception_handler(First)
    async def first(websocket: WebSocket, exc: First) -> None:
        raise Second if websocket.path == "/second" else KeyError

    @app.exception_handler(Second)
    def second(websocket: WebSocket, exc: Second) -> None:
        raise WebSocketException(4001, "second")

    @app.exception_handler(KeyError)
    async def same(websocket: WebSocket, exc: KeyError) -> None:
        if websocket.path != "/closing":
            raise exc
        await websocket.close()

    @app.websocket("/{kind}")
    async def socket(websocket: WebSocket, kind: str) -> None:
        await websocket.accept()
        raise KeyError if kind == "same" else First

    with upgraded(serve(app), f"/{kind}") as client:
        assert client.read().code == code
    assert ("failed" in caplog.text) == (code == 1011)
