"""Errors of parameters and of results say of which route they are."""

from typing import Any

import pytest
from fluvial import App, RequestValidationError, Response, WebSocket
from fluvial.exceptions import ResponseValidationError, WebSocketRequestValidationError
from fluvial.testclient import TestClient, WebSocketDenialResponse
from pydantic import BaseModel
from support.middleware import Passing, pass_on


class Item(BaseModel):
    id: int


def make(told: list[BaseException]) -> App:
    app, sub = App(), App()
    for each in (app, sub):

        @each.get("/users/{user_id}")
        def get_user(user_id: int) -> int:
            return user_id

        @each.get("/items")
        async def get_item() -> Item:
            return {"name": "x"}  # type: ignore[return-value]

        @each.post("/read")
        async def read(item: Item) -> None: ...

        @each.websocket("/ws/{number}")
        async def socket(websocket: WebSocket, number: int) -> None: ...

        @each.exception_handler(RequestValidationError)
        @each.exception_handler(ResponseValidationError)
        @each.exception_handler(WebSocketRequestValidationError)
        async def note(request: Any, exc: Exception) -> Response:
            told.append(exc)
            return Response(status_code=400)

    app.mount("/sub", sub)
    return app


JSON = {"content-type": "application/json"}
ASKED = [
    ("GET", "/users/x", {}, "GET {}/users/{{user_id}}", "get_user"),
    ("GET", "/items", {}, "GET {}/items", "get_item"),
    ("POST", "/read", {"json": {}}, "POST {}/read", "read"),
    (
        "POST",
        "/read",
        {"content": "{", "headers": JSON},
        "POST {}/read",
        "read",
    ),
]


@pytest.mark.parametrize("prefix", ["", "/sub"])
@pytest.mark.parametrize("way", ["plain", "function", "asgi"])
def test_errors_name_the_route_and_the_function(way: str, prefix: str) -> None:
    told: list[BaseException] = []
    app = make(told)
    if way == "function":
        app.middleware("http")(pass_on)
    elif way == "asgi":
        app.add_middleware(Passing)
    with TestClient(app) as client:
        for method, path, options, place, name in ASKED:
            assert client.request(method, prefix + path, **options).status_code == 400
            text = str(told.pop())
            assert f"Endpoint: {place.format(prefix)}\n" in text
            assert f'File "{__file__}", line ' in text
            assert text.endswith(f"in {name}") or text.endswith(f".{name}")


def test_those_of_a_websocket_do_too() -> None:
    told: list[BaseException] = []
    client = TestClient(make(told))
    with pytest.raises(WebSocketDenialResponse), client.websocket_connect("/ws/x"):
        pass
    assert "Endpoint: WS /ws/{number}\n" in str(told.pop())


def test_an_error_that_programs_make() -> None:
    errors = [{"type": "missing", "loc": ("body", "name"), "msg": "Field required"}]
    assert str(RequestValidationError(errors)) == "1 validation error: body.name: Field required"
    exc = RequestValidationError(errors * 2, endpoint_ctx={"path": "GET /a", "function": "f"})
    assert str(exc).startswith("2 validation errors: ")
    assert str(exc).endswith("\n  Endpoint: GET /a\n  in f")
