"""The test client and ASGI middleware: the scope tells what the test asked for."""

from typing import Any

import pytest
from fluvial import App, Request, WebSocket
from fluvial.middleware.httpsredirect import HTTPSRedirectMiddleware
from fluvial.testclient import TestClient


def make() -> App:
    app = App()

    @app.get("/")
    def tell(request: Request) -> Any:
        return [str(request.url), request.client]

    @app.get("/fails")
    def fails() -> None:
        raise ValueError("broken")

    @app.websocket("/ws")
    async def tell_websocket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_json(str(websocket.url))

    app.add_middleware(HTTPSRedirectMiddleware)
    return app


def test_the_scheme_and_client_are_those_of_the_test() -> None:
    client = TestClient(make(), base_url="https://one.example")
    assert client.get("/").json() == ["https://one.example/", ["testclient", 50000]]
    with client.websocket_connect("/ws") as ws:
        assert ws.receive_json() == "wss://one.example/ws"
    plain = TestClient(make(), follow_redirects=False)
    assert plain.get("/").headers["location"] == "https://testserver/"


def test_what_a_handler_raises_reaches_the_test() -> None:
    with pytest.raises(ValueError, match="broken"):
        TestClient(make(), base_url="https://one.example").get("/fails")
