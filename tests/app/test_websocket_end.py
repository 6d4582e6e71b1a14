"""How `@app.websocket` handlers end, on our own server, under another, and inside other apps."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import (
    App,
    HTTPConnection,
    HTTPException,
    JSONResponse,
    Request,
    Response,
    WebSocket,
    WebSocketException,
    WebSocketState,
)
from support.gateways import HOSTS, app_with, declined, hosting, text_of
from support.ws_client import CLOSE, TEXT, Frame, upgraded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Serve
    from support.gateways import Host


@pytest.fixture(params=HOSTS)
def serve(request: pytest.FixtureRequest, serve: Serve) -> Iterator[Host]:
    """Serves a Fluvial app, whose WebSockets are to be the same everywhere."""
    with hosting(request.param, serve) as host:
        yield host


def test_a_handler_that_does_not_accept(serve: Host) -> None:
    app = App()

    @app.websocket("/nothing")
    async def nothing(websocket: WebSocket) -> None:
        pass

    @app.websocket("/closes")
    async def closes(websocket: WebSocket) -> None:
        await websocket.close(1008, "no")
        assert websocket.client_state is WebSocketState.DISCONNECTED
        with pytest.raises(RuntimeError, match="accepted or closed"):
            await websocket.accept()

    @app.websocket("/denies")
    async def denies(websocket: WebSocket) -> None:
        await websocket.send_denial_response(JSONResponse({"why": "full"}, 503))
        assert websocket.application_state is WebSocketState.RESPONSE

    @app.websocket("/fails")
    async def fails(websocket: WebSocket) -> None:
        raise HTTPException(418)

    @app.websocket("/breaks")
    async def breaks(websocket: WebSocket) -> None:
        raise ZeroDivisionError

    served = serve(app)
    assert declined(served, "/nothing").status == 403
    assert declined(served, "/closes").status == 403
    assert declined(served, "/denies").status == 503
    assert declined(served, "/denies").body == b'{"why":"full"}'
    assert declined(served, "/fails").status == 418
    assert declined(served, "/breaks").status == 500


def test_a_handler_that_fails(serve: Host, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("then")
        raise ZeroDivisionError("oh")

    with caplog.at_level(logging.ERROR), upgraded(serve(app_with(handler))) as client:
        assert client.read() == Frame(TEXT, b"then")
        assert client.read() == Frame(CLOSE, (1011).to_bytes(2, "big"))
    assert "WebSocket / failed" in caplog.text
    assert "ZeroDivisionError: oh" in caplog.text


def test_a_handler_that_says_how_to_close(serve: Host, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        raise WebSocketException(1008, "rules")

    with upgraded(serve(app_with(handler))) as client:
        assert ((last := client.read()).code, last.reason) == (1008, "rules")
    assert caplog.text == ""


class Custom(Exception):
    pass


@pytest.mark.parametrize("accept", [True, False])
def test_exception_handlers(serve: Host, accept: bool) -> None:
    app = App()
    seen: list[Any] = []

    @app.exception_handler(Custom)
    async def handle(connection: HTTPConnection, exc: Custom) -> Response | None:
        seen.append(connection)
        if not accept:
            return Response(status_code=409)
        assert isinstance(connection, WebSocket)
        await connection.close(4009)
        return None

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        if accept:
            await websocket.accept()
        raise Custom

    served = serve(app)
    if accept:
        with upgraded(served) as client:
            assert client.read().code == 4009
    else:
        assert declined(served).status == 409
    assert isinstance(seen[0], WebSocket)


def test_middleware_is_for_requests_only(serve: Host) -> None:
    app = App()

    @app.middleware("http")
    async def never(request: Request, call_next: Any) -> Any:
        raise AssertionError

    @app.websocket("/")
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("fine")

    assert text_of(serve(app)) == "fine"
