"""WebSockets by HTTP/2's extended CONNECT (RFC 8441): native ones and those of ASGI apps."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import zlib
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, Request, WebSocket, WebSocketDisconnect
from support import needs
from support.asgi import Notes, body, start
from support.h2_client import DATA, END_HEADERS, END_STREAM, HEADERS, Answer, H2Client
from support.h2_client import frame as h2_frame
from support.h2_tunnel import Tunnel, opened
from support.serving import serving
from support.turns import app_with_turns
from support.ws_client import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Client,
    Frame,
    close_payload,
    frame,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.certificate import Certificate
    from support.serving import Served

pytestmark = needs.HTTP2
LARGE = bytes(range(256)) * 4096  # 1 MiB
PATIENCE = 30
COUNT = 40
SETTINGS_ENABLE_CONNECT_PROTOCOL = 8


def native(notes: Notes, held: threading.Event) -> App:
    app = App()

    @app.websocket("/")
    async def echo(websocket: WebSocket) -> None:
        offered = websocket.headers.get("sec-websocket-protocol", "")
        notes.add((websocket.scope["http_version"], websocket.url.scheme))
        await websocket.accept("b" if "b" in offered else None, headers=[(b"X-Mine", b"1")])
        try:
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    notes.add((message["code"], message.get("reason")))
                    return
                if message.get("text") is not None:
                    await websocket.send_text(message["text"])
                else:
                    await websocket.send_bytes(message["bytes"])
        except WebSocketDisconnect as gone:
            notes.add((gone.code, gone.reason))

    @app.websocket("/bye")
    async def bye(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4001, "enough")

    @app.websocket("/hold")
    async def hold(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.to_thread(held.wait, PATIENCE)
        async for message in websocket.iter_bytes():
            await websocket.send_text(str(len(message)))

    @app.websocket("/send")
    async def send(websocket: WebSocket) -> None:
        await websocket.accept()
        for number in range(40):
            await websocket.send_bytes(LARGE[:50_000])
            notes.add(number)

    @app.get("/plain")
    async def plain() -> str:
        return "plain"

    return app


def by_asgi(notes: Notes, held: threading.Event) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            raise LookupError
        notes.add((scope["http_version"], scope["scheme"]))
        assert await receive() == {"type": "websocket.connect"}
        accept: dict[str, Any] = {"type": "websocket.accept", "headers": [(b"X-Mine", b"1")]}
        await send(accept | {"subprotocol": "b" if "b" in scope["subprotocols"] else None})
        while (message := await receive())["type"] == "websocket.receive":
            await send(message | {"type": "websocket.send"})
        notes.add((message["code"], message["reason"]))

    return app


def mounted(notes: Notes, held: threading.Event) -> App:
    app = App()
    app.mount("/", by_asgi(notes, held))
    return app


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def held() -> threading.Event:
    return threading.Event()


@pytest.fixture(params=["plain", "tls"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = {"http": "auto"}
    if request.param == "tls":
        certificate: Certificate = request.getfixturevalue("certificate")
        found |= {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    return found


@pytest.fixture
def served(notes: Notes, held: threading.Event) -> Iterator[Served]:
    with serving(native(notes, held), http="auto") as found:
        yield found


@pytest.fixture
def client(served: Served) -> Iterator[H2Client]:
    with H2Client.to(served) as found:
        yield found


@pytest.mark.parametrize("make", [native, by_asgi, mounted])
def test_messages(options: dict[str, Any], make: Any, notes: Notes, held: threading.Event) -> None:
    with serving(make(notes, held), **options) as served, H2Client.to(served) as client:
        tunnel = Tunnel(client, "/", ("sec-websocket-protocol", "a, b"))
        assert tunnel.answer.status == 200
        assert tunnel.answer.head["x-mine"] == "1"
        assert tunnel.answer.head["sec-websocket-protocol"] == "b"
        assert not {"upgrade", "sec-websocket-accept", "content-length"} & {*tunnel.answer.head}
        assert notes.next() == ("2", "wss" if "ssl_certfile" in options else "ws")
        socket = opened(client)
        notes.next()
        for opcode, payload in ((TEXT, "grüß".encode()), (BINARY, LARGE), (TEXT, b"")):
            socket.send_frame(opcode, payload)
            assert socket.read() == Frame(opcode, payload)
        socket.send_frame(PING, b"there?")
        assert socket.read() == Frame(PONG, b"there?")
        assert socket.close(4000).code == 4000
        assert notes.next() == (4000, "")


def test_it_is_announced(client: H2Client) -> None:
    found = client.read()
    assert found is not None
    assert bytes([0, SETTINGS_ENABLE_CONNECT_PROTOCOL, 0, 0, 0, 1]) in found.payload


def test_a_real_client(served: Served, notes: Notes) -> None:
    """The packages h2 and wsproto, with compression."""
    import h2.connection
    import h2.events
    import wsproto.connection
    import wsproto.events
    from wsproto.extensions import PerMessageDeflate

    outer = h2.connection.H2Connection()
    deflate = PerMessageDeflate()
    with served.connect() as sock:
        outer.initiate_connection()
        pairs = {":method": "CONNECT", ":protocol": "websocket", ":scheme": "http"}
        pairs |= {":path": "/", ":authority": "h", "sec-websocket-version": "13"}
        pairs |= {"sec-websocket-extensions": f"permessage-deflate; {deflate.offer()}"}
        outer.send_headers(1, [*pairs.items()])
        sock.sendall(outer.data_to_send())
        inner, got = None, []
        while got[-1:] != ["end"]:
            for event in outer.receive_data(sock.recv(65536)):
                if isinstance(event, h2.events.ResponseReceived):
                    fields = dict(event.headers)
                    assert fields[b":status"] == b"200"
                    deflate.finalize(fields[b"sec-websocket-extensions"].decode())
                    inner = wsproto.connection.Connection(
                        wsproto.connection.ConnectionType.CLIENT, extensions=[deflate]
                    )
                    message = wsproto.events.TextMessage("text " * 1000)
                    outer.send_data(1, inner.send(message))
                elif isinstance(event, h2.events.DataReceived):
                    outer.acknowledge_received_data(event.flow_controlled_length, 1)
                    assert inner is not None
                    if event.data:  # else the end of the stream
                        inner.receive_data(event.data)
                    for said in inner.events():
                        if isinstance(said, wsproto.events.CloseConnection):
                            got.append(str(said.code))
                        elif isinstance(said, wsproto.events.TextMessage):
                            got.append(said.data)
                            if said.message_finished:
                                closing = wsproto.events.CloseConnection(1000, "done")
                                outer.send_data(1, inner.send(closing))
                elif isinstance(event, h2.events.StreamEnded):
                    got.append("end")
            sock.sendall(outer.data_to_send())
    assert got[-2:] == ["1000", "end"]
    assert "".join(got[:-2]) == "text " * 1000
    assert notes.next() == ("2", "ws")
    assert notes.next() == (1000, "done")


def test_compression(client: H2Client) -> None:
    fields = ("sec-websocket-extensions", "permessage-deflate")
    tunnel = Tunnel(client, "/", fields)
    assert "permessage-deflate" in tunnel.answer.head["sec-websocket-extensions"]
    socket = Client(tunnel)
    deflater = zlib.compressobj(wbits=-15)
    for _ in range(2):
        data = deflater.compress(b"x" * 5000) + deflater.flush(zlib.Z_SYNC_FLUSH)
        socket.send_frame(TEXT, data[:-4], rsv=4)
        answer = socket.read()
        assert answer.rsv == 4
        assert len(answer.payload) < 100


@pytest.mark.parametrize(
    ("path", "protocol", "fields", "status"),
    [
        ("/", "websocket", [("origin", "https://evil.example")], 403),
        ("/", "websocket", [("sec-websocket-version", "12")], 426),
        ("/plain", "websocket", [], 404),
        ("/none", "websocket", [], 404),
        ("/", "connect-udp", [], 501),
    ],
)
def test_what_is_refused(
    notes: Notes, held: threading.Event, path: str, protocol: str, fields: Any, status: int
) -> None:
    app = native(notes, held)
    with serving(app, http="auto", ws_origins=("same",)) as served, H2Client.to(served) as client:
        tunnel = Tunnel(client, path, *fields, protocol=protocol)
        assert tunnel.answer.status == status
        assert client.answer(tunnel.stream).ended
        assert client.get("/plain").status == 200


def test_a_denial(options: dict[str, Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            raise LookupError
        if scope["path"] == "/close":
            await send({"type": "websocket.close"})
            return
        assert "websocket.http.response" in scope["extensions"]
        start = {"type": "websocket.http.response.start", "status": 401, "headers": []}
        await send(start | {"headers": [(b"x-why", b"unknown")]})
        await send({"type": "websocket.http.response.body", "body": b"who are you?"})

    with serving(app, **options) as served, H2Client.to(served) as client:
        tunnel = Tunnel(client)
        assert (tunnel.answer.status, tunnel.answer.head["x-why"]) == (401, "unknown")
        assert client.answer(tunnel.stream).body == b"who are you?"
        assert Tunnel(client, "/close").answer.status == 403


def test_the_server_closes(client: H2Client) -> None:
    socket = opened(client, "/bye")
    closing = socket.read()
    assert (closing.code, closing.reason) == (4001, "enough")
    socket.send_frame(CLOSE, close_payload(4001))
    assert socket.read_to_end() == []
    assert client.get("/plain").status == 200


@pytest.mark.parametrize("how", ["resets", "ends", "closes"])
def test_a_client_that_leaves(client: H2Client, notes: Notes, how: str) -> None:
    socket = opened(client)
    notes.next()
    if how == "resets":
        socket.sock.close()
    elif how == "ends":
        socket.sock.end()
    else:
        client.sock.close()
    assert notes.next()[0] == 1006
    if how == "ends":  # what FIN is by TCP, END_STREAM is here, in both directions (RFC 8441)
        assert socket.sock.recv(1) == b""
        assert client.get("/plain").status == 200
        assert client.answers[socket.sock.stream].reset is None  # type: ignore[attr-defined]


def test_a_message_that_is_too_large(notes: Notes, held: threading.Event) -> None:
    app = native(notes, held)
    with (
        serving(app, http="auto", limits={"ws_message": 1000}) as served,
        H2Client.to(served) as client,
    ):
        socket = opened(client)
        socket.send_frame(TEXT, b"x" * 1000)
        assert socket.read().payload == b"x" * 1000
        socket.send_frame(TEXT, b"x" * 1001)
        assert socket.read().code == 1009
        assert client.get("/plain").status == 200


def test_faults(client: H2Client) -> None:
    socket = opened(client)
    socket.send_frame(TEXT, b"unmasked", mask=None)
    assert socket.read().code == 1002
    assert socket.read_to_end() == []


def test_the_server_stops(notes: Notes, held: threading.Event) -> None:
    with serving(native(notes, held), http="auto") as served, H2Client.to(served) as client:
        socket = opened(client)
        stopping = threading.Thread(target=served.stop)
        stopping.start()
        assert socket.read().code == 1012
        socket.send_frame(CLOSE, close_payload(1012))
        assert socket.read_to_end() == []
        client.until_closed()
        stopping.join()
        assert client.goaway is not None


def test_a_handler_that_does_not_read_stops_the_client(
    client: H2Client, held: threading.Event
) -> None:
    socket = opened(client, "/hold")
    stream, sent = socket.sock.stream, 0
    while client.windows.get(stream, client.initial) > 10_100:
        socket.send_frame(BINARY, bytes(10_000))
        sent += 1
        assert sent < 1000
        client.settled()
    assert client.get("/plain").status == 200
    held.set()
    for _ in range(sent):
        assert socket.read() == Frame(TEXT, b"10000")


def test_a_client_that_does_not_read_stops_the_handler(client: H2Client, notes: Notes) -> None:
    client.window = False
    socket = opened(client, "/send")
    while client.read() is not None:
        if len(client.answers[socket.sock.stream].body) >= 65535:
            break
    client.settled()
    sent = 0
    while not notes.empty():
        sent = notes.next()
    assert sent < 39
    client.window = True
    client.grant(0, amount=65535)
    client.grant(socket.sock.stream, amount=65535)
    for _ in range(40):
        assert len(socket.read().payload) == 50_000
    assert socket.read().opcode == CLOSE


def test_pings(notes: Notes, held: threading.Event) -> None:
    """One that isn't answered ends the WebSocket alone."""
    app, limits = native(notes, held), {"ws_ping_interval": 100, "ws_ping_timeout": 100}
    with serving(app, http="auto", limits=limits) as served, H2Client.to(served) as client:
        socket = opened(client)
        notes.next()
        assert socket.read().opcode == PING
        assert notes.next()[0] == 1006
        with pytest.raises(ConnectionResetError):
            socket.read()
        assert client.get("/plain").status == 200


def test_many_on_one_connection(client: H2Client) -> None:
    sockets = [opened(client) for _ in range(20)]
    for round_ in range(3):
        for number, socket in enumerate(sockets):
            socket.send_frame(TEXT, f"{round_} {number}".encode())
        for number, socket in enumerate(sockets):
            assert socket.read().payload == f"{round_} {number}".encode()
    assert client.get("/plain").status == 200
    for socket in sockets:
        assert socket.close().code == 1000


def test_costly_bytes_leave_others_their_turn(served: Served, client: H2Client) -> None:
    socket = opened(client)
    count = 20_000
    socket.send(frame(PING) * count)
    assert served.client.get("/plain").status_code == 200
    for _ in range(count):
        assert socket.read().opcode == PONG


def test_all_of_one_connection_have_one_turn(notes: Notes) -> None:
    """Eight have each less than a turn's bytes, which lie in the kernel when the loop looks."""
    app, blocked, go = app_with_turns(notes)

    with (
        serving(app, http="auto") as served,
        H2Client.to(served) as client,
        served.connect() as other,
        served.connect() as blocker,
    ):
        sockets = [opened(client) for _ in range(8)]
        blocker.sendall(b"GET /block HTTP/1.1\r\nHost: x\r\n\r\n")
        assert blocked.wait(30)
        for socket in sockets:
            socket.send(frame(PING) * 1000 + frame(BINARY))
        other.sendall(b"GET /cheap HTTP/1.1\r\nHost: x\r\n\r\n")
        go.set()
        found = [notes.next() for _ in range(9)]
        assert found.count("costly") == 8
        assert found[-1] == "costly"
        for socket in sockets:
            assert socket.read().opcode == PONG


@pytest.mark.parametrize("way", ["close", "send, close", "close twice"])
def test_a_close_writes_the_reset_of_its_own_stream(notes: Notes, way: str) -> None:
    """The reset is one that nghttp2 submits by itself: for trailers with a control character."""
    app, there = App(), []

    @app.websocket("/")
    async def wait(websocket: WebSocket) -> None:
        await websocket.accept()
        there.append(websocket)
        with contextlib.suppress(WebSocketDisconnect):
            await websocket.receive_text()
        notes.add("over")

    @app.get("/kick")
    async def kick() -> str:
        (websocket,) = there
        for each in way.split(", "):
            for _ in range(2 if "twice" in each else 1):
                with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                    await (websocket.send_text("x") if each == "send" else websocket.close())
        return "kicked"

    with serving(app, http="auto") as served, H2Client.to(served) as client:
        socket = opened(client)
        assert client.get("/none").status == 404  # nothing is under way any more
        assert kicked(client, socket.sock.stream).body == b'"kicked"'
        assert notes.next() == "over"
        assert client.get("/none").status == 404


@pytest.mark.parametrize("kind", ["websocket", "stream"])
def test_what_an_asgi_app_sends_writes_the_reset_of_its_own_stream(notes: Notes, kind: str) -> None:
    there: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise LookupError
        if scope["path"] == "/kick":
            with contextlib.suppress(OSError, RuntimeError):
                await there[0]()
            await send(start())
            await send(body(b"kicked"))
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            there.append(lambda: send({"type": "websocket.close"}))
        else:
            await send(start())
            await send(body(b"first", more=True))
            there.append(lambda: send(body(b"second", more=True)))
        while not (await receive())["type"].endswith("disconnect"):
            pass
        notes.add("over")

    with serving(app, http="auto") as served, H2Client.to(served) as client:
        if kind == "websocket":
            stream = opened(client).sock.stream
        else:
            stream = client.request("/", "POST", end=False)
            while client.answers.get(stream, Answer()).body != b"first":
                assert client.read() is not None
        assert kicked(client, stream).body == b"kicked"
        assert notes.next() == "over"
        del there[1:]
        assert client.get("/kick").body == b"kicked"


def kicked(client: H2Client, stream: int) -> Answer:
    """Sends trailers with a control character on a stream, and in the same segment a request whose
    handler writes there; the response to that."""
    wrong = client.encoder.encode([("x-wrong", "a\x01")])
    kick = client.next_stream
    client.next_stream += 2
    flags = END_HEADERS | END_STREAM
    client.send(
        h2_frame(HEADERS, flags, stream, bytes(wrong))
        + h2_frame(HEADERS, flags, kick, client.head("/kick"))
    )
    return client.answer(kick)


def test_a_connect_to_a_path_without_a_websocket_calls_no_handler(notes: Notes) -> None:
    app = App()

    @app.get("/plain")
    async def plain() -> str:
        notes.add("called")
        return "plain"

    with serving(app, http="auto") as served, H2Client.to(served) as client:
        assert Tunnel(client, "/plain").answer.status == 404
        notes.add("after it")
        assert notes.next() == "after it"
        assert client.get("/plain").status == 200


@pytest.mark.parametrize("malformed", ["head", "body"])
def test_a_write_between_a_malformed_request_and_its_reset(notes: Notes, malformed: str) -> None:
    """A WebSocket that goes on reading writes a pong: nghttp2 closes the request's stream only
    then, when the request is among those that may go on."""
    app = App()
    waiting: list[WebSocket] = []
    held = threading.Event()

    @app.websocket("/")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        waiting.append(websocket)
        await asyncio.to_thread(held.wait, PATIENCE)

    @app.get("/read")
    async def read() -> None:
        for _ in range(COUNT):
            await waiting[0].receive()

    @app.post("/x")
    async def post(request: Request) -> None:
        notes.add(await request.body())

    with serving(app, http="auto") as served, H2Client.to(served) as client:
        ws = opened(client)
        for _ in range(COUNT):
            ws.send_frame(BINARY, bytes(250))
        ws.send_frame(PING, b"ping")
        length = ("content-length", "19")
        posted = client.request("/x", "POST", length, end=False) if malformed == "body" else 0
        client.settled()
        read_ = client.next_stream
        client.next_stream += 4
        data = h2_frame(HEADERS, END_HEADERS | END_STREAM, read_, client.head("/read"))
        if posted:
            data += h2_frame(DATA, END_STREAM, posted, b"few")
        else:
            posted = read_ + 2
            head = client.head("/x", "POST", length)
            data += h2_frame(HEADERS, END_HEADERS | END_STREAM, posted, head)
        client.send(data)
        assert ws.read() == Frame(PONG, b"ping")
        while client.answers.get(posted, Answer()).reset is None:
            assert client.read() is not None
        assert not client.answers[posted].heads
        assert notes.empty()
        assert client.get("/nowhere").status == 404
        held.set()
