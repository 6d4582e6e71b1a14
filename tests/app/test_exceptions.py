"""Exceptions in handlers, and the user's handlers for them."""

import asyncio
import logging
import threading
import traceback
from typing import Any

import pytest
from fluvial import (
    App,
    HTTPException,
    JSONResponse,
    PlainTextResponse,
    Request,
    RequestValidationError,
)


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
    assert response.headers["allow"] == "GET"
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
    assert response.headers["allow"] == "GET"


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
    assert str(error) == "query.q: needed"
