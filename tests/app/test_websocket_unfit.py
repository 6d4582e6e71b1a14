"""A WebSocket whose opening handshake doesn't fit its handler's parameters, natively and as in
FastAPI, wherever the app runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fluvial import (
    App,
    Depends,
    JSONResponse,
    Query,
    Request,
    RequestValidationError,
    WebSocket,
    WebSocketDisconnect,
    WebSocketRequestValidationError,
)
from fluvial._compat.fastapi import FastAPI
from fluvial.exceptions import ValidationException
from fluvial.testclient import TestClient
from support.gateways import HOSTS, app_with, declined, hosting
from support.ws_client import CLOSE, upgraded

if TYPE_CHECKING:
    from conftest import Serve
    from support.gateways import Host


@pytest.fixture(params=HOSTS)
def serve(request: pytest.FixtureRequest, serve: Serve) -> Iterator[Host]:
    with hosting(request.param, serve) as host:
        yield host


NAME = "number" * 30  # the reason of a close frame has room for a part of it


async def wants(websocket: WebSocket, number: int) -> None:
    raise AssertionError


async def accepting(websocket: WebSocket) -> None:
    await websocket.accept()


async def wants_later(
    websocket: WebSocket, accepted: Annotated[None, Depends(accepting)], number: int
) -> None:
    raise AssertionError


def test_the_handshake_is_refused(serve: Host) -> None:
    answer = declined(serve(app_with(wants)))
    assert answer.status == 422
    assert b'"loc":["query","number"]' in answer.body


def test_as_in_fastapi_it_is_closed_with_1008(serve: Host) -> None:
    """Which is a 403 on the way, since there is no close frame before the acceptance."""
    app = FastAPI()
    app.websocket("/")(wants)
    assert declined(serve(app)).status == 403


@pytest.mark.parametrize("kind", [App, FastAPI])
def test_of_an_accepted_one(serve: Host, kind: type[App]) -> None:
    app = kind()

    async def wants_named(
        websocket: WebSocket,
        accepted: Annotated[None, Depends(accepting)],
        number: Annotated[int, Query(alias=NAME)],
    ) -> None:
        raise AssertionError

    app.websocket("/")(wants_named)
    with upgraded(serve(app)) as client:
        frame = client.read()
    assert (frame.opcode, frame.code) == (CLOSE, 1008)
    assert frame.reason == f"query.{NAME}"[:123]


def test_handlers_of_its_own_class(serve: Host) -> None:
    app, seen = App(), []

    @app.exception_handler(RequestValidationError)
    async def of_requests(request: Request, exc: RequestValidationError) -> Any:
        return JSONResponse("a request", 400)

    @app.exception_handler(WebSocketRequestValidationError)
    async def of_websockets(websocket: WebSocket, exc: WebSocketRequestValidationError) -> None:
        assert isinstance(exc, ValidationException)
        seen.append((exc.errors()[0]["loc"], exc.endpoint_path))
        await websocket.close(4000, "unfit")

    @app.get("/get")
    async def get(number: int) -> None: ...

    app.websocket("/")(wants)
    app.websocket("/later")(wants_later)
    served = serve(app)
    assert declined(served).status == 403
    with upgraded(served, "/later") as client:
        assert client.read().code == 4000
    assert seen == [(("query", "number"), "WS /"), (("query", "number"), "WS /later")]


def test_a_handler_that_does_nothing(serve: Host) -> None:
    app = App()

    @app.exception_handler(WebSocketRequestValidationError)
    async def nothing(websocket: WebSocket, exc: WebSocketRequestValidationError) -> None: ...

    app.websocket("/")(wants)
    assert declined(serve(app)).status == 403


@pytest.mark.parametrize("kind", [App, FastAPI])
def test_tests_see_1008(kind: type[App]) -> None:
    app = kind()
    app.websocket("/")(wants)
    with (
        pytest.raises(WebSocketDisconnect) as caught,
        TestClient(app).websocket_connect("/"),
    ):
        raise AssertionError
    assert caught.value.code == 1008
