"""The access log: its layouts, what they say of exchanges, and that nobody can forge a line."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fluvial import App, Config, WebSocket
from fluvial.responses import FileResponse, Response, StreamingResponse
from support.serving import Served, serving
from support.ws_client import BINARY, CLOSE, close_payload, frame


def make_app() -> App:
    app = App()

    @app.get("/items/{number:int}")
    async def item(number: int) -> dict[str, int]:
        return {"number": number}

    @app.get("/sync")
    def sync() -> Response:
        return Response(b"four", headers={"X-Made": 'by "me"'})

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        def pieces() -> Iterator[bytes]:
            yield b"12345"
            yield b"67890"

        return StreamingResponse(pieces())

    @app.get("/file")
    async def file() -> FileResponse:
        return FileResponse(__file__)

    @app.post("/body")
    async def body(data: list[int]) -> None:
        del data

    @app.websocket("/ws/{name}")
    async def talk(websocket: WebSocket, name: str) -> None:
        del name
        await websocket.accept()

    return app


Exchange = Callable[[Served], Any]


def logged(
    tmp_path: Path, layout: str, *exchanges: Exchange, app: Any = None, **options: Any
) -> list[str]:
    """The lines that a server writes for these exchanges, each of which has been answered."""
    path = tmp_path / "access.log"
    where = {"access_log": True, "access_log_file": str(path), "access_logformat": layout}
    with serving(app or make_app(), **(where | options)) as server:
        for exchange in exchanges:
            exchange(server)
    return path.read_bytes().decode("utf-8").splitlines()


def get(path: str, *fields: bytes, method: str = "GET") -> Exchange:
    """A request on a connection of its own."""
    head = b"".join(b"%s\r\n" % field for field in (b"Host: example.org", *fields))
    request = f"{method} {path} HTTP/1.1\r\n".encode() + head + b"Connection: close\r\n\r\n"
    return lambda server: server.exchange(request)


def one(tmp_path: Path, layout: str, exchange: Exchange, **options: Any) -> str:
    """The only line that is written for one exchange."""
    (line,) = logged(tmp_path, layout, exchange, **options)
    return line


def test_combined(tmp_path: Path) -> None:
    basic = b"Authorization: Basic " + base64.b64encode(b"bob:secret")
    line = one(
        tmp_path,
        "combined",
        get("/items/4?a=1", b"Referer: http://here/", b"User-Agent: test/1", basic),
    )
    date = r"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    assert re.fullmatch(
        rf'127\.0\.0\.1 - bob {date} "GET /items/4\?a=1 HTTP/1\.1" 200 12 "http://here/" "test/1"',
        line,
    )


def test_json(tmp_path: Path) -> None:
    fields = (b"Referer: http://here/", b"User-Agent: test/1", b"Traceparent: 00-ab-cd-01")
    found = json.loads(one(tmp_path, "json", get("/items/4?a=1", *fields)))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert re.fullmatch(r"127\.0\.0\.1:\d+", found.pop("client"))
    assert found.pop("duration") > 0
    assert found.pop("bytes_out") > 12
    assert found == {
        "level": "INFO",
        "user": None,
        "method": "GET",
        "scheme": "http",
        "host": "example.org",
        "path": "/items/4",
        "query": "a=1",
        "protocol": "HTTP/1.1",
        "route": "/items/{number:int}",
        "status": 200,
        "queue": 0,
        "bytes_in": 0,
        "referer": "http://here/",
        "user_agent": "test/1",
        "request_id": None,
        "traceparent": "00-ab-cd-01",
        "tls": None,
        "worker": None,
        "pid": os.getpid(),
    }


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("%(h)s %(l)s %(u)s", r"127\.0\.0\.1 - -"),
        ("%(client)s", r"127\.0\.0\.1:\d+"),
        ("%(r)s", r"GET /sync\?x=1 HTTP/1\.1"),
        ("%(m)s %(U)s %(q)s %(H)s", r"GET /sync x=1 HTTP/1\.1"),
        ("%(s)s %(reason)s %(B)s %(b)s", "200 OK 4 4"),
        ("%(f)s|%(a)s", r"-\|-"),
        ("%(T)s %(M)s", r"\d+ \d+"),
        ("%(D)s", r"[1-9]\d*"),
        ("%(L)s %(queue)s", r"\d+\.\d{6} \d+\.\d{6}"),
        ("%(p)s %(pid)s", r"<(\d+)> \1"),
        ("%({X-Mine}i)s %({accept}i)s", "yes -"),
        ("%({x-made}o)s %({Content-Length}o)s %({none}o)s", r"by \\x22me\\x22 4 -"),
        ("%({FLUVIAL_TEST_COLOUR}e)s %({FLUVIAL_TEST_NONE}e)s", r"r\\x22d -"),
        ("%({HTTP_X_MINE}e)s %({REQUEST_METHOD}e)s %({PATH_INFO}e)s", "yes GET /sync"),
        ("%(route)s %(scheme)s %(tls)s %(worker)s", "/sync http - -"),
        ("100 %% %(s)s", "100 % 200"),
        ("%(s)j %(route)j %(q)j %(u)j", '200 "/sync" "x=1" null'),
    ],
)
def test_atoms(tmp_path: Path, layout: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUVIAL_TEST_COLOUR", 'r"d')
    line = one(tmp_path, layout, get("/sync?x=1", b"X-Mine: yes"))
    assert re.fullmatch(expected, line), line


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (get("/items/1", method="HEAD"), "200 /items/{number:int} 0 - 0"),
        (get("/none"), "404 - 22 22 0"),
        (get("/sync", method="DELETE"), "405 - 31 31 0"),
        (get("/items/x"), "404 - 22 22 0"),
        (get("/stream"), "200 /stream 10 10 0"),
        (
            get("/file"),
            f"200 /file {Path(__file__).stat().st_size} {Path(__file__).stat().st_size} 0",
        ),
        (lambda server: server.client.post("/body", json=[1, 2]), "200 /body 4 4 5"),
        (lambda server: server.exchange(b"\x16\x03\x01"), "400 - 42 42 0"),
        (lambda server: server.exchange(b"GET /x HTTP/1.1\r\n\r\n"), "400 - 38 38 0"),
    ],
)
def test_each_kind_of_exchange_has_a_line(
    tmp_path: Path, exchange: Exchange, expected: str
) -> None:
    layout = "%(s)s %(route)s %(B)s %(b)s %(bytes_in)s"
    assert one(tmp_path, layout, exchange) == expected


def test_bytes_out_are_those_of_the_whole_response(tmp_path: Path) -> None:
    sizes: list[int] = []
    paths = ("/items/1", "/sync", "/stream", "/file", "/none")
    exchanges = [lambda server, path=path: sizes.append(len(get(path)(server))) for path in paths]
    assert list(map(int, logged(tmp_path, "%(bytes_out)s", *exchanges))) == sizes


def socket_request(path: str) -> bytes:
    """The request that opens a WebSocket."""
    key = base64.b64encode(bytes(16)).decode()
    fields = "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13"
    text = f"GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    return text.encode()


@pytest.mark.parametrize("layout", ["plain", "%(s)s %(route)s %(r)s"])
def test_a_websocket_has_one_line(tmp_path: Path, layout: str) -> None:
    line = one(tmp_path, layout, lambda server: server.exchange(socket_request("/ws/me")))
    if layout == "plain":
        assert line.endswith('"GET /ws/me HTTP/1.1" 101 Switching Protocols')
    else:
        assert line == "101 /ws/{name} GET /ws/me HTTP/1.1"


async def asgi_socket(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI app that echoes one message and closes."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    message = await receive()
    await send({"type": "websocket.send", "bytes": message["bytes"]})
    await send({"type": "websocket.close"})


def native_socket() -> App:
    app = App()

    @app.websocket("/")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_bytes(await websocket.receive_bytes())

    return app


@pytest.mark.parametrize("app", [native_socket(), asgi_socket], ids=["native", "ASGI"])
def test_the_bytes_of_a_websocket_are_counted(tmp_path: Path, app: Any) -> None:
    sent: list[int] = []
    client = frame(BINARY, b"x" * 1000) + frame(CLOSE, close_payload(1000))

    def talk(server: Served) -> None:
        with server.connect() as sock:
            sock.sendall(socket_request("/"))
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += sock.recv(1)
            sock.sendall(client)
            frames = b"".join(iter(lambda: sock.recv(65536), b""))
        sent.append(len(head) + len(frames))

    options = {} if isinstance(app, App) else {"lifespan": "off"}
    line = one(tmp_path, "%(s)s %(bytes_in)s %(bytes_out)s", talk, app=app, **options)
    assert line == f"101 {len(client)} {sent[0]}"


def waiting_app(begun: threading.Event) -> App:
    app = App()

    @app.get("/wait")
    async def wait() -> None:
        begun.set()
        await asyncio.sleep(60)

    return app


@pytest.mark.parametrize("layout", ["plain", "%(s)s %(reason)s %(route)s %(B)s %(bytes_out)s"])
def test_a_request_that_its_client_gives_up_has_a_line(tmp_path: Path, layout: str) -> None:
    begun = threading.Event()

    def leave(server: Served) -> None:
        with server.connect() as sock:
            sock.sendall(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
            assert begun.wait(30)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        while server.in_flight():
            pass

    options: dict[str, Any] = {"cancel_on_disconnect": True}
    line = one(tmp_path, layout, leave, app=waiting_app(begun), **options)
    if layout == "plain":
        assert line.endswith('"GET /wait HTTP/1.1" 499 Client Closed Request')
    else:
        assert line == "499 Client Closed Request /wait 0 0"


def test_a_request_that_the_server_gives_up_has_a_line(tmp_path: Path) -> None:
    begun = threading.Event()

    def stop(server: Served) -> None:
        with server.connect() as sock:
            sock.sendall(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
            assert begun.wait(30)
            server.stop()
            server.stop()  # at once
            assert sock.recv(100) == b""

    line = one(tmp_path, "%(s)s %(route)s", stop, app=waiting_app(begun))
    assert line == "503 /wait"


@pytest.mark.parametrize("layout", ["plain", "%(s)s %(U)s"])
def test_a_request_that_is_one_too_many_has_a_line(tmp_path: Path, layout: str) -> None:
    begun = threading.Event()

    def exceed(server: Served) -> None:
        with server.connect() as sock:
            sock.sendall(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
            assert begun.wait(30)
            request = b"GET /more HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            assert server.exchange(request).startswith(b"HTTP/1.1 503")
            server.stop()
            server.stop()  # at once

    options: dict[str, Any] = {"limits": {"in_flight": 1}}
    lines = logged(tmp_path, layout, exceed, app=waiting_app(begun), **options)
    if layout == "plain":
        assert lines[0].endswith('"GET /more HTTP/1.1" 503 Service Unavailable')
    else:
        assert lines[0] == "503 /more"


def test_requests_on_one_connection_have_a_line_each(tmp_path: Path) -> None:
    def ask(server: Served) -> None:
        request = b"GET /items/%d HTTP/1.1\r\nHost: h\r\n%s\r\n"
        server.exchange(request % (1, b"X-A: 1\r\n") + request % (2, b"Connection: close\r\n"))

    assert logged(tmp_path, "%(U)s %({x-a}i)s %({connection}o)s", ask) == [
        "/items/1 1 -",
        "/items/2 - close",
    ]


def test_a_response_that_is_cut_off_has_a_line(tmp_path: Path) -> None:
    app = App()

    @app.get("/")
    async def endless() -> StreamingResponse:
        def pieces() -> Iterator[bytes]:
            yield b"begun"
            raise ZeroDivisionError

        return StreamingResponse(pieces())

    assert one(tmp_path, "%(s)s %(B)s", get("/"), app=app) == "200 5"


def test_behind_middleware(tmp_path: Path) -> None:
    app = make_app()

    @app.middleware("http")
    async def layer(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    assert one(tmp_path, "%(s)s %(route)s %(B)s", get("/sync"), app=app) == "200 /sync 4"


def asgi_app(scope: Any, receive: Any, send: Any) -> Any:
    async def respond() -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 201, "headers": [(b"x", b"y")]})
        await send({"type": "http.response.body", "body": b"abc"})

    return respond()


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("201 Created", [("x", "y")])
    return [b"abc"]


@pytest.mark.parametrize("app", [asgi_app, wsgi_app])
def test_apps_of_other_interfaces(tmp_path: Path, app: Any) -> None:
    layout = "%(s)s %(m)s %(U)s %(B)s %({x}o)s"
    options = {"lifespan": "off"} if app is asgi_app else {}
    assert one(tmp_path, layout, get("/a/b"), app=app, **options) == "201 GET /a/b 3 y"


EVIL = b'a\tb"c\\d\xc3\xa9\xff\xc2\x9b'


def test_text_is_escaped(tmp_path: Path) -> None:
    line = one(tmp_path, "%({x}i)s %(U)s", get('/sync"\\', b"X: " + EVIL))
    assert line == r"a\x09b\x22c\x5cd\xc3\xa9\xff\xc2\x9b /sync\x22\x5c"


@pytest.mark.parametrize(
    "value", [EVIL, EVIL.replace(b"\xff", b""), b"\xe9", b'"', b"plain", b"\xc3"]
)
def test_json_is_always_valid(tmp_path: Path, value: bytes) -> None:
    try:
        expected = value.decode("utf-8")
    except UnicodeDecodeError:
        expected = value.decode("latin-1")
    layout = '{"a":"%({x}i)s","b":%({x}i)j}'
    line = one(tmp_path, layout, get("/sync", b"X: " + value))
    assert json.loads(line) == {"a": expected, "b": expected}
    (tmp_path / "access.log").unlink()
    line = one(tmp_path, "json", get("/sync", b"User-Agent: " + value))
    assert json.loads(line)["user_agent"] == expected


def test_every_byte_that_a_field_may_have(tmp_path: Path) -> None:
    bytes_ = bytes(byte for byte in range(1, 256) if byte >= 0x20 and byte != 0x7F)
    line = one(tmp_path, '{"x":%({x}i)j}', get("/sync", b"X: a" + bytes_ + b"z"))
    assert json.loads(line) == {"x": (b"a" + bytes_ + b"z").decode("latin-1")}


def test_a_basic_name_of_any_kind(tmp_path: Path) -> None:
    names = [b"Basic " + base64.b64encode(b"a" * 300), b"Basic !!", b"Basic ", b"Bearer x"]
    names.append(b"Basic " + base64.b64encode(b"a [b] c:d"))  # it stands between others unquoted
    # What the decoder skips is no part of the credentials: fewer bytes come of it.
    names += [b"Basic " + b" " * 160 + b"YWJj", b"Basic YWJj" + b"-" * 160, b"Basic YWJj\tYWI6"]
    names.append(b"Basic " + base64.b64encode(b"ann:" + b"p" * 500))
    exchanges = [get("/sync", b"Authorization: " + name) for name in names]
    lines = logged(tmp_path, "%(u)s", *exchanges)
    assert lines == ["a" * 128, "-", "-", "-", "a??b??c", "-", "-", "-", "ann"]


@pytest.mark.parametrize("level", ["warning", "error", "critical"])
def test_above_info_there_are_no_lines(tmp_path: Path, level: str) -> None:
    with serving(
        make_app(), access_log=True, access_log_file=str(tmp_path / "l"), log_level=level
    ) as server:
        assert server.client.get("/sync").text == "four"
    assert not (tmp_path / "l").exists()


@pytest.mark.parametrize("level", ["info", "debug"])
def test_the_plain_layout_in_a_file_that_is_appended_to(tmp_path: Path, level: str) -> None:
    for _ in range(2):
        lines = logged(tmp_path, "plain", get("/sync?a"), log_level=level)
    assert [re.sub(r"\d+", "N", line) for line in lines] == [
        'INFO:     N.N.N.N:N - "GET /sync?a HTTP/N.N" N OK'
    ] * 2
    assert (tmp_path / "access.log").stat().st_mode & 0o7 == 0


def test_a_file_that_cant_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "none" / "access.log"
    with (
        pytest.raises(
            Exception, match=r"can't open the access log '.*': No such file or directory"
        ),
        serving(make_app(), access_log=True, access_log_file=str(path)),
    ):
        pass


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("", "must be plain, combined, json or a format"),
        ("jsn", "must be plain, combined, json or a format"),
        ("%(x)s", r"there is no atom %\(x\)s"),
        ("%(rout)s", r"there is no atom %\(rout\)s; there are h, l, .*, worker"),
        ("%(h)d", r"'%\(h\)d' is not an atom"),
        ("%(s)s 100%", "'%' is not an atom"),
        ("%({a b}i)s", "is not an atom"),
        ("%(s)s\n%(h)s", "no control characters"),
    ],
)
def test_a_wrong_format(layout: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"Config: access_logformat.*{message}"):
        Config(access_logformat=layout)


def test_unix_sockets_have_no_address(tmp_path: Path) -> None:
    options = {"uds": str(tmp_path / "sock")}
    assert one(tmp_path, "%(h)s %(client)s %(s)s", get("/sync"), **options) == "- - 200"


def test_lines_that_nobody_reads_are_dropped_and_counted_in_json(tmp_path: Path) -> None:
    path, count = tmp_path / "fifo", 500
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(reader, True)
    options: dict[str, Any] = {"access_log_file": str(path), "access_logformat": "json"}
    with serving(make_app(), access_log=True, limits={"log_buffer": 16384}, **options) as server:
        with server.connect() as sock:
            sock.sendall(b"GET /sync HTTP/1.1\r\nHost: h\r\n\r\n" * (count - 1))
            sock.sendall(b"GET /sync HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            while sock.recv(65536):
                pass
        server.stop()
        with open(reader, "rb") as log:
            found = [json.loads(line) for line in log]
    dropped = sum(each["dropped"] for each in found if each["level"] == "WARNING")
    assert dropped > 0
    assert sum(each["level"] == "INFO" for each in found) + dropped == count
