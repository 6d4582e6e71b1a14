"""Responses in a content coding, by --compress: which are, their framing, and when they leave."""

import asyncio
import contextlib
import hashlib
import re
import socket
import threading
from typing import Any

import httpx
import pytest
from fluvial import App, FileResponse, PlainTextResponse, Response, StreamingResponse, _core
from fluvial.staticfiles import StaticFiles
from support.codings import DECODERS, decode
from support.middleware import pass_on
from support.ways import WAYS, served_by

TEXT = "A line of text, and another one.\n" * 200
LARGE = b"".join(hashlib.sha256(b"%d" % n).hexdigest().encode() for n in range(30_000))
ALL = tuple(DECODERS)
ETAG = '"abc"'
ON: dict[str, Any] = {"compress": ("all",)}


def make(folder: Any) -> App:
    app = App()

    @app.get("/async")
    async def on_loop() -> dict[str, str]:
        return {"text": TEXT}

    @app.get("/sync")
    def in_thread() -> dict[str, str]:
        return {"text": TEXT}

    @app.api_route("/text", methods=["GET", "HEAD"])
    async def text() -> PlainTextResponse:
        return PlainTextResponse(TEXT, headers={"ETag": ETAG, "Accept-Ranges": "bytes"})

    @app.get("/large")
    def large() -> Response:
        return Response(LARGE, media_type="text/plain")

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def pieces():
            yield TEXT.encode()
            yield LARGE
            yield LARGE
            yield b"end"

        return StreamingResponse(pieces(), media_type="application/x-ndjson")

    @app.api_route("/file", methods=["GET", "HEAD"])
    def file() -> FileResponse:
        return FileResponse(folder / "large.txt")

    @app.get("/unchanged")
    async def unchanged() -> Response:
        return Response(status_code=304, headers={"ETag": ETAG})

    app.mount("/static", StaticFiles(directory=folder))
    return app


BODIES = {
    "/async": f'{{"text":"{TEXT}"}}'.replace("\n", "\\n").encode(),
    "/sync": f'{{"text":"{TEXT}"}}'.replace("\n", "\\n").encode(),
    "/text": TEXT.encode(),
    "/large": LARGE,
    "/stream": TEXT.encode() + LARGE * 2 + b"end",
    "/file": LARGE,
    "/static/large.txt": LARGE,
    "/static/small.txt": TEXT.encode(),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "large.txt").write_bytes(LARGE)
    (folder / "small.txt").write_text(TEXT)
    return folder


@pytest.fixture(scope="module", params=WAYS)
def anywhere(request: pytest.FixtureRequest, folder: Any, certificate: Any):
    with served_by(request.param, make(folder), certificate, **ON) as client:
        yield client


def fetch(client: httpx.Client, path: str, accept: str, **options: Any) -> tuple[Any, bytes]:
    """The response, and its body as it was sent."""
    headers = {"accept-encoding": accept} | options.pop("headers", {})
    with client.stream(options.pop("method", "GET"), path, headers=headers) as response:
        return response, b"".join(response.iter_raw())


def test_the_build_has_all_codings() -> None:
    assert set(_core.CODINGS) == set(ALL)


@pytest.mark.parametrize("path", BODIES)
def test_a_body_is_compressed(anywhere: httpx.Client, path: str) -> None:
    for coding in ALL:
        response, raw = fetch(anywhere, path, coding)
        assert response.status_code == 200
        assert response.headers["content-encoding"] == coding
        assert response.headers["vary"] == "Accept-Encoding"
        assert decode(coding, raw) == BODIES[path]
        assert len(raw) < len(BODIES[path]) * 0.7
        if "content-length" in response.headers:
            assert int(response.headers["content-length"]) == len(raw)
        elif response.http_version == "HTTP/1.1":
            assert response.headers["transfer-encoding"] == "chunked"


@pytest.mark.parametrize("path", BODIES)
def test_a_client_that_does_not_accept_it_gets_the_body(anywhere: httpx.Client, path: str) -> None:
    for accept in ("", "identity", "gzip;q=0", "*;q=0", "deflate, compress"):
        response, raw = fetch(anywhere, path, accept)
        assert raw == BODIES[path]
        assert "content-encoding" not in response.headers
        assert response.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip, br, zstd", "zstd"),
        ("br, gzip", "br"),
        ("*", "zstd"),
        ("*;q=0.1, gzip", "gzip"),
        ("gzip;q=1.0, br;q=0.999, zstd;q=0.001", "gzip"),
        ("GZIP;Q=0.5,BR ; q=0.2", "gzip"),
        ("x-gzip", "gzip"),
        ("zstd;q=0, br;q=0, *", "gzip"),
        ("zstd;q=1.001, br;q=, gzip;q=0.1", "gzip"),
        ("zstd;q=0.0001, br;q=-1, gzip;q=.5", None),
        ("zstd;q=0.000, br;q=0.", None),
        ("identity, gzip;q=0.1", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        (",;,q=1,;q=1", None),
    ],
)
def test_the_weights_decide(anywhere: httpx.Client, accept: str, coding: str | None) -> None:
    response, raw = fetch(anywhere, "/text", accept)
    assert response.headers.get("content-encoding") == coding
    assert (decode(coding, raw) if coding else raw) == TEXT.encode()


def test_the_fields_of_the_body_as_it_was_change(anywhere: httpx.Client) -> None:
    plain, _ = fetch(anywhere, "/text", "identity")
    assert (plain.headers["etag"], plain.headers["accept-ranges"]) == (ETAG, "bytes")
    coded, _ = fetch(anywhere, "/text", "gzip")
    assert coded.headers["etag"] == f"W/{ETAG}"
    assert "accept-ranges" not in coded.headers


UNCHANGED = ["/unchanged", "/file", "/static/large.txt", "/static/small.txt"]


@pytest.mark.parametrize("path", UNCHANGED)
def test_a_304_has_the_tag_and_vary_of_its_200(anywhere: httpx.Client, path: str) -> None:
    """Of the compressed one if the client has that: the tag that it sends says so."""
    tag = fetch(anywhere, path, "identity")[0].headers["etag"]
    weak = f"W/{tag}"
    if path != "/unchanged":
        assert fetch(anywhere, path, "gzip")[0].headers["etag"] == weak
    for accept, sent, got in [
        ("gzip", weak, weak),
        ("gzip", f'"other", {weak}', weak),
        ("gzip", tag, tag),
        ("gzip", f'{tag}, W/"other"', tag),
        ("identity", weak, tag),
    ]:
        response, body = fetch(anywhere, path, accept, headers={"if-none-match": sent})
        assert (response.status_code, body) == (304, b"")
        assert response.headers["etag"] == got
        assert response.headers.get_list("vary") == ["Accept-Encoding"]
        assert "content-encoding" not in response.headers


@pytest.mark.parametrize("path", ["/text", "/file", "/static/small.txt", "/static/large.txt"])
def test_head_says_what_get_does(anywhere: httpx.Client, path: str) -> None:
    got, _ = fetch(anywhere, path, "gzip")
    response, raw = fetch(anywhere, path, "gzip", method="HEAD")
    assert raw == b""
    framing = ("content-length", "transfer-encoding", "date")
    heads = [{k: v for k, v in r.headers.items() if k not in framing} for r in (got, response)]
    assert heads[0] == heads[1]
    assert "content-length" not in response.headers
    plain, _ = fetch(anywhere, path, "identity", method="HEAD")
    assert int(plain.headers["content-length"]) == len(BODIES[path])


@pytest.mark.parametrize("path", ["/file", "/static/large.txt"])
def test_a_part_of_a_file_stays_as_it_is(anywhere: httpx.Client, path: str) -> None:
    response, raw = fetch(anywhere, path, "gzip", headers={"range": "bytes=5-2004"})
    assert response.status_code == 206
    assert raw == LARGE[5:2005]
    assert "content-encoding" not in response.headers
    assert response.headers.get_list("vary") == ["Accept-Encoding"]  # as the 200 has
    response, _ = fetch(anywhere, path, "gzip", headers={"range": "bytes=0-4,9-19"})
    assert response.status_code == 206
    assert response.headers.get_list("vary") == ["Accept-Encoding"]


KEPT = {
    "an image": ({}, "image/png", 200),
    "a coding of its own": ({"content-encoding": "br"}, "text/plain", 200),
    "no-transform": ({"cache-control": "public, No-Transform"}, "text/plain", 200),
    "a digest": ({"repr-digest": "sha-256=:AA==:"}, "text/plain", 200),
    "a digest of the content": ({"Content-Digest": "sha-256=:AA==:"}, "text/plain", 200),
    "a range": ({"content-range": f"bytes 0-{len(TEXT) - 1}/9999"}, "text/plain", 206),
    "a range of an image": ({"content-range": "bytes 0-1/9999"}, "image/png", 206),
    "a 304 of no-transform": ({"cache-control": "no-transform"}, "text/plain", 304),
    "no type": ({}, None, 200),
}


@pytest.mark.parametrize("case", KEPT)
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_what_must_not_change_does_not(serve: Any, case: str, is_stream: bool) -> None:
    fields, media_type, status = KEPT[case]
    app = App()

    @app.get("/")
    async def kept() -> Response:
        options: dict[str, Any] = {"status_code": status, "headers": fields}
        if is_stream:
            return StreamingResponse(iter([TEXT.encode()]), media_type=media_type, **options)
        return Response(TEXT.encode(), media_type=media_type, **options)

    response, raw = fetch(serve(app, **ON).client, "/", "gzip")
    assert raw == (b"" if status == 304 else TEXT.encode())
    assert response.headers.get("content-encoding") == fields.get("content-encoding")
    assert ("vary" in response.headers) is (case == "a range")  # of a text that may be compressed


@pytest.mark.parametrize(
    ("media_type", "is_coded"),
    [
        ("text/html; charset=utf-8", True),
        ("TEXT/X-Anything", True),
        ("application/problem+json", True),
        ("image/svg+xml", True),
        ("text/event-stream", True),
        ("application/zip", False),
        ("application/octet-stream", False),
        ("json", False),
    ],
)
def test_the_type_decides(serve: Any, media_type: str, is_coded: bool) -> None:
    app = App()
    app.get("/")(lambda: Response(TEXT.encode(), headers={"content-type": media_type}))
    response, _ = fetch(serve(app, **ON).client, "/", "gzip")
    assert ("content-encoding" in response.headers) == is_coded


def test_types_sizes_and_codings_can_be_chosen(serve: Any) -> None:
    app = App()
    app.get("/{size}")(lambda size: Response(b"x" * int(size), media_type="application/x-own"))
    app.get("/text/{size}")(lambda size: PlainTextResponse("x" * int(size)))
    options = {"compress": ("br", "gzip:9"), "compress_min_size": 100}
    client = serve(app, compress_types=("application/X-Own",), **options).client
    assert "content-encoding" not in fetch(client, "/99", "*")[0].headers
    assert fetch(client, "/100", "*, zstd")[0].headers["content-encoding"] == "br"
    assert fetch(client, "/100", "gzip, zstd")[0].headers["content-encoding"] == "gzip"
    assert "content-encoding" not in fetch(client, "/100", "zstd")[0].headers
    assert "content-encoding" not in fetch(client, "/text/1000", "gzip")[0].headers


def test_the_level_counts(serve: Any) -> None:
    app = App()
    words = " ".join(f"{n % 7} words and {n * n} more" for n in range(2000))
    app.get("/")(lambda: PlainTextResponse(words))
    for coding, levels in {"gzip": (1, 9), "br": (0, 9), "zstd": (1, 19)}.items():
        sizes = []
        for level in levels:
            client = serve(app, compress=(f"{coding}:{level}",)).client
            response, raw = fetch(client, "/", coding)
            assert response.headers["content-encoding"] == coding
            sizes.append(len(raw))
        assert sizes[0] > sizes[1], coding


def test_nothing_is_compressed_by_default(serve: Any) -> None:
    app = App()
    app.get("/")(lambda: TEXT)
    response, _ = fetch(serve(app).client, "/", "gzip, br, zstd")
    assert not {"content-encoding", "vary"} & set(response.headers)


def test_a_vary_of_the_app_is_kept(serve: Any) -> None:
    app = App()
    app.get("/{vary}")(lambda vary: PlainTextResponse(TEXT, headers={"Vary": vary}))
    client = serve(app, **ON).client
    for vary, expected in (
        ("Cookie", "Cookie, Accept-Encoding"),
        ("*", "*"),
        ("Cookie, accept-encoding", "Cookie, accept-encoding"),
    ):
        response, _ = fetch(client, f"/{vary}", "gzip")
        assert response.headers["vary"] == expected
        assert response.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("coding", ALL)
@pytest.mark.parametrize("way", WAYS)
def test_pieces_leave_as_they_are_written(way: str, coding: str, certificate: Any) -> None:
    """A client can decode each piece before the next one is made."""
    app = App()
    more = asyncio.Event()

    @app.get("/")
    async def stream() -> StreamingResponse:
        async def pieces():
            yield "data: first\n\n"
            await more.wait()
            yield "data: second\n\n"

        return StreamingResponse(pieces(), media_type="text/event-stream")

    @app.post("/more")
    async def go_on() -> None:
        more.set()

    decoder = DECODERS[coding]()
    with served_by(way, app, certificate, **ON) as client:
        with client.stream("GET", "/", headers={"accept-encoding": coding}) as response:
            raw = response.iter_raw()
            found = b""
            while found != b"data: first\n\n":
                found += decoder.feed(next(raw))
            assert client.post("/more").status_code == 200
            found += b"".join(map(decoder.feed, raw))
        assert found == b"data: first\n\ndata: second\n\n"
        assert decoder.complete


def test_wsgi_responses_are_compressed(serve: Any) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "270000")])
        return [b"123456789" * 10_000] * 3

    response, raw = fetch(serve(app, **ON).client, "/", "gzip")
    assert response.headers["content-encoding"] == "gzip"
    assert decode("gzip", raw) == b"123456789" * 30_000


def test_a_length_that_is_not_kept_to_shows(serve: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = [(b"content-type", b"text/plain"), (b"content-length", b"5000")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"x" * 4000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    client = serve(app, lifespan="off", **ON).client
    with pytest.raises(httpx.RemoteProtocolError):
        fetch(client, "/", "gzip")


def raw_get(path: str, version: str, *more: str) -> bytes:
    lines = [f"GET {path} HTTP/{version}", "Host: x", "Accept-Encoding: gzip", *more, "", ""]
    return "\r\n".join(lines).encode()


def test_a_client_of_http_1_0_gets_it_until_the_end(serve: Any, folder: Any) -> None:
    served = serve(make(folder), **ON)
    for path in ("/large", "/stream", "/file"):
        head, _, raw = served.exchange(raw_get(path, "1.0")).partition(b"\r\n\r\n")
        assert b"content-encoding: gzip" in head
        assert decode("gzip", raw) == BODIES[path]


def test_responses_to_pipelined_requests_keep_their_order(serve: Any, folder: Any) -> None:
    served = serve(make(folder), **ON)
    paths = ("/large", "/async", "/stream", "/large", "/text")
    requests = b"".join(raw_get(path, "1.1") for path in paths[:-1])
    reply = served.exchange(requests + raw_get(paths[-1], "1.1", "Connection: close"))
    for path in paths:
        head, _, reply = reply.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        if found := re.search(rb"content-length: (\d+)", head):
            raw, reply = reply[: int(found[1])], reply[int(found[1]) :]
        else:
            raw = b""
            while (size := int(reply.partition(b"\r\n")[0], 16)) != 0:
                reply = reply.partition(b"\r\n")[2]
                raw, reply = raw + reply[:size], reply[size + 2 :]
            reply = reply.removeprefix(b"0\r\n\r\n")
        assert decode("gzip", raw) == BODIES[path]
    assert reply == b""


def test_a_client_that_sends_fin_gets_everything(serve: Any, folder: Any) -> None:
    served = serve(make(folder), **ON)
    with served.connect() as sock:
        sock.sendall(raw_get("/large", "1.0"))
        sock.shutdown(socket.SHUT_WR)
        reply = b"".join(iter(lambda: sock.recv(65536), b""))
    assert decode("gzip", reply.partition(b"\r\n\r\n")[2]) == LARGE


def test_a_stop_waits_until_the_response_is_there(serve: Any) -> None:
    app = App()

    @app.get("/")
    async def large() -> Response:
        return Response(LARGE, media_type="text/plain")

    served = serve(app, compress=("gzip:9",))
    with served.client.stream("GET", "/", headers={"accept-encoding": "gzip"}) as response:
        served.stop()
        raw = b"".join(response.iter_raw())
    assert decode("gzip", raw) == LARGE


def test_clients_that_leave_while_a_thread_compresses(serve: Any, folder: Any) -> None:
    served = serve(make(folder), **ON)
    for path in ("/large", "/stream", "/file") * 5:
        with served.connect() as sock:
            sock.sendall(raw_get(path, "1.1"))
            assert sock.recv(10) == b"HTTP/1.1 2"
    assert decode("gzip", fetch(served.client, "/large", "gzip")[1]) == LARGE


def test_a_body_that_is_sent_late_does_not_disturb(serve: Any) -> None:
    """The response is complete for the handler, and the request isn't."""
    app = App()

    @app.post("/")
    async def early() -> Response:
        return Response(LARGE, media_type="text/plain")

    served = serve(app, **ON)
    with served.connect() as sock:
        fields = "Content-Length: 10\r\nContent-Type: text/plain\r\n"
        head = raw_get("/", "1.1").replace(b"GET", b"POST").removesuffix(b"\r\n")
        sock.sendall(head + fields.encode() + b"\r\n" + b"12345")
        sock.sendall(b"67890" + raw_get("/none", "1.1", "Connection: close"))
        reply = b"".join(iter(lambda: sock.recv(65536), b""))
    assert reply.count(b"HTTP/1.1 ") == 2
    assert b"404 Not Found" in reply


def test_a_client_that_still_sends_gets_the_whole_response(serve: Any) -> None:
    """The response is complete for the app, a thread compresses it, and nobody reads the rest."""

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        fields = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 403, "headers": fields})
        await send({"type": "http.response.body", "body": LARGE * 2})

    served = serve(refuse, lifespan="off", compress=("gzip:9",))
    size = 8 * 2**20
    head = raw_get("/", "1.1").replace(b"GET", b"POST").removesuffix(b"\r\n")
    with served.connect() as sock:
        sock.sendall(head + f"Content-Length: {size}\r\n\r\n".encode())
        sender = threading.Thread(target=send_all, args=(sock, bytes(size)))
        sender.start()
        reply = b"".join(iter(lambda: sock.recv(65536), b""))
        sender.join(30)
    assert reply.startswith(b"HTTP/1.1 403")
    assert reply.endswith(b"\r\n0\r\n\r\n")


def send_all(sock: Any, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the server has read enough of it
        sock.sendall(data)


def test_the_operator_s_vary_stays(serve: Any) -> None:
    app = App()
    app.get("/")(lambda: TEXT)
    client = serve(app, header=("Vary: Origin",), **ON).client
    for accept in ("gzip", "identity"):
        response, _ = fetch(client, "/", accept)
        assert set(response.headers.get_list("vary", split_commas=True)) == {
            "Origin",
            "Accept-Encoding",
        }


def test_middleware_that_compresses_goes_first(serve: Any) -> None:
    from fluvial.middleware.gzip import GZipMiddleware

    app = App()
    app.get("/")(lambda: TEXT)
    app.add_middleware(GZipMiddleware)
    app.middleware("http")(pass_on)
    response, raw = fetch(serve(app, **ON).client, "/", "gzip, zstd")
    assert response.headers["content-encoding"] == "gzip"
    assert decode("gzip", raw).decode() == f'"{TEXT}"'.replace("\n", "\\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compress": ("deflate",)}, "compress takes zstd, br, gzip, each with :LEVEL or without"),
        ({"compress": ("gzip:10",)}, "the level of gzip is 0 to 9, not '10'"),
        ({"compress": ("br:fast",)}, "the level of br is 0 to 11, not 'fast'"),
        ({"compress": "gzip"}, "compress must be a tuple of str, not 'gzip'"),
        ({"compress_types": ("html",)}, "compress_types takes content types, such as text/html"),
        ({"compress_min_size": -1}, "compress_min_size must be from 0 to"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], words: str) -> None:
    from fluvial import Config

    with pytest.raises((TypeError, ValueError), match=re.escape(words)):
        Config(**options)
