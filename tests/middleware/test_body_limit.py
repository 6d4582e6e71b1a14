"""RequestBodyLimitMiddleware, and the limits of Starlette's apps, routers, mounts and routes."""

import asyncio
from typing import Any

import httpx
import pytest
from fluvial import App, HTTPException, Request, Response
from fluvial._starlette import Router, Starlette
from fluvial.middleware import Middleware
from fluvial.middleware.body_limit import RequestBodyLimitMiddleware
from fluvial.routing import Mount, Route
from support.serving import serving


async def echo(request: Request) -> Response:
    return Response(await request.body())


async def ignore(request: Request) -> Response:
    return Response(b"ignored")


class Reads:
    """Middleware that reads some of the body first."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        held = [await receive()] if scope["type"] == "http" else []

        async def again() -> Any:
            return held.pop() if held else await receive()

        await self.app(scope, again, send)


def native() -> Any:
    app = App()
    app.add_route("/", echo, methods=["POST"])
    app.add_route("/ignored", ignore, methods=["POST"])
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=5)
    return app


def bare() -> Any:
    return RequestBodyLimitMiddleware(starlette(None), 5)


def starlette(size: int | None = 5) -> Any:
    routes = [
        Route("/", echo, methods=["POST"]),
        Route("/ignored", ignore, methods=["POST"]),
        Route("/more", echo, methods=["POST"], max_body_size=8),
        Route("/less", echo, methods=["POST"], max_body_size=2),
        Mount("/mount", routes=[Route("/", echo, methods=["POST"])], max_body_size=8),
        Mount("/router", Router([Route("/", echo, methods=["POST"])], max_body_size=2)),
    ]
    return Starlette(routes=routes, max_body_size=size)


def post(client: httpx.Client, path: str, body: bytes, *, chunked: bool) -> httpx.Response:
    return client.post(path, content=iter([body[:3], body[3:]]) if chunked else body)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("make", [native, bare, starlette])
def test_a_larger_body_is_refused(make: Any, chunked: bool) -> None:
    with serving(make()) as served:
        response = post(served.client, "/", b"12345", chunked=chunked)
        assert (response.status_code, response.content) == (200, b"12345")
        response = post(served.client, "/", b"123456", chunked=chunked)
        assert response.status_code == 413
        assert "Content Too Large" in response.text


@pytest.mark.parametrize("make", [native, bare, starlette])
def test_what_content_length_says_counts_also_if_nobody_reads(make: Any) -> None:
    with serving(make()) as served:
        assert served.client.post("/ignored", content=b"12345").text == "ignored"
        assert served.client.post("/ignored", content=b"123456").status_code == 413


@pytest.mark.parametrize("chunked", [False, True])
def test_the_innermost_limit_counts(chunked: bool) -> None:
    with serving(starlette()) as served:
        for path, limit in (("/more", 8), ("/less", 2), ("/mount/", 8), ("/router/", 2)):
            fits = post(served.client, path, b"x" * limit, chunked=chunked)
            assert (fits.status_code, fits.content) == (200, b"x" * limit), path
            assert post(served.client, path, b"x" * (limit + 1), chunked=chunked).status_code == 413


def test_what_middleware_has_read_counts() -> None:
    app = starlette()
    app.user_middleware.append(Middleware(Reads))
    with serving(app) as served:
        assert post(served.client, "/less", b"123", chunked=True).status_code == 413


def test_a_response_that_has_started_is_broken_off() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["more_body"]:
            pass

    events = [
        {"type": "http.request", "body": b"1234", "more_body": True},
        {"type": "http.request", "body": b"56", "more_body": False},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return events.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    with pytest.raises(HTTPException) as raised:
        asyncio.run(RequestBodyLimitMiddleware(app, 5)(scope, receive, send))
    assert raised.value.status_code == 413
    assert [message["type"] for message in sent] == ["http.response.start"]
    assert "fluvial.limited_body" not in scope
