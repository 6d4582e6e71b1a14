"""HTTP/2 by Upgrade, from a request of HTTP/1.1 without TLS (RFC 7540 section 3.2)."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, Request
from support import needs
from support.h2_client import H2Client
from support.serving import Served, serving

if TYPE_CHECKING:
    from support.certificate import Certificate

pytestmark = needs.HTTP2
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4


def encoded(*settings: tuple[int, int]) -> str:
    payload = b"".join(struct.pack("!HI", *each) for each in settings)
    return base64.urlsafe_b64encode(payload).decode()


# ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE twice, ENABLE_CONNECT_PROTOCOL.
NOT_ALLOWED = [(2, 2), (INITIAL_WINDOW_SIZE, 1 << 31), (5, 1), (5, 1 << 24), (8, 2)]
SETTINGS = encoded((MAX_CONCURRENT_STREAMS, 100), (INITIAL_WINDOW_SIZE, 1 << 20))
OFFER = {
    "Host": "h",
    "Connection": "Upgrade, HTTP2-Settings",
    "Upgrade": "h2c",
    "HTTP2-Settings": SETTINGS,
}
app = App()
calls: list[str] = []


@app.api_route("/request", methods=["GET", "POST", "DELETE"])
async def of_request(request: Request) -> dict[str, Any]:
    calls.append(request.method)
    return {
        "version": request.scope["http_version"],
        "url": str(request.url),
        "fields": list(request.headers.items()),
        "cookies": request.cookies,
        "body": len(await request.body()),
    }


@pytest.fixture
def served() -> Iterator[Served]:
    calls.clear()
    with serving(app, http="auto") as running:
        yield running


def request(fields: dict[str, str], line: str = "GET /request HTTP/1.1", more: str = "") -> bytes:
    lines = [line, *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, more + "\r\n"]).encode()


def head_of(sock: Any) -> bytes:
    """The head of a response; nothing more is read."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = sock.recv(1)
        assert piece, head
        head += piece
    return head


def upgraded(sock: Any, data: bytes) -> H2Client:
    sock.sendall(data)
    head = head_of(sock)
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nUpgrade: h2c\r\n" in head
    client = H2Client(sock)
    client.next_stream = 3
    return client


def test_a_request_becomes_the_first_stream(served: Served) -> None:
    fields = OFFER | {"Content-Type": "text/x", "Cookie": "a=b", "X-Last": "1", "Keep-Alive": "9"}
    with served.connect() as sock, upgraded(sock, request(fields)) as client:
        first = client.answer(1)
        assert first.status == 200
        assert first.body == (
            b'{"version":"2","url":"http://h/request","fields":[["host","h"],'
            b'["content-type","text/x"],["cookie","a=b"],["x-last","1"]],'
            b'"cookies":{"a":"b"},"body":0}'
        )
        stream = client.request("/request", "POST", body=b"x" * 10)
        assert b'"body":10' in client.answer(stream).body
        assert client.answers[1].reset is None


def test_a_later_request_of_a_connection(served: Served) -> None:
    plain = b"GET /request HTTP/1.1\r\nHost: h\r\n\r\n"
    with served.connect() as sock:
        sock.sendall(plain)
        head = head_of(sock)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while length:
            length -= len(sock.recv(length))
        with upgraded(sock, request(OFFER, "DELETE /request HTTP/1.1")) as client:
            assert client.answer(1).status == 200
    assert calls == ["GET", "DELETE"]


def test_a_head_request(served: Served) -> None:
    with (
        served.connect() as sock,
        upgraded(sock, request(OFFER, "HEAD /request HTTP/1.1")) as client,
    ):
        answer = client.answer(1)
        assert (answer.body, answer.head["content-type"]) == (b"", "application/json")


def test_a_refusal_comes_by_http_2(served: Served) -> None:
    with served.connect() as sock, upgraded(sock, request(OFFER, "GET /no HTTP/1.1")) as client:
        assert client.answer(1).status == 404
        assert client.get("/request").status == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"HTTP2-Settings": None},
        {"HTTP2-Settings": SETTINGS + "="},
        {"HTTP2-Settings": SETTINGS[:-1]},
        {"HTTP2-Settings": SETTINGS[:-1] + "+"},
        {"HTTP2-Settings": encoded(*[(MAX_CONCURRENT_STREAMS, 1)] * 33)},
        *({"HTTP2-Settings": encoded((number, value))} for number, value in NOT_ALLOWED),
        {"HTTP2-Settings": SETTINGS + "\r\nHTTP2-Settings: " + SETTINGS},
        {"Connection": "Upgrade"},
        {"Connection": "HTTP2-Settings"},
        {"Connection": "Upgrade, HTTP2-Settings, close"},
        {"Upgrade": "h2"},
        {"Upgrade": "websocket, h2c"},
        {"Content-Length": "0"},
        {"Content-Length": "5"},
        {"Transfer-Encoding": "chunked"},
    ],
    ids=repr,
)
def test_what_stays_http_1(served: Served, fields: dict[str, str | None]) -> None:
    """A server may ignore an offer. The request is answered, and its body isn't mistaken."""
    merged = {name: value for name, value in (OFFER | fields).items() if value is not None}
    body = b"GET /" if fields.get("Content-Length") == "5" else b""
    body += b"5\r\nGET /\r\n0\r\n\r\n" if "Transfer-Encoding" in fields else b""
    with served.connect() as sock:
        sock.sendall(request(merged) + body)
        assert head_of(sock).startswith(b"HTTP/1.1 200 OK\r\n")
    assert calls == ["GET"]


def test_http_1_0_stays_http_1(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(request(OFFER, "GET /request HTTP/1.0"))
        assert head_of(sock).startswith(b"HTTP/1.1 200 OK\r\n")


def test_it_is_off_with_tls_and_where_it_is_not_wanted(certificate: Certificate) -> None:
    files = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    for options in ({}, {"http": "1.1"}, files | {"http": "auto"}):
        with serving(app, **options) as served, served.connect() as sock:
            sock.sendall(request(OFFER))
            assert head_of(sock).startswith(b"HTTP/1.1 200 OK\r\n")


def test_what_follows_is_no_request_of_http_1(served: Served) -> None:
    """A proxy that takes them for two requests finds no second response."""
    second = b"POST /request HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
    with served.connect() as sock:
        sock.sendall(request(OFFER) + second)
        assert head_of(sock).startswith(b"HTTP/1.1 101 ")
        while piece := sock.recv(65536):
            assert b"HTTP/1.1" not in piece
    assert "POST" not in calls


def test_a_refused_head_is_not_upgraded(served: Served) -> None:
    two = OFFER | {"Host": "h\r\nHost: i"}
    with served.connect() as sock:
        sock.sendall(request(two))
        assert head_of(sock).startswith(b"HTTP/1.1 400 ")
    assert calls == []


def test_many_upgrades_leave_the_server_well(served: Served) -> None:
    for _ in range(50):
        with served.connect() as sock:
            sock.sendall(request(OFFER))
    assert served.client.get("/request").status_code == 200
