"""ASGI and WSGI apps by HTTP/2."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fluvial import App, Request
from fluvial.responses import PlainTextResponse
from fluvial.staticfiles import StaticFiles
from support import needs
from support.h2_client import CANCEL, DATA, END_STREAM, Answer, H2Client, frame
from support.serving import serving

pytestmark = needs.HTTP2
LARGE = bytes(range(256)) * 4096  # 1 MiB


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    assert scope["http_version"] == "2"
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    extensions = scope["extensions"]
    if scope["path"] == "/hint":
        link = b"</style.css>; rel=preload"
        await send({"type": "http.response.early_hint", "links": [link]})
    trailers = scope["path"] == "/trailers"
    assert not trailers or "http.response.trailers" in extensions
    headers = [(b"X-Method", scope["method"].encode()), (b"x-length", b"%d" % len(body))]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    await send(start | ({"trailers": True} if trailers else {}))
    for at in range(0, len(body), 50_000):
        piece = body[at : at + 50_000]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"end"})
    if trailers:
        await send({"type": "http.response.trailers", "headers": [(b"X-Sum", b"1")]})


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    assert environ["SERVER_PROTOCOL"] == "HTTP/2.0"
    body = environ["wsgi.input"].read()
    start_response("200 Fine", [("X-Host", environ["HTTP_HOST"]), ("X-Length", str(len(body)))])
    yield from (body[at : at + 50_000] for at in range(0, len(body), 50_000))
    yield b"end"


def mounted(kind: str) -> Any:
    """The app alone, or mounted in one of ours."""
    inner = asgi if kind.startswith("asgi") else wsgi
    if not kind.endswith("mounted"):
        return inner
    app = App()
    app.mount("/in", inner)
    return app


@pytest.mark.parametrize("kind", ["asgi", "asgi mounted", "wsgi", "wsgi mounted"])
def test_requests_and_responses(kind: str) -> None:
    prefix = "/in" if kind.endswith("mounted") else ""
    with serving(mounted(kind), http="auto") as served, H2Client.to(served) as client:
        client.settled()
        empty = client.get(f"{prefix}/path")
        assert (empty.body, empty.head["x-length"]) == (b"end", "0")
        stream = client.request(f"{prefix}/path", "POST", end=False)
        client.upload(stream, LARGE)
        answer = client.answer(stream)
        assert answer.head["x-length"] == str(len(LARGE))
        assert answer.body == LARGE + b"end"
        head = client.answer(client.request(f"{prefix}/path", "HEAD"))
        assert (head.status, head.body) == (200, b"")


def test_other_mounts(tmp_path: Path) -> None:
    """Files, which C serves, another app of ours, and one below that, at prefixes."""
    (tmp_path / "small.txt").write_text("small")
    (tmp_path / "large.bin").write_bytes(LARGE)
    app, inner, innermost = App(), App(), App()

    @innermost.get("/it/{name}")
    async def it(name: str, request: Request) -> list[str]:
        return [name, request.scope["root_path"], request.scope["http_version"]]

    inner.mount("/most", innermost)
    app.mount("/inner", inner)
    app.mount("/static", StaticFiles(directory=tmp_path))
    with serving(app, http="auto") as served, H2Client.to(served) as client:
        assert client.get("/inner/most/it/x").body == b'["x","/inner/most","2"]'
        assert client.get("/inner/none").status == 404
        small = client.get("/static/small.txt")
        assert (small.status, small.body, small.head["content-length"]) == (200, b"small", "5")
        assert client.get("/static/large.bin").body == LARGE
        part = client.get("/static/large.bin", ("range", "bytes=256-259"))
        assert (part.status, part.body) == (206, b"\0\1\2\3")
        same = client.get("/static/small.txt", ("if-none-match", small.head["etag"]))
        assert (same.status, same.body) == (304, b"")
        head = client.answer(client.request("/static/large.bin", "HEAD"))
        assert (head.body, head.head["content-length"]) == (b"", str(len(LARGE)))
        for path in ("/static/none", "/static/../it", "/static/%2e%2e/it"):
            assert client.get(path).status == 404


def test_trailers() -> None:
    with serving(asgi, http="auto", asgi_extensions=True) as served, H2Client.to(served) as client:
        answer = client.get("/trailers", ("te", "trailers"))
        assert answer.body == b"end"
        assert answer.heads[-1] == {"x-sum": "1"}


def test_early_hints() -> None:
    with serving(asgi, http="auto", asgi_extensions=True) as served, H2Client.to(served) as client:
        answer = client.get("/hint")
        assert answer.heads[0] == {":status": "103", "link": "</style.css>; rel=preload"}
        assert (answer.status, answer.body) == (200, b"end")


@pytest.mark.parametrize("leaves", ["resets", "closes"])
def test_a_client_that_leaves(leaves: str) -> None:
    """receive() tells of it; other requests of the connection go on."""
    waiting, gone = threading.Event(), threading.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            assert (await receive())["type"] == "http.request"
            waiting.set()
            assert (await receive())["type"] == "http.disconnect"
            gone.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"there"})

    with serving(app, http="auto") as served, H2Client.to(served) as client:
        stream = client.request("/wait")
        assert waiting.wait(30)
        if leaves == "resets":
            client.reset(stream, CANCEL)
            assert client.get("/").body == b"there"
        else:
            client.sock.close()
        assert gone.wait(30)


def test_an_app_that_reads_slowly_holds_up_its_client() -> None:
    """No more than the window waits in the server (--h2-window)."""
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        length = 0
        if scope["path"] == "/read":
            await go_on.wait()
            while True:
                message = await receive()
                length += len(message["body"])
                if not message["more_body"]:
                    break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % length})

    limits = {"h2_window": 65536}
    with serving(app, http="auto", limits=limits) as served, H2Client.to(served) as client:
        client.settled()
        stream = client.request("/read", "POST", end=False)
        sent = 0
        while client.windows.get(stream, client.initial) > 0 and sent < 20 * 65536:
            client.send(frame(DATA, 0, stream, b"x" * 8192))
            client._widen(stream, -8192)
            sent += 8192
            client.settled()  # what the server grants, it has granted
        assert sent <= 4 * 65536
        assert client.get("/").body == b"0"
        assert served.loop is not None
        served.loop.call_soon_threadsafe(go_on.set)
        client.send(frame(DATA, END_STREAM, stream, b""))
        assert client.answer(stream).body == b"%d" % sent


@pytest.mark.parametrize("leaves", ["stream", "connection"])
def test_a_client_that_gives_up_what_a_thread_compresses(leaves: str) -> None:
    """Nobody else's response suffers."""
    body = b"".join(b"%x," % (n * n) for n in range(100_000))
    app = App()

    @app.get("/")
    async def large() -> PlainTextResponse:
        return PlainTextResponse(body)

    with serving(app, http="auto", compress=("gzip",)) as served:
        for _ in range(5):
            with H2Client.to(served) as client:
                streams = [client.request("/", "GET", ("accept-encoding", "gzip")) for _ in "abc"]
                while not client.answers.get(streams[0]):
                    assert client.read() is not None
                if leaves == "stream":
                    client.reset(streams[1])
                    found = client.answer(streams[2])
                    assert found.head["content-encoding"] == "gzip"
                    assert gzip.decompress(found.body) == body
        assert served.client.get("/").content == body


def test_an_app_that_fails_in_the_middle() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/fail":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"some", "more_body": True})
            raise RuntimeError("in the middle")
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    with serving(app, http="auto") as served, H2Client.to(served) as client:
        answer: Answer = client.get("/fail")
        assert answer.reset is not None
        assert client.get("/").status == 204
