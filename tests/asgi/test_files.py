"""http.response.pathsend and zerocopysend: files that the kernel copies, and others."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from support.asgi import Notes, answering, body, http_only, start
from support.responses import Response, read_all
from support.wsgi import errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Serve

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
LAST_HEAD = LAST.replace(b"GET", b"HEAD")
GET_1_0 = b"GET / HTTP/1.0\r\n\r\n"
LARGE = 3_000_000
HUGE = 64 * 1024 * 1024  # more than sockets hold


def length(size: int) -> tuple[bytes, bytes]:
    return (b"content-length", b"%d" % size)


def path_message(path: Path | str) -> dict[str, Any]:
    return {"type": "http.response.pathsend", "path": str(path)}


def part(file: Any, *, more: bool = False, **part: int) -> dict[str, Any]:
    return {"type": "http.response.zerocopysend", "file": file, "more_body": more, **part}


@pytest.fixture
def make(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a file of so many bytes, which differ unless it is huge."""

    def make(size: int) -> Path:
        path = tmp_path / f"{size}"
        if size < HUGE:
            path.write_bytes(os.urandom(size))
        else:
            with path.open("wb") as file:
                file.truncate(size)
        return path

    return make


@pytest.fixture
def only_small_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads more of a file than is small fails."""
    read, pread = os.read, os.pread

    def small(size: int) -> int:
        assert size <= 64 * 1024, "the file was read"
        return size

    monkeypatch.setattr(os, "read", lambda fd, size: read(fd, small(size)))
    monkeypatch.setattr(os, "pread", lambda fd, size, at: pread(fd, small(size), at))


# ---- What arrives ---------------------------------------------------------------------------


@pytest.mark.usefixtures("only_small_reads")
@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, LARGE])
@pytest.mark.parametrize("stated", [True, False])
def test_files_by_path(serve: Serve, make: Callable[[int], Path], size: int, stated: bool) -> None:
    path = make(size)
    fields = [length(size)] if stated else []
    served = serve(answering(start(*fields), path_message(path)))
    raw = served.exchange(GET + GET + LAST)
    for _ in range(3):
        answer, raw = Response.parse(raw)
        assert answer.body == path.read_bytes()
        assert answer["content-length"] == str(size)
    assert raw == b""
    answer, _ = Response.parse(served.exchange(GET_1_0))
    assert (answer["content-length"], answer.body) == (str(size), path.read_bytes())


@pytest.mark.usefixtures("only_small_reads")
def test_over_a_unix_socket(serve: Serve, make: Callable[[int], Path], tmp_path: Path) -> None:
    path = make(LARGE)
    served = serve(answering(start(), path_message(path)), uds=str(tmp_path / "socket"))
    assert Response.parse(served.exchange(LAST))[0].body == path.read_bytes()


@pytest.mark.usefixtures("only_small_reads")
@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("status", [200, 204, 304])
def test_answers_without_a_body(
    serve: Serve, make: Callable[[int], Path], size: int, status: int
) -> None:
    message = path_message(make(size))
    raw = serve(answering(start(status=status), message)).exchange(
        GET.replace(b"GET", b"HEAD") + (LAST_HEAD if status == 200 else LAST)
    )
    for _ in range(2):
        answer, raw = Response.parse(raw, is_head=True)
        assert answer.status == status
        assert ("content-length" in answer) == (status == 200)
        assert status != 200 or answer["content-length"] == str(size)
    assert raw == b""


@pytest.mark.usefixtures("only_small_reads")
def test_a_part_of_a_file(serve: Serve, make: Callable[[int], Path]) -> None:
    path = make(LARGE)
    with path.open("rb") as file:
        file.seek(7)
        message = part(file.fileno(), offset=100_001, count=1_000_000)
        answer, _ = Response.parse(serve(answering(start(), message)).exchange(LAST))
        assert file.tell() == 7
    assert answer["content-length"] == "1000000"
    assert answer.body == path.read_bytes()[100_001:1_100_001]


@pytest.mark.parametrize("how", ["known length", "until close", "chunks"])
def test_parts_in_turn(serve: Serve, make: Callable[[int], Path], how: str) -> None:
    """Without an offset each goes on where the file stands, however it is sent."""
    path = make(LARGE)
    wanted = b"<" + path.read_bytes()[3:400_003] + path.read_bytes()[10:] + b">"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with path.open("rb", buffering=0) as opened:
            opened.seek(10)
            await send(start(*([length(len(wanted))] if how == "known length" else [])))
            await send(body(b"<", more=True))
            await send(part(opened.fileno(), more=True, offset=3, count=400_000))
            await send(part(opened, more=True, count=1_000_000))
            await send(part(opened, more=True, count=1000))
            await send(part(opened.fileno(), more=True))
            assert opened.tell() == LARGE
            await send(part(opened, more=True))
            await send(body(b">"))

    request = GET_1_0 if how == "until close" else LAST
    answer, _ = Response.parse(serve(http_only(app)).exchange(request))
    assert answer.complete
    assert answer.body == wanted


@pytest.mark.usefixtures("only_small_reads")
@pytest.mark.parametrize("request_", [LAST, GET_1_0])
def test_a_part_that_more_follows(
    serve: Serve, make: Callable[[int], Path], request_: bytes
) -> None:
    path = make(LARGE)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = [length(LARGE + 5)] if request_ == LAST else []
        await send(start(*fields))
        with path.open("rb") as file:
            await send(part(file, more=True))
        await send(body(b"after"))

    answer, rest = Response.parse(serve(http_only(app)).exchange(request_))
    assert (answer.body, rest) == (path.read_bytes() + b"after", b"")


# ---- What is no plain file ------------------------------------------------------------------


def test_what_has_no_size_is_read(serve: Serve, tmp_path: Path) -> None:
    answer, _ = Response.parse(
        serve(answering(start(), path_message("/proc/cpuinfo"))).exchange(LAST)
    )
    assert answer.complete
    assert b"processor" in answer.body


def test_a_pipe_is_read(serve: Serve, tmp_path: Path) -> None:
    path, content = tmp_path / "pipe", os.urandom(LARGE)
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(content,))
    writer.start()
    answer, _ = Response.parse(serve(answering(start(), path_message(path))).exchange(LAST))
    writer.join()
    assert answer.complete
    assert answer.body == content


def test_what_cannot_be_read(serve: Serve, tmp_path: Path) -> None:
    for message in (path_message(tmp_path), path_message(tmp_path / "none"), part(1000)):
        assert serve(answering(start(), message)).client.get("/").status_code == 500


# ---- Lengths that don't fit -----------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, LARGE])
@pytest.mark.parametrize(("off", "problem"), [(1, "fewer"), (-1, "more")])
def test_another_length_than_stated(
    serve: Serve,
    make: Callable[[int], Path],
    caplog: pytest.LogCaptureFixture,
    size: int,
    off: int,
    problem: str,
) -> None:
    served = serve(answering(start(length(size + off)), path_message(make(size))))
    answer, _ = Response.parse(served.exchange(LAST))
    assert answer.status == 500
    assert f"{problem} bytes than its Content-Length says" in errors(caplog)


@pytest.mark.parametrize("size", [1000, LARGE])
@pytest.mark.parametrize(("off", "problem"), [(1, "fewer"), (-1, "more")])
def test_another_length_than_stated_in_the_end(
    serve: Serve,
    make: Callable[[int], Path],
    caplog: pytest.LogCaptureFixture,
    size: int,
    off: int,
    problem: str,
) -> None:
    path = make(size)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(length(4 + size + off)))
        await send(body(b"head", more=True))
        with path.open("rb") as file:
            await send(part(file))

    served = serve(http_only(app))
    answer, _ = Response.parse(served.exchange(LAST))
    assert not answer.complete
    served.finish()
    assert f"{problem} bytes than its Content-Length says" in errors(caplog)


def test_a_file_that_becomes_shorter(
    serve: Serve, make: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = make(HUGE)
    served = serve(answering(start(), path_message(path)))
    with served.connect() as sock:
        sock.sendall(GET)
        data = sock.recv(1000)
        os.truncate(path, 1000)
        rest, _ = read_all(sock)
    answer, _ = Response.parse(data + rest)
    assert not answer.complete
    assert answer["content-length"] == str(HUGE)
    served.finish()
    assert "fewer bytes than its Content-Length says" in errors(caplog)


# ---- Clients that are slow, or go -----------------------------------------------------------


def small_buffer(sock: socket.socket) -> socket.socket:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return sock


def test_clients_that_do_not_read_hold_up_nobody(serve: Serve, make: Callable[[int], Path]) -> None:
    """Also not those who want files, of which many more are sent than there are threads."""
    path = make(HUGE)
    served = serve(answering(start(), path_message(path)))
    socks = [served.connect() for _ in range(50)]
    try:
        for sock in socks:
            sock.sendall(LAST)
        heads = [sock.recv(10) for sock in socks]
        assert set(heads) == {b"HTTP/1.1 2"}
        assert len(served.client.get("/").content) == HUGE
        received = 10 + sum(map(len, iter(lambda: socks[-1].recv(1 << 20), b"")))
        assert received > HUGE
    finally:
        for sock in socks:
            sock.close()


def test_a_client_that_sends_no_more_gets_the_file(
    serve: Serve, make: Callable[[int], Path]
) -> None:
    served = serve(answering(start(), path_message(make(HUGE))))
    with served.connect() as sock:
        sock.sendall(GET)
        sock.shutdown(socket.SHUT_WR)
        assert sum(map(len, iter(lambda: sock.recv(1 << 20), b""))) > HUGE


def noting(notes: Notes, *messages: Any) -> Any:
    """An app that notes what the last of the messages raises."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            for message in messages:
                await send(message)
        except BaseException as exc:
            notes.add(exc)
            raise
        notes.add("sent")

    return http_only(app)


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_goes(
    serve: Serve, make: Callable[[int], Path], caplog: pytest.LogCaptureFixture, reset: bool
) -> None:
    notes = Notes()
    served = serve(noting(notes, path_message(make(HUGE))))
    with served.connect() as sock:
        sock.sendall(GET)
        assert sock.recv(1000)
        assert notes.empty()
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    exc = notes.next()
    assert isinstance(exc, ConnectionResetError)
    assert str(exc) == "the client has gone away"
    served.finish()
    assert errors(caplog) == ""


def test_a_client_that_takes_nothing(serve: Serve, make: Callable[[int], Path]) -> None:
    notes = Notes()
    app = noting(notes, path_message(make(HUGE)))
    with serve(app, limits={"write_timeout": 100}).connect() as sock:
        small_buffer(sock).sendall(GET)
        assert isinstance(notes.next(), OSError)


def test_stopping_does_not_wait_for_a_client_that_does_not_read(
    serve: Serve, make: Callable[[int], Path]
) -> None:
    notes = Notes()
    served = serve(noting(notes, path_message(make(HUGE))), graceful_timeout=0)
    with served.connect() as sock:
        small_buffer(sock).sendall(GET)
        assert sock.recv(10)
        served.finish()
        assert served.thread is not None
        assert not served.thread.is_alive()
        assert isinstance(notes.next(), BaseException)


# ---- Apps that do something else meanwhile --------------------------------------------------


def test_other_messages_while_a_file_is_sent(serve: Serve, make: Callable[[int], Path]) -> None:
    path, notes = make(HUGE), Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with path.open("rb") as file:
            await send(start(length(HUGE + 4)))
            sending = asyncio.create_task(send(part(file, more=True)))
            await asyncio.to_thread(notes.next)
            for message in (body(b"x", more=True), part(file, count=100_000, more=True)):
                with pytest.raises(RuntimeError, match="a file is still being sent"):
                    await send(message)
            notes.add("refused")
            await sending
        await send(body(b"last"))

    with serve(http_only(app)).connect() as sock:
        sock.sendall(LAST)
        received = len(sock.recv(100))
        notes.add("go on")
        while piece := sock.recv(1 << 20):
            received += len(piece)
            end = piece[-4:]
    assert received > HUGE
    assert end == b"last"
    assert notes.next() == "refused"


def test_a_send_that_is_cancelled_cuts_the_answer_off(
    serve: Serve, make: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    path, notes = make(HUGE), Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        with path.open("rb") as file:
            sending = asyncio.ensure_future(send(part(file)))
            await asyncio.to_thread(notes.next)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            with pytest.raises(OSError, match="gone"):
                await send(body(b"more"))

    served = serve(http_only(app))
    with served.connect() as sock:
        sock.sendall(GET)
        assert sock.recv(100)
        notes.add("go on")
        rest, closed = read_all(sock)
    assert closed
    assert len(rest) < HUGE
    served.finish()
    assert errors(caplog) == ""


class Compressing:
    """Middleware as there are many: it knows what the specification has without extensions."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def compress(message: Any) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": message["body"].swapcase()}
            elif message["type"] != "http.response.start":
                raise AssertionError(message["type"])
            await send(message)

        await self.app(scope, receive, compress if scope["type"] == "http" else send)


@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize("middleware", ["unknowing", "gzip"])
def test_files_of_starlette_below_middleware(
    serve: Serve, tmp_path: Path, middleware: str, mounted: bool
) -> None:
    """What middleware does not know is not offered to what it stands around."""
    content = b"Text " * 40_000
    (tmp_path / "a.txt").write_bytes(content)
    files: Any = StaticFiles(directory=tmp_path)
    app: Any = Compressing(files) if middleware == "unknowing" else GZipMiddleware(files)
    if mounted:
        inner, app = app, App()
        app.mount("/", inner)
    answer = serve(app).client.get("/a.txt", headers={"accept-encoding": "gzip"})
    assert answer.status_code == 200
    if middleware == "unknowing":
        assert answer.content == content.swapcase()
    else:
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.content == content


@pytest.mark.parametrize("asked", [False, True])
def test_files_of_starlette(serve: Serve, tmp_path: Path, asked: bool) -> None:
    (tmp_path / "a.txt").write_bytes(b"Text " * 40_000)
    files = StaticFiles(directory=tmp_path)
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Any) -> None:
            notes.add(message["type"])
            await send(message)

        await files(scope, receive, note)

    answer = serve(http_only(app), asgi_extensions=asked).client.get("/a.txt")
    assert answer.content == b"Text " * 40_000
    assert notes.next() == "http.response.start"
    assert notes.next() == ("http.response.pathsend" if asked else "http.response.body")
