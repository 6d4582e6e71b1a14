"""Responses with a Content-Length of their own, which isn't that of their body."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, HTTPException, JSONResponse, Request, Response, WebSocket
from support.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

FIELDS = {"short": "5", "long": "500"}


def made() -> App:
    app = App()

    @app.get("/raised/{kind}")
    async def raised(kind: str) -> None:
        raise HTTPException(418, "teapot", headers={"Content-Length": FIELDS[kind]})

    @app.get("/returned/{kind}")
    def returned(kind: str) -> Response:
        return JSONResponse({"detail": "teapot"}, 418, {"content-length": FIELDS[kind]})

    @app.get("/changed/{kind}", status_code=418)
    async def changed(kind: str, response: Response) -> Any:
        response.headers["content-length"] = FIELDS[kind]
        response.headers["transfer-encoding"] = "chunked"
        return {"detail": "teapot"}

    @app.head("/head")
    async def head() -> Response:
        return Response(headers={"content-length": "500"})

    @app.websocket("/raised/{kind}")
    async def refused(websocket: WebSocket, kind: str) -> None:
        raise HTTPException(418, "teapot", headers={"Content-Length": FIELDS[kind]})

    return app


def behind_middleware() -> App:
    app = made()

    @app.middleware("http")
    async def pass_on(request: Request, call_next: Any) -> Response:
        return await call_next(request)

    return app


def mounted(inner: App) -> App:
    app = App()
    app.mount("/", inner)
    return app


WAYS = {
    "native": made,
    "behind middleware": behind_middleware,
    "mounted": lambda: mounted(made()),
    "mounted, behind middleware": lambda: mounted(behind_middleware()),
}


@pytest.fixture(scope="module", params=WAYS)
def client(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with serving(WAYS[request.param]()) as served:
        yield served.client


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("path", ["raised", "returned", "changed"])
def test_the_body_decides(client: httpx.Client, path: str, kind: str) -> None:
    for _ in range(2):  # the connection is in order afterwards
        response = client.get(f"/{path}/{kind}")
        assert (response.status_code, response.text) == (418, '{"detail":"teapot"}')
        assert response.headers.get_list("content-length") == ["19"]
        assert "transfer-encoding" not in response.headers


def test_head_says_how_long_it_would_be(client: httpx.Client) -> None:
    assert client.head("/head").headers.get_list("content-length") == ["500"]


@pytest.mark.parametrize("kind", FIELDS)
def test_a_refused_websocket(client: httpx.Client, kind: str) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    response = client.get(f"/raised/{kind}", headers=upgrade)
    assert (response.status_code, response.text) == (418, '{"detail":"teapot"}')
    assert response.headers.get_list("content-length") == ["19"]
