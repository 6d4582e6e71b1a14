"""The opening handshake (RFC 6455 section 4.2): what is an offer, and what is refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from fluvial import App, WebSocket
from support.ws_client import TEXT, Client, Frame, connect, frame

if TYPE_CHECKING:
    from conftest import Serve
    from support.serving import Served

app = App()


@app.websocket("/")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@app.get("/")
async def page() -> str:
    return "page"


@app.post("/")
async def post() -> str:
    return "posted"


@app.websocket("/protocols")
async def protocols(websocket: WebSocket) -> None:
    chosen = websocket.query_params.get("choose")
    await websocket.accept(chosen, [(b"X-Extra", b"1"), (b"Set-Cookie", b"a=b")])
    await websocket.send_json(websocket.subprotocols)


@app.websocket("/slow")
async def slow(websocket: WebSocket) -> None:
    first = await websocket.receive()
    assert first == {"type": "websocket.connect"}
    await websocket.send({"type": "websocket.accept"})
    await websocket.send_text(await websocket.receive_text())


@app.websocket("/late")
async def late(websocket: WebSocket) -> None:
    for _ in range(10):
        await asyncio.sleep(0)
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve(app)


def ask(served: Served, fields: list[str], *, without: tuple[str, ...] = ()) -> tuple[int, str]:
    with connect(served) as client:
        client.send(client.request("/", fields, without=without))
        answer = client.answer()
        return answer.status, answer.fields.get("sec-websocket-version", "")


def test_the_key_of_the_specification(served: Served) -> None:
    with connect(served) as client:
        client.key = "dGhlIHNhbXBsZSBub25jZQ=="
        answer = client.open()
        assert answer.fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert "content-length" not in answer.fields
        assert "sec-websocket-protocol" not in answer.fields
        assert "sec-websocket-extensions" not in answer.fields


@pytest.mark.parametrize(
    "fields",
    [
        ["Upgrade: WebSocket", "Connection: keep-alive, Upgrade"],
        ["Upgrade: h2c, websocket", "Connection: upgrade"],
        ["Upgrade: h2c", "Upgrade: websocket", "Connection: close", "Connection: UPGRADE"],
    ],
)
def test_offers_in_other_spellings(served: Served, fields: list[str]) -> None:
    assert ask(served, fields, without=("upgrade", "connection"))[0] == 101


@pytest.mark.parametrize(
    ("fields", "without"),
    [
        ([], ("upgrade",)),
        ([], ("connection",)),
        (["Upgrade: websockets"], ("upgrade",)),
        (["Connection: keep-alive"], ("connection",)),
        (["Content-Length: 0"], ("upgrade",)),
    ],
)
def test_what_is_no_offer_is_an_ordinary_request(
    served: Served, fields: list[str], without: tuple[str, ...]
) -> None:
    assert ask(served, fields, without=without)[0] == 200


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"POST / HTTP/1.1", 200), (b"GET / HTTP/1.0", 200), (b"GET /none HTTP/1.1", 404)],
)
def test_other_requests_are_not_upgraded(served: Served, line: bytes, status: int) -> None:
    with connect(served) as client:
        client.send(client.request().replace(b"GET / HTTP/1.1", line))
        assert client.answer().status == status


def test_a_body_makes_it_an_ordinary_request(served: Served) -> None:
    with connect(served) as client:
        client.send(client.request("/", ["Content-Length: 2"]) + b"ab")
        assert client.answer().body == b'"page"'


@pytest.mark.parametrize("version", ["12", "8", "13, 8", "013", ""])
def test_another_version_is_426_with_ours(served: Served, version: str) -> None:
    fields = [f"Sec-WebSocket-Version: {version}"]
    assert ask(served, fields, without=("version",)) == (426, "13")


def test_426_says_that_its_upgrade_is_for_this_connection(served: Served) -> None:
    with connect(served) as client:
        client.send(client.request("/", ["Sec-WebSocket-Version: 12"], without=("version",)))
        fields = client.answer().fields
    assert (fields["upgrade"], fields["connection"]) == ("websocket", "upgrade")


def test_no_version_and_two_versions(served: Served) -> None:
    assert ask(served, [], without=("version",)) == (426, "13")
    assert ask(served, ["Sec-WebSocket-Version: 13"]) == (426, "13")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZSE=",
        "dGhlIHNhbXBsZSBub25jZ!==",
        "dGhlIHNhbXBsZSBub25\tZQ==",
        "QUJD",
    ],
)
def test_a_malformed_key_is_400(served: Served, key: str) -> None:
    assert ask(served, [f"Sec-WebSocket-Key: {key}"], without=("key",))[0] == 400


def test_no_key_and_two_keys_are_400(served: Served) -> None:
    assert ask(served, [], without=("key",))[0] == 400
    assert ask(served, ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])[0] == 400


def test_a_refused_connection_goes_on(served: Served) -> None:
    with connect(served) as client:
        client.send(client.request("/", without=("key",)))
        assert client.answer().status == 400
        client.open()
        client.send_frame(TEXT, b"then")
        assert client.read() == Frame(TEXT, b"then")


@pytest.mark.parametrize("path", ["/", "/slow", "/late"])
@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_frames_may_come_with_the_handshake(served: Served, path: str, pieces: int) -> None:
    with connect(served) as client:
        data = client.request(path) + frame(TEXT, b"early")
        step = len(data) // pieces + 1
        for at in range(0, len(data), step):
            client.send(data[at : at + step])
        assert client.answer().status == 101
        assert client.read() == Frame(TEXT, b"early")


def test_subprotocols_and_fields(served: Served) -> None:
    offers = ["Sec-WebSocket-Protocol: a, b,,", "Sec-WebSocket-Protocol: c"]
    with connect(served) as client:
        answer = client.open("/protocols?choose=b", offers)
        assert answer.fields["sec-websocket-protocol"] == "b"
        assert answer.fields["x-extra"] == "1"
        assert answer.fields["set-cookie"] == "a=b"
        assert client.read().payload == b'["a","b","c"]'
    with connect(served) as client:
        assert "sec-websocket-protocol" not in client.open("/protocols").fields
        assert client.read().payload == b"[]"


def test_a_subprotocol_that_is_no_token_is_an_error(served: Served) -> None:
    with connect(served) as client:
        client.send(client.request("/protocols?choose=a%0d%0ab:c"))
        assert client.answer().status == 500


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://example.org", 101),
        ("HTTPS://Example.org", 101),
        ("https://example.org:444", 403),
        ("https://other.org", 403),
        ("null", 403),
        ("http://test", 101),
        ("https://test", 101),
        ("http://test.evil.org", 403),
        ("http://eviltest", 403),
        ("test", 403),
        ("", 403),
    ],
)
def test_origins(serve: Serve, origin: str, status: int) -> None:
    served = serve(app, ws_origins=("https://example.org", "same"))
    assert ask(served, [f"Origin: {origin}"])[0] == status


def test_without_an_origin_nothing_is_refused(serve: Serve) -> None:
    served = serve(app, ws_origins=("https://example.org",))
    assert ask(served, [])[0] == 101
    assert ask(serve(app), ["Origin: https://anywhere.example"])[0] == 101
    assert ask(serve(app, ws_origins=("*",)), ["Origin: https://anywhere.example"])[0] == 101


# A page of another site must not connect to a server on the machine of whoever looks at the page.
@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:8000", "http://evil.example", 403),
        ("127.0.0.1:8000", "https://evil.example", 403),
        ("127.0.0.1", "null", 403),
        ("[::1]:8000", "http://evil.example", 403),
        ("LOCALHOST", "http://localhost.evil.example", 403),
        ("0.0.0.0:8000", "http://evil.example", 403),
        ("app.localhost", "http://evil.example", 403),
        ("localhost", "http://127.0.0.1.evil.example", 403),
        ("localhost", "http://localhost@evil.example", 403),
        ("localhost", "http://evil.example#localhost", 403),
        ("localhost.:8000", "http://evil.example", 403),
        ("[::]:8000", "http://evil.example", 403),
        ("[::ffff:7f00:1]:8000", "http://evil.example", 403),
        ("localhost.:8000", "http://localhost.:5173", 101),
        ("localhost:8000", "http://localhost:5173", 101),
        ("localhost:8000", "http://127.0.0.1:8000", 101),
        ("127.0.0.1:8000", "http://[::1]:3000", 101),
        ("127.0.0.1:8000", "https://app.localhost", 101),
        ("example.org", "https://www.example.org", 101),
        ("127.0.0.1.example.org", "https://other.example", 101),
        ("notlocalhost", "https://other.example", 101),
    ],
)
def test_pages_of_other_sites_do_not_reach_a_local_server(
    serve: Serve, host: str, origin: str, status: int
) -> None:
    served = serve(app)
    with served.connect() as sock:
        client = Client(sock)
        asked = client.request(fields=[f"Host: {host}", f"Origin: {origin}"], without=["host"])
        sock.sendall(asked)
        assert client.answer().status == status
        asked = asked[:-2] + b"X-Forwarded-For: 192.0.2.1\r\n\r\n"  # through a proxy
    with served.connect() as sock:
        sock.sendall(asked)
        assert Client(sock).answer().status == 101
