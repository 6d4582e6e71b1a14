"""Bodies that nobody wants: every client gets the response, although it sends all of them first."""

from __future__ import annotations

import asyncio
import io
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
from fluvial import App, HTTPException, Request
from support.asgi import body, http_only, start

if TYPE_CHECKING:
    from conftest import Serve
    from support.certificate import Certificate

BODY = bytes(20 << 20)


def by_httpx(url: str, context: Any) -> int:
    """As multipart, which is what browsers' forms send."""
    with httpx.Client(verify=context or False, trust_env=False, timeout=60) as client:
        return client.post(url, files={"file": BODY}).status_code


def by_httpx_in_chunks(url: str, context: Any) -> int:
    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield BODY[: 1 << 20]

    with httpx.Client(verify=context or False, trust_env=False, timeout=60) as client:
        return client.post(url, content=pieces()).status_code


def by_urllib(url: str, context: Any) -> int:
    try:
        with urllib.request.urlopen(url, BODY, context=context) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def by_aiohttp(url: str, context: Any) -> int:
    async def post() -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=io.BytesIO(BODY), ssl=context or True) as response,
        ):
            status = response.status
        await nothing_is_open()
        return status

    return asyncio.run(post())


async def nothing_is_open() -> None:
    """aiohttp lets go of connections that still send, and nothing says when they close."""
    loop: Any = asyncio.get_running_loop()
    while any(transport._sock is not None for transport in list(loop._transports.values())):  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.01)


CLIENTS: list[Callable[[str, Any], int]] = [by_httpx, by_httpx_in_chunks, by_urllib, by_aiohttp]


def build() -> App:
    app = App()

    @app.post("/wanted")
    async def wanted(request: Request) -> int:
        return len(await request.body())

    @app.post("/denied")
    async def denied(request: Request) -> None:
        raise HTTPException(401)

    @app.get("/get")
    async def get() -> None:
        return None

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("403 Forbidden", [("content-length", "0")])
        return []

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await send(start(status=403))
        await send(body())

    app.mount("/asgi", http_only(asgi))
    app.mount("/wsgi", wsgi)
    return app


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("client", CLIENTS)
def test_over_the_limit(
    serve: Serve, certificate: Certificate, client: Callable[[str, Any], int], secure: bool
) -> None:
    tls = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    served = serve(build(), **(tls if secure else {}))
    url = served.url.replace("127.0.0.1", "localhost" if secure else "127.0.0.1")
    chunked = client is by_httpx_in_chunks
    answers = {path: client(url + path, served.context) for path in ("/wanted", "/asgi", "/wsgi")}
    early = 403 if chunked else 413  # who answers at once doesn't wait for the excess to show
    assert answers == {"/wanted": 413, "/asgi": early, "/wsgi": early}


@pytest.mark.parametrize("client", CLIENTS)
def test_within_the_limit_and_not_read(serve: Serve, client: Callable[[str, Any], int]) -> None:
    served = serve(build(), limits={"body": 0})
    paths = {"/denied": 401, "/get": 405, "/none": 404, "/asgi": 403, "/wsgi": 403}
    assert {path: client(served.url + path, None) for path in paths} == paths
