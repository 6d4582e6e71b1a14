"""HTTP/2: requests and responses of native apps, over TLS and with prior knowledge."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import pytest
from fluvial import App, Request
from fluvial.responses import FileResponse, Response, StreamingResponse
from support import needs
from support.h2_client import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    NO_ERROR,
    PING,
    PROTOCOL_ERROR,
    Answer,
    Frame,
    H2Client,
    frame,
)
from support.serving import Served, serving

if TYPE_CHECKING:
    from support.certificate import Certificate

pytestmark = needs.HTTP2
LARGE = bytes(range(256)) * 8192  # 2 MiB
app = App()


@app.get("/")
async def index() -> dict[str, bool]:
    return {"ok": True}


@app.get("/def")
def plain() -> dict[str, bool]:
    return {"ok": True}


@app.api_route("/request", methods=["GET", "POST", "OPTIONS", "QUERY"])
async def of_request(request: Request) -> dict[str, Any]:
    return {
        "version": request.scope["http_version"],
        "method": request.method,
        "url": str(request.url),
        "fields": list(request.headers.items()),
        "cookies": request.cookies,
    }


@app.post("/echo")
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


@app.post("/digest")
async def digest(request: Request) -> dict[str, Any]:
    found, length = hashlib.sha256(), 0
    async for piece in request.stream():
        found.update(piece)
        length += len(piece)
        await asyncio.sleep(0)
    return {"sha256": found.hexdigest(), "length": length}


@app.get("/large")
async def large() -> Response:
    return Response(LARGE)


@app.get("/pieces")
async def pieces() -> StreamingResponse:
    async def every() -> AsyncIterator[bytes]:
        for at in range(0, len(LARGE), 10_000):
            yield LARGE[at : at + 10_000]

    return StreamingResponse(every(), media_type="text/plain")


@app.get("/file")
async def file(name: str) -> FileResponse:
    return FileResponse(name)


@app.get("/none", status_code=204)
async def none() -> None:
    return None


@app.get("/same")
async def same() -> Response:
    return Response(status_code=304, headers={"ETag": '"x"'})


@app.get("/broken")
async def broken() -> StreamingResponse:
    async def some() -> AsyncIterator[bytes]:
        yield b"begun"
        raise RuntimeError("in the middle")

    return StreamingResponse(some())


@app.get("/shorter")
async def shorter() -> StreamingResponse:
    async def some() -> AsyncIterator[bytes]:
        yield b"begun"

    return StreamingResponse(some(), headers={"Content-Length": "10"})


@pytest.fixture(params=["plain", "tls"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    options: dict[str, Any] = {"http": "auto"}
    if request.param == "tls":
        certificate: Certificate = request.getfixturevalue("certificate")
        options |= {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    with serving(app, **options) as found:
        yield found


@pytest.fixture
def client(served: Served) -> Iterator[H2Client]:
    with H2Client.to(served) as found:
        yield found


def test_get(client: H2Client) -> None:
    for path in ("/", "/def"):
        answer = client.get(path)
        assert answer.status == 200
        assert answer.body == b'{"ok":true}'
        assert answer.head["content-type"] == "application/json"
        assert answer.head["content-length"] == "11"
        assert answer.head["server"] == "fluvial"
        assert "date" in answer.head


def test_what_a_handler_learns_of_the_request(client: H2Client) -> None:
    stream = client.request(
        "/request?a=1",
        "GET",
        ("x-one", "1"),
        ("cookie", "a=b"),
        ("x-two", "2"),
        ("cookie", "c=d"),
        authority="example.org:81",
    )
    found = httpx.Response(200, content=client.answer(stream).body).json()
    assert found["version"] == "2"
    assert found["url"].endswith("://example.org:81/request?a=1")
    # Cookies are one field again (RFC 9113 section 8.2.3), which the others don't wait for.
    assert found["fields"] == [
        ["host", "example.org:81"],
        ["x-one", "1"],
        ["x-two", "2"],
        ["cookie", "a=b; c=d"],
    ]
    assert found["cookies"] == {"a": "b", "c": "d"}


def test_host_in_place_of_authority(client: H2Client) -> None:
    stream = client.request("/request", "GET", ("host", "other.example"), authority="")
    assert b"://other.example/request" in client.answer(stream).body
    stream = client.request("/request", "GET", ("host", "H"))
    assert client.answer(stream).status == 200
    stream = client.request("/request", "GET", ("host", "another"))
    assert client.answer(stream).status == 400


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "QUERY"])
def test_methods(client: H2Client, method: str) -> None:
    assert method.encode() in client.answer(client.request("/request", method)).body


@pytest.mark.parametrize("method", ["CONNECT", "DESCRIBE", "get", "X"])
def test_methods_that_are_not_known(client: H2Client, method: str) -> None:
    stream = client.request("/request", method)
    assert client.answer(stream).status == 501
    assert client.get().status == 200


def test_methods_in_the_log(tmp_path: Path) -> None:
    """One that isn't known has no name there, and never another's."""
    log = tmp_path / "log"
    options: dict[str, Any] = {"access_log_file": str(log), "access_logformat": "%(r)s %(s)s"}
    with (
        serving(app, http="auto", access_log=True, **options) as served,
        H2Client.to(served) as client,
    ):
        for method in ("GET", "X", "DESCRIBE"):
            client.answer(client.request("/", method))
    assert log.read_text().splitlines() == [
        "GET / HTTP/2.0 200",
        "- / HTTP/2.0 501",
        "- / HTTP/2.0 501",
    ]


@pytest.mark.parametrize("path", ["/", "/pieces", "/none"])
def test_head(client: H2Client, path: str) -> None:
    whole, head = client.get(path), client.answer(client.request(path, "HEAD"))
    assert head.status == whole.status
    assert head.body == b""
    assert head.head.get("content-length") == whole.head.get("content-length")


def test_responses_without_a_body(client: H2Client) -> None:
    none, same = client.get("/none"), client.get("/same")
    assert (none.status, none.body) == (204, b"")
    assert (same.status, same.body, same.head["etag"]) == (304, b"", '"x"')
    assert "content-length" not in none.head


@pytest.mark.parametrize("size", [0, 1, 16384, 100_000, len(LARGE)])
def test_a_body_that_comes_back(client: H2Client, size: int) -> None:
    """Larger ones need more than the window that the client begins with."""
    body = LARGE[:size]
    client.settled()
    stream = client.request("/echo", "POST", end=False)
    client.upload(stream, body)
    answer = client.answer(stream)
    assert answer.status == 200
    assert answer.body == body


def test_a_body_that_is_read_in_pieces(client: H2Client) -> None:
    body = LARGE[:200_000]
    stream = client.request("/digest", "POST", body=body[:60_000], end=False)
    client.settled()
    client.send(frame(DATA, END_STREAM, stream, body[60_000:60_010]))
    found = httpx.Response(200, content=client.answer(stream).body).json()
    assert found["length"] == 60_010
    assert found["sha256"] == hashlib.sha256(body[:60_010]).hexdigest()


@pytest.mark.parametrize("path", ["/large", "/pieces"])
def test_large_responses(client: H2Client, path: str) -> None:
    answer = client.get(path)
    assert answer.body == LARGE
    assert answer.ended


def test_a_file(client: H2Client, tmp_path: Path) -> None:
    name = tmp_path / "large.bin"
    name.write_bytes(LARGE)
    answer = client.get(f"/file?name={name}")
    assert answer.body == LARGE
    assert answer.head["content-length"] == str(len(LARGE))


def test_many_at_once(client: H2Client) -> None:
    paths = ["/", "/def", "/none", "/request"] * 25 + ["/pieces"]
    streams = [client.request(path) for path in paths]
    statuses = [client.answer(stream).status for stream in streams]
    assert statuses == [204 if path == "/none" else 200 for path in paths]


def test_a_slow_reader_holds_up_only_its_own_stream(served: Served) -> None:
    with H2Client.to(served, {INITIAL_WINDOW_SIZE: 10}) as client:
        client.window = False
        slow = client.request("/large")
        while len(client.answers.get(slow, Answer()).body) < 10:
            assert client.read() is not None
        quick = client.request("/none")
        assert client.answer(quick).status == 204
        client.window = True
        client.grant(0, amount=2**30)
        client.grant(slow, amount=2**30)
        assert client.answer(slow).body == LARGE


def test_a_response_that_breaks_off(client: H2Client) -> None:
    answer = client.get("/broken")
    assert answer.reset is not None
    assert answer.reset != NO_ERROR
    assert client.get().status == 200


def test_a_response_that_is_shorter_than_it_said(client: H2Client) -> None:
    answer = client.get("/shorter")
    assert answer.reset is not None
    assert answer.reset != NO_ERROR
    assert client.get().status == 200


def test_a_response_before_the_body(served: Served) -> None:
    """The rest of the body is read, so that the client gets the response, and nothing is reset."""
    with H2Client.to(served) as client:
        length = ("content-length", str(2**30))
        stream = client.request("/echo", "POST", length, body=b"x" * 40_000, end=False)
        assert client.answer(stream).status == 413
        client.send(b"".join(frame(DATA, 0, stream, b"x" * 16384) for _ in range(12)))
        assert client.get().status == 200
        assert client.answers[stream].reset is None


@pytest.mark.parametrize("limit", [{"linger_bytes": 50_000}, {"linger_time": 1000, "body_rate": 0}])
def test_a_client_that_goes_on_after_the_response(certificate: Certificate, limit: Any) -> None:
    """It is asked to stop, without an error (RFC 9113 section 8.1), when the bounds are reached."""
    with serving(app, http="auto", limits=limit) as served, H2Client.to(served) as client:
        length = ("content-length", str(2**30))
        stream = client.request("/echo", "POST", length, body=b"x" * 40_000, end=False)
        assert client.answer(stream).status == 413
        client.send(frame(DATA, 0, stream, b"x" * 16384))
        while client.answers[stream].reset is None:
            assert client.read() is not None
        assert client.answers[stream].reset == NO_ERROR
        assert client.get().status == 200


def test_expect(client: H2Client) -> None:
    stream = client.request("/echo", "POST", ("expect", "100-continue"), end=False)
    while not client.answers.get(stream, Answer()).heads:
        assert client.read() is not None
    assert client.answers[stream].heads[0] == {":status": "100"}
    client.send(frame(DATA, END_STREAM, stream, b"body"))
    assert client.answer(stream).body == b"body"


def test_trailers_of_a_request_are_dropped(client: H2Client) -> None:
    stream = client.request("/echo", "POST", body=b"body", end=False)
    block = client.encoder.encode([("x-trailer", "1")])
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block))
    assert client.answer(stream).body == b"body"


@pytest.mark.parametrize(
    "fields",
    [
        (("connection", "close"),),
        (("transfer-encoding", "chunked"),),
        (("X-Upper", "1"),),
        (("x-value", "a\rb"),),
        (("te", "gzip"),),
        (("content-length", "x"),),
    ],
)
def test_malformed_requests(client: H2Client, fields: tuple[tuple[str, str], ...]) -> None:
    answer = client.answer(client.request("/", "GET", *fields))
    assert answer.reset == PROTOCOL_ERROR
    assert client.get().status == 200


@pytest.mark.parametrize("body", [b"four", b"sixsix"])
def test_a_body_of_another_length_than_was_stated(client: H2Client, body: bytes) -> None:
    stream = client.request("/echo", "POST", ("content-length", "5"), body=body)
    answer = client.answer(stream)
    assert (answer.reset, answer.body) == (PROTOCOL_ERROR, b"")
    assert client.get().status == 200


PSEUDO = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "h")]
HEADS = {
    "no-method": PSEUDO[1:],
    "no-scheme": [PSEUDO[0], *PSEUDO[2:]],
    "no-path": [*PSEUDO[:2], PSEUDO[3]],
    "no-authority": PSEUDO[:3],
    "method-twice": [*PSEUDO, PSEUDO[0]],
    "scheme-twice": [*PSEUDO, PSEUDO[1]],
    "path-twice": [*PSEUDO, PSEUDO[2]],
    "authority-twice": [*PSEUDO, PSEUDO[3]],
    "host-twice": [*PSEUDO, ("host", "h"), ("host", "h")],
    "host-empty": [*PSEUDO, ("host", "")],
    "length-twice": [*PSEUDO, ("content-length", "0"), ("content-length", "0")],
    "length-signed": [*PSEUDO, ("content-length", "+0")],
    "length-huge": [*PSEUDO, ("content-length", "9" * 30)],
    "length-without-body": [*PSEUDO, ("content-length", "1")],
    "pseudo-late": [*PSEUDO[:3], ("x-a", "1"), PSEUDO[3]],
    "pseudo-of-responses": [*PSEUDO, (":status", "200")],
    "pseudo-unknown": [*PSEUDO, (":x", "1")],
    "method-no-token": [(":method", "G T"), *PSEUDO[1:]],
    "scheme-no-token": [PSEUDO[0], (":scheme", "1+x"), *PSEUDO[2:]],
    "path-with-space": [*PSEUDO[:2], (":path", "/a b"), PSEUDO[3]],
    "authority-with-slash": [*PSEUDO[:3], (":authority", "h/x")],
    "host-with-space": [*PSEUDO[:3], ("host", "h x")],
    "name-no-token": [*PSEUDO, ("x y", "1")],
    "name-empty": [*PSEUDO, ("", "1")],
    "value-with-nul": [*PSEUDO, ("x-a", "a\0b")],
    "value-begins-with-space": [*PSEUDO, ("x-a", " a")],
    "keep-alive": [*PSEUDO, ("keep-alive", "1")],
    "proxy-connection": [*PSEUDO, ("proxy-connection", "close")],
    "upgrade": [*PSEUDO, ("upgrade", "websocket")],
    "connect-with-path": [(":method", "CONNECT"), *PSEUDO[1:]],
    "connect-without-authority": [(":method", "CONNECT")],
    "protocol-of-a-get": [*PSEUDO, (":protocol", "websocket")],
    "protocol-twice": [(":method", "CONNECT"), *PSEUDO[1:], *[(":protocol", "websocket")] * 2],
    "protocol-without-authority": [
        *[(":method", "CONNECT"), (":protocol", "websocket")],
        *[*PSEUDO[1:3], ("host", "h")],
    ],
}


@pytest.mark.parametrize("fields", HEADS.values(), ids=HEADS)
def test_malformed_heads(client: H2Client, fields: list[tuple[str, str]]) -> None:
    """RFC 9113 section 8.1.1: a stream error, so that a proxy's other clients lose nothing."""
    stream = client.next_stream
    client.next_stream += 2
    block = client.encoder.encode(fields)
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block))
    assert client.answer(stream).reset == PROTOCOL_ERROR
    assert client.get().status == 200


@pytest.mark.parametrize(
    ("fields", "flags"),
    [
        ([("x-a", "1")], 0),
        ([(":path", "/")], END_STREAM),
        ([("connection", "close")], END_STREAM),
        ([("X-A", "1")], END_STREAM),
    ],
    ids=["no-end", "pseudo", "connection", "upper-case"],
)
def test_malformed_trailers(client: H2Client, fields: list[tuple[str, str]], flags: int) -> None:
    stream = client.request("/echo", "POST", body=b"body", end=False)
    client.send(frame(HEADERS, END_HEADERS | flags, stream, client.encoder.encode(fields)))
    assert client.answer(stream).reset == PROTOCOL_ERROR
    assert client.get().status == 200


def test_trailers_before_the_stated_length(client: H2Client) -> None:
    stream = client.request("/echo", "POST", ("content-length", "5"), body=b"body", end=False)
    block = client.encoder.encode([("x-trailer", "1")])
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block))
    assert client.answer(stream).reset == PROTOCOL_ERROR
    assert client.get().status == 200


def test_priorities_of_requests(served: Served) -> None:
    """The one that is urgent comes first, though it was asked for last (RFC 9218)."""

    class Ordered(H2Client):
        order: ClassVar[list[int]] = []

        def _note(self, found: Frame) -> None:
            if found.type == DATA and found.payload:
                self.order.append(found.stream)
            super()._note(found)

    with Ordered.to(served, {INITIAL_WINDOW_SIZE: 4_000_000}) as client:
        client.window = False
        client.order.clear()
        used = client.request("/large")
        while len(client.answers.get(used, Answer()).body) < 65535:  # the connection's window
            assert client.read() is not None
        late = client.request("/large", "GET", ("priority", "u=7"))
        soon = client.request("/large", "GET", ("priority", "u=0, i"))
        while not {late, soon} <= set(client.answers):  # both heads have come
            assert client.read() is not None
        client.order.clear()
        client.grant(0, amount=10_000_000)
        client.answer(late)
        assert client.order.index(soon) < client.order.index(used)
        assert client.order.index(used) < client.order.index(late)


@pytest.mark.parametrize("path", ["/#x", "http://h/", ""])
def test_targets_that_are_malformed(client: H2Client, path: str) -> None:
    answer = client.answer(client.request(path))
    assert answer.reset == PROTOCOL_ERROR or answer.status == 400
    assert client.get().status == 200


def test_targets_of_another_host(client: H2Client) -> None:
    """An absolute one, which nghttp2 lets pass for schemes that it doesn't know."""
    assert client.answer(client.request("http://other/", scheme="x")).status == 400
    assert client.get().status == 200


def test_the_preface_byte_by_byte(served: Served) -> None:
    class Trickling(H2Client):
        def send(self, data: bytes) -> None:
            for at in range(len(data)):
                super().send(data[at : at + 1])

    with Trickling.to(served) as client:
        assert client.get().status == 200
        body = client.answer(client.request("/echo", "POST", body=b"body")).body
        assert body == b"body"


def test_http_1_on_the_same_port(served: Served) -> None:
    assert served.client.get("/").http_version == "HTTP/1.1"


def test_another_client(served: Served) -> None:
    with httpx.Client(
        http1=False, http2=True, verify=served.context or False, base_url=served.url
    ) as other:
        found = other.get("/pieces")
        assert (found.http_version, found.content) == ("HTTP/2", LARGE)
        assert other.post("/echo", content=LARGE).content == LARGE


def test_it_is_off_where_it_is_not_wanted(certificate: Certificate) -> None:
    with serving(app, http="1.1") as served:
        answer = served.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 505 ")
    tls = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    with serving(app, http="1.1", **tls) as served:
        context = served.context
        assert context is not None
        context.set_alpn_protocols(["h2", "http/1.1"])
        with served.connect() as sock:
            assert sock.tls.selected_alpn_protocol() == "http/1.1"


def test_the_preface_comes_first_or_never() -> None:
    with serving(app, http="auto") as served:
        answer = served.exchange(
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        )
        assert answer.count(b"HTTP/1.1 200 ") == 1
        assert b"HTTP/1.1 505 " in answer


def test_the_preface_must_be_right(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n" + b"x" * 100)
        data = b"".join(iter(lambda: sock.recv(65536), b""))
        if served.context is None:
            assert data.startswith(b"HTTP/1.1 400 ")


def test_it_stops_after_the_streams_that_there_are() -> None:
    """GOAWAY at once, the response all the same, and then the end."""
    begun, go_on = threading.Event(), threading.Event()
    slow = App()

    @slow.get("/")
    def wait() -> str:
        begun.set()
        assert go_on.wait(30)
        return "done"

    with serving(slow, http="auto") as served, H2Client.to(served) as client:
        stream = client.request()
        assert begun.wait(30)
        served.stop()
        while client.goaway is None:
            assert client.read() is not None
        go_on.set()
        assert client.answer(stream).body == b'"done"'
        goaway = client.until_closed()
        assert goaway is not None
        assert (goaway.error, int.from_bytes(goaway.payload[:4], "big")) == (NO_ERROR, stream)


def test_the_end_is_announced_before_it_is_there() -> None:
    """The first GOAWAY names no stream, so that none is lost that is on its way."""

    class Noting(H2Client):
        named: list[int]

        def _note(self, found: Frame) -> None:
            if found.type == GOAWAY:
                self.named.append(int.from_bytes(found.payload[:4], "big"))
            super()._note(found)

    with serving(app, http="auto") as served, Noting.to(served) as client:
        client.named = []
        assert client.get().status == 200
        served.stop()
        assert client.until_closed() is not None
        assert client.named == [2**31 - 1, 1]


def test_the_last_stream_is_named() -> None:
    """One that comes along with the answer to the server's ping is served, and named."""

    class Late(H2Client):
        def _note(self, found: Frame) -> None:
            if found.type != PING or found.flags & ACK:
                super()._note(found)
                return
            head = frame(HEADERS, END_HEADERS | END_STREAM, 3, self.head("/quick"))
            self.send(frame(PING, ACK, 0, found.payload) + head)

    begun, go_on = threading.Event(), threading.Event()
    slow = App()

    @slow.get("/")
    def wait() -> str:
        begun.set()
        assert go_on.wait(30)
        return "done"

    @slow.get("/quick")
    async def quick() -> str:
        return "quick"

    with serving(slow, http="auto") as served, Late.to(served) as client:
        client.request()
        assert begun.wait(30)
        served.stop()
        assert client.answer(3).body == b'"quick"'
        go_on.set()
        goaway = client.until_closed()
        assert goaway is not None
        assert int.from_bytes(goaway.payload[:4], "big") == 3


def test_an_idle_connection_ends_with_the_server(served: Served) -> None:
    with H2Client.to(served) as client:
        assert client.get().status == 200
        served.stop()
        goaway = client.until_closed()
        assert goaway is not None
        assert goaway.error == NO_ERROR
