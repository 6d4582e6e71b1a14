"""ASGI apps that aren't Fluvial's, in a test client."""

from typing import Any

import pytest
from fluvial import (
    App,
    HTTPException,
    PlainTextResponse,
    Request,
    WebSocket,
    WebSocketDisconnect,
    WebSocketRequestValidationError,
)
from fluvial.formparsers import MultiPartException
from fluvial.testclient import TestClient


async def fail(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        raise HTTPException(418, "short and stout")


def test_an_exception_of_a_bare_app_is_raised() -> None:
    """Also one that an App would answer: nothing handles it here."""
    with pytest.raises(HTTPException) as raised:
        TestClient(fail).get("/")
    assert raised.value.status_code == 418


def test_it_is_a_response_where_the_test_takes_none() -> None:
    response = TestClient(fail, raise_server_exceptions=False).get("/")
    assert (response.status_code, response.json()) == (418, {"detail": "short and stout"})


def test_a_mounted_one_has_the_handlers_of_the_app_around_it() -> None:
    app = App()
    app.mount("", fail)
    assert TestClient(app).get("/").status_code == 418


async def read_form(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        request: Any = Request(scope, receive)  # type: ignore[call-arg]
        await request.form()
        await PlainTextResponse("read")(scope, receive, send)


def test_a_form_that_is_refused_outside_of_an_app() -> None:
    sent: Any = {"content": b"x", "headers": {"content-type": "multipart/form-data"}}
    with pytest.raises(MultiPartException, match="Missing boundary") as raised:
        TestClient(read_form).post("/", **sent)
    assert raised.value.message == "Missing boundary in multipart."
    response = TestClient(read_form, raise_server_exceptions=False).post("/", **sent)
    assert response.status_code == 400


async def tell_scope(scope: Any, receive: Any, send: Any) -> None:
    told = f"{scope['scheme']} {scope['server']} {scope['client']}"
    await PlainTextResponse(told)(scope, receive, send)


def tell_environ(environ: Any, start_response: Any) -> list[bytes]:
    names = ("wsgi.url_scheme", "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(environ[name] for name in names).encode()]


@pytest.mark.parametrize("mounted", [False, True])
def test_they_are_told_of_the_connection_what_the_test_says(mounted: bool) -> None:
    answers = []
    for told in (tell_scope, tell_environ):
        app: Any = told
        if mounted:
            app = App()
            app.mount("/sub", told)
        client = TestClient(app, base_url="https://example.org:123", client=("10.0.0.9", 7))
        answers.append(client.get("/sub/x").text)
    assert answers == [
        "https ('example.org', 123) ('10.0.0.9', 7)",
        "https example.org 123 10.0.0.9",
    ]


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 4001, "reason": "no"})


class Noting:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


async def close_it(websocket: WebSocket, exc: Exception) -> None:
    await websocket.close(4001, "no")


@pytest.mark.parametrize("kind", ["bare", "mounted", "handler", "behind"])
def test_a_websocket_that_they_refuse_has_their_code_and_reason(kind: str) -> None:
    app: Any = refuse
    if kind != "bare":
        app = App()
        app.mount("/sub", refuse)

        @app.websocket("/own/{number}")
        async def own(websocket: WebSocket, number: int) -> None: ...

        app.exception_handler(WebSocketRequestValidationError)(close_it)
        if kind == "behind":
            app.add_middleware(Noting)
    path = "/own/x" if kind in ("handler", "behind") else "/sub/x"
    with pytest.raises(WebSocketDisconnect) as raised:
        TestClient(app).websocket_connect(path).__enter__()
    assert (raised.value.code, raised.value.reason) == (4001, "no")
