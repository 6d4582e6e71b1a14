"""GZipMiddleware does what Starlette's does, and doesn't compress for clients that refuse it."""

import gzip
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fluvial import App
from fluvial.middleware.gzip import GZipMiddleware
from fluvial.staticfiles import StaticFiles
from support.both import serve_both, tell

TEXT = "text " * 400
FRAMING = ("content-length", "transfer-encoding")


class Outer:
    """Middleware that is ASGI only, so that the one around it is too."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def make(names: SimpleNamespace, path: Any, inner: type | None) -> Any:
    app = names.App()

    @app.get("/large")
    def large():
        return {"text": TEXT}

    @app.get("/small")
    def small():
        return {"text": "small"}

    @app.get("/empty")
    def empty():
        return names.Response(status_code=204)

    @app.get("/vary")
    async def vary():
        return names.PlainTextResponse(TEXT, headers={"Vary": "Accept"})

    @app.get("/encoded")
    def encoded():
        return names.Response(b"x" * 2000, headers={"content-encoding": "br"})

    @app.get("/image")
    def image():
        return names.Response(b"x" * 2000, media_type="image/png")

    @app.get("/events")
    def events():
        pieces = (f"data: {n}\n\n" for n in range(300))
        return names.StreamingResponse(pieces, media_type="text/event-stream")

    @app.get("/stream")
    async def stream():
        async def pieces():
            for _ in range(400):
                yield b"text "

        return names.StreamingResponse(pieces(), media_type="text/plain")

    @app.get("/file")
    def file():
        return names.FileResponse(path)

    if inner is not None:
        app.add_middleware(inner)
    app.add_middleware(names.GZipMiddleware, minimum_size=500)
    return app


@pytest.mark.parametrize("inner", [None, Outer], ids=["functions", "asgi"])
@pytest.mark.parametrize("accept", ["gzip", "identity", "br, gzip;q=0.5"])
def test_the_answers_are_those_of_starlette(serve, tmp_path, accept, inner) -> None:
    path = tmp_path / "file.txt"
    path.write_text(TEXT)
    ours, theirs = serve_both(serve, lambda names: make(names, path, inner))
    places = ["large", "small", "empty", "vary", "encoded", "image", "events", "stream", "file"]
    for place in places:
        if (place, accept) == ("encoded", "gzip"):
            continue  # br is decoded by no client here
        headers = {"accept-encoding": accept}
        if place == "encoded":
            with ours.stream("GET", "/encoded", headers=headers) as one:
                assert b"".join(one.iter_raw()) == b"x" * 2000
            continue
        answers = [
            tell(each.get(f"/{place}", headers=headers), *FRAMING) for each in (ours, theirs)
        ]
        assert answers[0] == answers[1], place
    head = {"accept-encoding": accept, "range": "bytes=0-999"}
    answers = [tell(each.get("/file", headers=head), *FRAMING, "vary") for each in (ours, theirs)]
    assert answers[0] == answers[1]
    assert answers[0][0] == 206
    assert ours.get("/file", headers=head).headers["vary"] == "Accept-Encoding"  # as the 200


@pytest.mark.parametrize("inner", [None, Outer], ids=["functions", "asgi"])
def test_what_is_compressed_is_shorter(serve, tmp_path, inner) -> None:
    import fluvial

    path = tmp_path / "file.txt"
    path.write_text(TEXT)
    client = serve(
        make(SimpleNamespace(**vars(fluvial), GZipMiddleware=GZipMiddleware), path, inner)
    ).client
    for place in ("large", "stream", "file"):
        with client.stream("GET", f"/{place}", headers={"accept-encoding": "gzip"}) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert len(raw) < len(TEXT) / (2 if place == "stream" else 10) or place == "stream"
        assert TEXT.strip() in gzip.decompress(raw).decode()


@pytest.mark.parametrize("value", ["gzip;q=0", "gzip; q=0.0", "identity, gzip;q=0.000"])
def test_a_client_may_refuse_it(serve, value) -> None:
    app = App()
    app.add_middleware(GZipMiddleware, minimum_size=1)
    app.get("/")(lambda: TEXT)
    answer = serve(app).client.get("/", headers={"accept-encoding": value})
    assert "content-encoding" not in answer.headers
    assert answer.json() == TEXT


def test_pieces_arrive_as_they_are_sent(serve) -> None:
    """A client can decompress each piece before the next one is made."""
    import asyncio
    import zlib

    from fluvial import StreamingResponse

    app = App()
    app.add_middleware(GZipMiddleware)
    more = asyncio.Event()

    @app.get("/")
    async def stream():
        async def pieces():
            yield b"first"
            await more.wait()
            yield b"second"

        return StreamingResponse(pieces(), media_type="text/plain")

    @app.post("/more")
    async def go_on():
        more.set()

    served = serve(app)
    reader = zlib.decompressobj(31)
    with served.client.stream("GET", "/", headers={"accept-encoding": "gzip"}) as answer:
        raw = answer.iter_raw()
        found = b""
        while found != b"first":
            found += reader.decompress(next(raw))
        assert served.new_client().post("/more").status_code == 200
        assert found + b"".join(map(reader.decompress, raw)) == b"firstsecond"


def test_a_large_body_is_compressed_in_a_thread(serve) -> None:
    app = App()
    app.add_middleware(GZipMiddleware, thread_minimum_size=1000)
    app.get("/")(lambda: TEXT)
    answer = serve(app).client.get("/", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json() == TEXT


@pytest.mark.parametrize("inner", [None, Outer])
@pytest.mark.parametrize("size", [5, 5000])
def test_head_says_what_get_does(serve: Any, tmp_path: Path, inner: Any, size: int) -> None:
    (tmp_path / "file.txt").write_text("x" * size)
    app = App()
    if inner is not None:
        app.add_middleware(inner)
    app.add_middleware(GZipMiddleware)
    app.mount("/files", StaticFiles(directory=tmp_path))
    client, accepts = serve(app).client, {"accept-encoding": "gzip"}
    get, head = (client.request(m, "/files/file.txt", headers=accepts) for m in ("GET", "HEAD"))
    assert get.headers.get("content-encoding") == (None if size == 5 else "gzip")
    for name in ("content-encoding", "etag", "vary", "content-type"):
        assert head.headers.get(name) == get.headers.get(name), name
