"""Middleware around requests."""

import contextvars
import threading
from typing import Annotated, Any

import pytest
from fluvial import (
    App,
    BackgroundTasks,
    Depends,
    HTTPException,
    PlainTextResponse,
    Request,
    Response,
    StreamingResponse,
)
from support.serving import serving

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")


def make_app() -> App:
    app = App()

    @app.get("/sync")
    def sync_handler():
        return var.get()

    @app.get("/async")
    async def async_handler():
        return var.get()

    @app.get("/inline", inline=True)
    def inline_handler():
        return var.get()

    @app.get("/fails")
    def fails():
        raise ValueError("broken")

    @app.get("/http")
    async def http():
        raise HTTPException(403)

    @app.get("/number/{n}")
    def number(n: int):
        return n

    @app.get("/stream")
    def stream():
        return StreamingResponse(iter(["a", "b"]))

    @app.post("/body")
    async def body(request: Request):
        return (await request.body()).decode()

    @app.post("/no-body")
    def no_body():
        return "none"

    return app


def test_order_and_headers(serve) -> None:
    app = make_app()

    async def inner(request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        response.headers.append("x-order", "inner")
        return response

    async def outer(request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        response.headers.append("x-order", "outer")
        return response

    app.middleware("http")(inner)
    assert app.middleware("http")(outer) is outer
    client = serve(app).client
    for path in ("/sync", "/async", "/inline", "/stream", "/http", "/nowhere", "/number/x"):
        response = client.get(path)
        assert response.headers.get_list("x-order") == ["inner", "outer"]
    assert client.get("/stream").text == "ab"
    assert client.get("/number/5").json() == 5
    assert client.get("/number/x").status_code == 422
    assert client.get("/http").json() == {"detail": "Forbidden"}
    response = client.get("/nowhere")
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
    response = client.post("/sync")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
    response = client.get("/sync/")
    assert (response.status_code, response.headers["location"][-5:]) == (307, "/sync")


@pytest.mark.parametrize("path", ["/sync", "/async", "/inline"])
def test_context_variables_reach_handlers(serve, path: str) -> None:
    app = make_app()

    @app.middleware()
    async def set_var(request: Request, call_next: Any) -> Response:
        var.set("middleware")
        return await call_next(request)

    client = serve(app).client
    assert client.get(path).json() == "middleware"


def test_what_handlers_set_is_seen_by_middleware(serve) -> None:
    app = App()
    seen: list[str] = []

    @app.get("/sync")
    def sync_handler():
        var.set("sync")

    @app.get("/async")
    async def async_handler():
        var.set("async")

    @app.middleware("http")
    async def look(request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        seen.append(var.get())
        return response

    client = serve(app).client
    client.get("/sync")
    client.get("/async")
    assert seen == ["sync", "async"]


def test_answering_without_the_route(serve) -> None:
    app = make_app()

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        if request.headers.get("authorization") is None:
            return PlainTextResponse("who are you?", 401)
        return await call_next(request)

    client = serve(app).client
    assert client.get("/sync").status_code == 401
    assert client.get("/sync", headers={"Authorization": "me"}).status_code == 200


def test_exceptions_pass_through_middleware(serve, caplog: pytest.LogCaptureFixture) -> None:
    app = make_app()
    seen: list[str] = []

    @app.middleware("http")
    async def watch(request: Request, call_next: Any) -> Response:
        try:
            return await call_next(request)
        except ValueError as exc:
            seen.append(str(exc))
            raise

    client = serve(app).client
    response = client.get("/fails")
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert seen == ["broken"]
    assert "ValueError: broken" in caplog.text


def test_exception_handlers_come_before_middleware(serve) -> None:
    app = make_app()
    app.add_exception_handler(ValueError, lambda request, exc: PlainTextResponse("handled", 400))

    @app.middleware("http")
    async def mark(request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        response.headers["x-status"] = str(response.status_code)
        return response

    response = serve(app).client.get("/fails")
    assert (response.text, response.headers["x-status"]) == ("handled", "400")


def test_middleware_that_fails(serve) -> None:
    app = make_app()

    @app.middleware("http")
    async def broken(request: Request, call_next: Any) -> Response:
        if request.path == "/async":
            raise HTTPException(409)
        raise KeyError("x")

    client = serve(app).client
    assert client.get("/sync").status_code == 500
    assert client.get("/async").status_code == 409


@pytest.mark.parametrize("path", ["/body", "/no-body", "/nowhere"])
def test_middleware_may_read_the_body(serve, path: str) -> None:
    app = make_app()
    seen: list[bytes] = []

    @app.middleware("http")
    async def read(request: Request, call_next: Any) -> Response:
        seen.append(await request.body())
        return await call_next(request)

    response = serve(app).client.post(path, content=b"content")
    assert seen == [b"content"]
    if path == "/body":
        assert response.json() == "content"


async def _shout(pieces: Any) -> Any:
    async for piece in pieces:
        yield piece.upper()


def test_middleware_may_read_and_change_the_answer(serve) -> None:
    app = App()
    app.get("/data")(lambda: "me")
    app.get("/stream")(lambda: StreamingResponse(iter(["m", "e"])))
    app.get("/stream/async")(lambda: StreamingResponse(_shout(_shout_me())))

    @app.middleware("http")
    async def change(request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        if "wrap" in request.query_params:
            response.body_iterator = _shout(response.body_iterator)
            return response
        pieces = [piece async for piece in response.body_iterator]
        text = "".join(piece if isinstance(piece, str) else piece.decode() for piece in pieces)
        return Response(text.upper(), response.status_code, dict(response.headers))

    client = serve(app).client
    for query in ("", "?wrap"):
        assert client.get(f"/data{query}").text == '"ME"'
        assert client.get(f"/data{query}").headers["content-type"] == "application/json"
        assert client.get(f"/stream{query}").text == "ME"
        assert client.get(f"/stream/async{query}").text == "ME"


@pytest.mark.parametrize("path", ["/stream", "/background"])
@pytest.mark.parametrize("end", ["replace", "twice", "raise"])
def test_what_an_answer_leaves_to_do_is_done_though_it_is_replaced(path: str, end: str) -> None:
    app = App()
    events: list[str] = []

    async def resource() -> Any:
        events.append("open")
        yield
        events.append("close")

    @app.get("/stream")
    async def stream(r: Annotated[None, Depends(resource)]):
        return StreamingResponse(_shout_me())

    @app.get("/background")
    async def background(r: Annotated[None, Depends(resource)], tasks: BackgroundTasks):
        tasks.add_task(events.append, "background")
        return "me"

    @app.middleware("http")
    async def replace(request: Request, call_next: Any) -> Response:
        await call_next(request)
        if end == "replace":
            return PlainTextResponse("other")
        if end == "twice":
            return await call_next(request)
        raise HTTPException(400)

    with serving(app) as served:  # its end waits for what follows answers
        response = served.client.get(path)
    expected = ["open", "close"]
    if path == "/background" and end != "raise":
        expected.insert(1, "background")
    if end == "twice":
        assert sorted(events) == sorted(expected * 2)
    else:
        assert events == expected
        assert response.text == ("other" if end == "replace" else '{"detail":"Bad Request"}')


@pytest.mark.parametrize("around", [False, True])
def test_def_that_gives_a_coroutine(serve, around) -> None:
    app = App()

    async def answer() -> str:
        return "awaited"

    @app.get("/")
    def handler():
        return answer()

    async def pass_on(request: Request, call_next: Any) -> Response:
        return await call_next(request)

    if around:
        app.middleware("http")(pass_on)
    assert serve(app).client.get("/").json() == "awaited"


async def _shout_me() -> Any:
    yield "m"
    yield "e"


def test_request_state_and_one_request_object(serve) -> None:
    app = App()

    @app.get("/sync")
    def sync_handler(request: Request):
        return [request.state.user, threading.current_thread() is threading.main_thread()]

    @app.get("/async")
    async def async_handler(request: Request):
        return [request.state.user, hasattr(request.state, "other")]

    @app.middleware("http")
    async def set_user(request: Request, call_next: Any) -> Response:
        request.state.user = "me"
        return await call_next(request)

    client = serve(app).client
    assert client.get("/sync").json() == ["me", False]
    assert client.get("/async").json() == ["me", False]


def test_what_cannot_be_middleware() -> None:
    app = App()
    with pytest.raises(ValueError, match="websocket"):
        app.middleware("websocket")
    with pytest.raises(TypeError, match="async def"):
        app.middleware("http")(lambda request, call_next: call_next(request))  # type: ignore[arg-type]
