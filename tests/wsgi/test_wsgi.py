"""WSGI apps (PEP 3333), with wsgiref's validator between them and the server where it says yes."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi import Notes
from support.responses import Response
from support.wsgi import GET, TEXT, Result, checked, errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Serve


def test_the_environ(serve: Serve) -> None:
    notes = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        notes.add((environ, threading.current_thread() is threading.main_thread()))
        start_response("200 OK", [TEXT])
        return [b""]

    served = serve(checked(app), root_path="/api")
    raw = (
        b"POST /caf%C3%A9/%2F?a=%20b HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nX-Two: 1\r\n"
        b"X-Two: 2\r\nCookie: a=1\r\nCookie: b=2\r\nX_Two: 3\r\nContent-Length: 2\r\n"
        b"Connection: close\r\n\r\nhi"
    )
    assert served.exchange(raw).startswith(b"HTTP/1.1 200 ")
    environ, in_main_thread = notes.next()
    assert not in_main_thread
    assert isinstance(served.address, tuple)
    for key, value in {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/api",
        "PATH_INFO": "/caf\xc3\xa9//",
        "QUERY_STRING": "a=%20b",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": served.address[0],
        "SERVER_PORT": str(served.address[1]),
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "a/b",
        "CONTENT_LENGTH": "2",
        "HTTP_HOST": "x",
        "HTTP_X_TWO": "1, 2",
        "HTTP_COOKIE": "a=1; b=2",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }.items():
        assert environ[key] == value, key


def test_an_upgrade_is_an_ordinary_request(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [TEXT])
        return [b"no websocket"]

    raw = (
        b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade, close\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert Response.parse(serve(app).exchange(raw))[0].body == b"no websocket"


@pytest.mark.parametrize("size", [0, 5, 100_000, 2_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_body_is_a_file(serve: Serve, size: int, chunked: bool) -> None:
    line = b"0123456789abcde\n"
    content = (line * (size // 16 + 1))[:size]

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        file = environ["wsgi.input"]
        parts = [file.read(3), file.readline(), file.readline(2), *file.readlines(40)]
        parts += [piece for _, piece in zip(range(3), file, strict=False)]
        parts += [file.read(70_000), file.read(), file.read(), file.read(1)]
        start_response("200 OK", [TEXT])
        return parts

    sent: Any = iter([content[: size // 3], content[size // 3 :]]) if chunked else content
    assert serve(app).client.post("/", content=sent).content == content


def test_a_list_is_one_answer_with_its_length(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("201 Made", [TEXT, ("X-A", "1"), ("X-A", "caf\xe9")])
        return [b"hel", b"lo"]

    answer, rest = Response.parse(serve(app).exchange(GET))
    assert (answer.status, answer.body, answer["content-length"], rest) == (201, b"hello", "5", b"")
    assert [value for name, value in answer.fields if name == "x-a"] == ["1", "caf\xe9"]


def test_an_iterable_is_chunked_and_closed(serve: Serve) -> None:
    notes = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [TEXT])
        return Result(notes, b"hel", b"", b"lo")

    answer, rest = Response.parse(serve(checked(app)).exchange(GET))
    assert (answer.body, rest) == (b"hello", b"")
    assert answer["transfer-encoding"] == "chunked"
    assert [notes.next() for _ in range(4)] == [b"hel", b"", b"lo", "closed"]


@pytest.mark.parametrize("pieces", [(b"hello",), (b"hel", b"lo")])
def test_an_iterable_with_a_length(serve: Serve, pieces: tuple[bytes, ...]) -> None:
    notes = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [TEXT, ("Content-Length", "5")])
        return Result(notes, *pieces)

    answer, rest = Response.parse(serve(checked(app)).exchange(GET))
    assert (answer.body, answer["content-length"], rest) == (b"hello", "5", b"")
    assert [notes.next() for _ in pieces] == list(pieces)
    assert notes.next() == "closed"


def test_each_piece_goes_out_when_it_is_given(serve: Serve) -> None:
    go = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [TEXT])
        yield b"first"
        assert go.wait(30)
        yield b"second"

    with serve(app).connect() as sock:
        sock.sendall(GET)
        data = b""
        while b"first" not in data:
            data += sock.recv(1000)
        go.set()
        while b"second" not in data:
            data += sock.recv(1000)


def test_write(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [TEXT])
        write(b"one ")
        write(b"two ")
        return [b"three"]

    assert serve(checked(app)).client.get("/").text == "one two three"


def test_head(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [TEXT, ("Content-Length", "5")])
        return [b"hello"]

    answer, rest = Response.parse(serve(app).exchange(GET.replace(b"GET", b"HEAD")), is_head=True)
    assert (answer["content-length"], rest) == ("5", b"")


def test_start_response_may_be_called_again_for_an_error(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        import sys

        start_response("200 OK", [TEXT])
        try:
            raise KeyError("mine")
        except KeyError:
            start_response("500 Sorry", [TEXT], sys.exc_info())
        return [b"sorry"]

    answer = serve(checked(app)).client.get("/")
    assert (answer.status_code, answer.text) == (500, "sorry")


def test_an_error_after_the_first_piece_is_raised(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        import sys

        start_response("200 OK", [TEXT])
        yield b"part"
        try:
            raise KeyError("mine")
        except KeyError:
            start_response("500 Sorry", [TEXT], sys.exc_info())
        yield b"never"

    served = serve(app)
    answer, _ = Response.parse(served.exchange(GET))
    assert (answer.body, answer.complete) == (b"part", False)
    served.finish()
    assert "KeyError('mine')" in errors(caplog)


BROKEN = [
    (lambda start: [b"x"], "before it called start_response()"),
    (lambda start: [], "without having called start_response()"),
    (lambda start: start("200 OK", []) and start("200 OK", []) and [], "was called before"),
    (lambda start: start("OK", []) and [], "with a number from 200 to 599, not 'OK'"),
    (
        lambda start: start("200 OK", [("a", 1)]) and [],
        "a header is a tuple of two str, not ('a', 1)",
    ),
    (lambda start: start("200 OK", [("a", "b\n")]) and [], "malformed header"),
    (
        lambda start: start("200 OK", []) and ["x"],
        "the body of a response is made of bytes, not str",
    ),
    (
        lambda start: start("200 OK", []) and iter(["x"]),
        "the body of a response is made of bytes, not str",
    ),
    (lambda start: start("200 OK", []) and 3, "'int' object is not iterable"),
    (lambda start: 1 / 0, "division by zero"),
    (lambda start: next(iter([])), "StopIteration()"),
    (
        lambda start: start("200 OK", [("content-length", "3")]) and [],
        "fewer bytes than its Content-Length",
    ),
]


@pytest.mark.parametrize(("result", "error"), BROKEN, ids=[error for _, error in BROKEN])
def test_broken_apps(
    serve: Serve, caplog: pytest.LogCaptureFixture, result: Any, error: str
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        return result(start_response)

    served = serve(app)
    assert served.client.get("/").status_code == 500
    served.finish()
    assert error in errors(caplog)


def test_an_iterable_that_raises_is_closed(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [TEXT])
        return Result(notes, b"part", ValueError("mine"))

    answer, _ = Response.parse(serve(app).exchange(GET))
    assert (answer.body, answer.complete) == (b"part", False)
    assert [notes.next(), notes.next()] == [b"part", "closed"]


def test_a_client_that_goes_away_ends_the_iteration(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    notes = Notes()

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x" * 100_000

        def close(self) -> None:
            notes.add("closed")

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [TEXT])
        return Endless()

    served = serve(app)
    with served.connect() as sock:
        sock.sendall(GET)
        sock.recv(1000)
    assert notes.next() == "closed"
    served.finish()
    assert errors(caplog) == ""


@pytest.mark.parametrize("real", [True, False])
def test_file_wrapper(serve: Serve, tmp_path: Path, real: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 4000)
    notes = Notes()

    class Wrapped:
        """Has no descriptor."""

        def __init__(self, file: Any) -> None:
            self.read = file.read
            self.file = file

        def close(self) -> None:
            self.file.close()
            notes.add("closed")

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        file = path.open("rb")
        file.read(10)
        start_response("200 OK", [TEXT])
        return environ["wsgi.file_wrapper"](file if real else Wrapped(file), 1000)

    assert serve(app).client.get("/").content == path.read_bytes()[10:]
    assert real or notes.next() == "closed"


def test_too_many_at_once(serve: Serve) -> None:
    go = threading.Event()
    started = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        started.add(environ["PATH_INFO"])
        assert go.wait(30)
        start_response("200 OK", [TEXT])
        return [b"done"]

    served = serve(app, threads=1, thread_queue=1)
    socks = [served.connect() for _ in range(3)]
    socks[0].sendall(GET)
    started.next()
    for sock in socks[1:]:
        sock.sendall(GET)
    refused = socks[2].recv(1000)
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in refused
    go.set()
    for sock in socks[:2]:
        assert sock.recv(1000).endswith(b"done")
    for sock in socks:
        sock.close()


def test_no_noise(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fluvial")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("204 No Content", [])
        return []

    served = serve(checked(app))
    assert served.client.get("/").status_code == 204
    served.finish()
    told = [r.getMessage() for r in caplog.records if not r.name.startswith("httpx")]
    assert [text for text in told if "running on" not in text] == []
