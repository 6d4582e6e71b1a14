"""The body of an answer: its pieces, its length, its end, and what breaks it."""

from __future__ import annotations

import contextvars
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi import Notes
from support.responses import Response
from support.wsgi import GET, TEXT, Result, Sized, answering, errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Serve

HEAD = GET.replace(b"GET", b"HEAD")
LENGTH_5 = ("Content-Length", "5")


def test_one_item_has_its_length(serve: Serve) -> None:
    notes = Notes()
    answer, _ = Response.parse(serve(answering(Sized(notes, b"hello"))).exchange(GET))
    assert (answer.body, answer["content-length"]) == (b"hello", "5")
    assert [notes.next(), notes.next()] == [b"hello", "closed"]


def test_two_items_of_something_sized_are_chunked(serve: Serve) -> None:
    answer, _ = Response.parse(serve(answering(Sized(Notes(), b"hel", b"lo"))).exchange(GET))
    assert (answer.body, answer["transfer-encoding"]) == (b"hello", "chunked")


@pytest.mark.parametrize("result", [[], [b""], [b"", b""], (), iter([b""])])
def test_nothing(serve: Serve, result: Any) -> None:
    answer, _ = Response.parse(serve(answering(result)).exchange(GET))
    assert (answer.status, answer.body, answer["content-length"]) == (200, b"", "0")


@pytest.mark.parametrize("size", [1, 16 * 1024, 16 * 1024 + 1, 3_000_000])
def test_sizes(serve: Serve, size: int) -> None:
    content = b"x" * size
    served = serve(answering(lambda: [content]))
    assert served.client.get("/").content == content
    served = serve(answering(lambda: [content, b"y", content]))
    answer = served.client.get("/")
    assert answer.content == content + b"y" + content
    assert answer.headers["content-length"] == str(2 * size + 1)
    served = serve(answering(lambda: (piece for piece in (content, b"y", content))))
    assert served.client.get("/").content == content + b"y" + content


def test_to_http_1_0_the_end_is_the_connections(serve: Serve) -> None:
    raw = serve(answering(lambda: iter([b"hel", b"lo"]))).exchange(b"GET / HTTP/1.0\r\n\r\n")
    head, _, body = raw.partition(b"\r\n\r\n")
    assert body == b"hello"
    assert b"transfer-encoding" not in head


@pytest.mark.parametrize(
    ("app", "field"),
    [
        (answering([b"hello"]), ("content-length", "5")),
        (answering([b"hel", b"lo"]), ("content-length", "5")),
        (answering([b"hello"], LENGTH_5), ("content-length", "5")),
        (answering([], LENGTH_5), ("content-length", "5")),
        (answering([]), ("transfer-encoding", "chunked")),
        (answering(lambda: iter([b"hel", b"lo"])), ("transfer-encoding", "chunked")),
    ],
)
def test_head_is_told_the_length_and_no_more(
    serve: Serve, caplog: pytest.LogCaptureFixture, app: Any, field: tuple[str, str]
) -> None:
    served = serve(app)
    with served.connect() as sock:
        sock.sendall(HEAD.replace(b"connection: close\r\n", b"") + HEAD)
        raw = b"".join(iter(lambda: sock.recv(65536), b""))
    assert raw.endswith(b"\r\n\r\n")
    assert raw.count(b"HTTP/1.1 200 OK\r\n") == 2
    answer, _ = Response.parse(raw, is_head=True)
    assert field in answer.fields
    served.finish()
    assert errors(caplog) == ""


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_statuses_without_a_body(
    serve: Serve, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    notes = Notes()
    app = answering(lambda: Result(notes, b"dropped"), status=status)
    served = serve(app)
    answer, rest = Response.parse(served.exchange(GET))
    assert (answer.body, rest) == (b"", b"")
    assert "transfer-encoding" not in answer
    assert [notes.next(), notes.next()] == [b"dropped", "closed"]
    served.finish()
    assert errors(caplog) == ""


@pytest.mark.parametrize(
    "result", [[b"hello!"], [b"hel", b"lo!"], [b"hello", b"!"], (b"hello", b"!", b"!")]
)
@pytest.mark.parametrize("lazy", [False, True])
def test_more_than_the_length_is_cut_off(
    serve: Serve, caplog: pytest.LogCaptureFixture, result: Any, lazy: bool
) -> None:
    served = serve(answering(lambda: iter(result) if lazy else result, LENGTH_5))
    raw = served.exchange(GET.replace(b"connection: close\r\n", b"") + GET)
    for _ in range(2):
        answer, raw = Response.parse(raw)
        assert (answer.body, answer["content-length"]) == (b"hello", "5")
    served.finish()
    message = "GET /: the response has more bytes than its Content-Length says"
    assert errors(caplog).splitlines() == [message, message]


def test_fewer_than_the_length_ends_the_connection(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(answering(lambda: iter([b"he", b"l"]), LENGTH_5))
    answer, _ = Response.parse(served.exchange(GET.replace(b"connection: close\r\n", b"")))
    assert (answer.body, answer.complete) == (b"hel", False)
    served.finish()
    assert errors(caplog) == "GET /: the response has fewer bytes than its Content-Length says"


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_is_raised_is_a_500(
    serve: Serve, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/":
            raise error
        start_response("200 OK", [TEXT])
        return [b"well"]

    served = serve(app)
    assert served.client.get("/").status_code == 500
    assert served.client.get("/again").text == "well"
    served.finish()
    assert errors(caplog).startswith("GET /: the app raised an exception")
    assert repr(error) in errors(caplog)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_length_is_no_place_to_swallow_interrupts(
    serve: Serve, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    class Interrupted(Result):
        def __len__(self) -> int:
            raise error

    notes = Notes()
    served = serve(answering(lambda: Interrupted(notes, b"hello")))
    assert served.client.get("/").status_code == 500
    served.finish()
    assert notes.next() == "closed"
    assert errors(caplog).startswith("GET /: the app raised an exception")
    assert repr(error) in errors(caplog)


def test_a_length_may_be_refused(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    class Unsized(Result):
        def __len__(self) -> int:
            raise NotImplementedError

    served = serve(answering(lambda: Unsized(Notes(), b"hello")))
    assert served.client.get("/").text == "hello"
    served.finish()
    assert errors(caplog) == ""


def test_close_may_fail(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Result):
        def close(self) -> None:
            raise ValueError("mine")

    served = serve(answering(lambda: Failing(Notes(), b"hel", b"lo")))
    assert served.client.get("/").text == "hello"
    served.finish()
    assert "close() of what the app returned raised an exception" in errors(caplog)


def test_the_answer_does_not_wait_for_close(serve: Serve) -> None:
    go = threading.Event()

    class Slow(Result):
        def close(self) -> None:
            assert go.wait(30)
            super().close()

    notes = Notes()
    served = serve(answering(lambda: Slow(notes, b"hello"), LENGTH_5))
    assert served.client.get("/").text == "hello"
    assert notes.next() == b"hello"
    go.set()
    assert notes.next() == "closed"


def test_a_slow_client_makes_the_app_wait(serve: Serve) -> None:
    made: list[int] = []
    total = 2000

    def pieces() -> Iterator[bytes]:
        for number in range(total):
            made.append(number)
            yield b"x" * 100_000

    served = serve(answering(pieces))
    with served.connect() as sock:
        sock.sendall(GET)
        assert sock.recv(1)
        assert served.client.get("/other", timeout=30).status_code == 200
        assert len(made) < total + total // 2  # the second one has made all of its own
        size = 1 + sum(map(len, iter(lambda: sock.recv(1 << 20), b"")))
    assert size > total * 100_000
    assert len(made) == 2 * total


def test_each_request_has_a_context_of_its_own(serve: Serve) -> None:
    variable = contextvars.ContextVar("variable", default=0)

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        variable.set(variable.get() + 1)
        start_response("200 OK", [TEXT])
        yield b"%d" % variable.get()

    served = serve(app, threads=1)
    assert [served.client.get("/").text for _ in range(3)] == ["1", "1", "1"]


def test_stopping_waits_for_what_is_under_way(serve: Serve) -> None:
    go, started = threading.Event(), threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [TEXT])
        yield b"first "
        started.set()
        assert go.wait(30)
        yield b"last"

    served = serve(app)
    with served.connect() as sock:
        sock.sendall(GET)
        assert started.wait(30)
        served.stop()
        go.set()
        answer, _ = Response.parse(b"".join(iter(lambda: sock.recv(65536), b"")))
    assert (answer.body, answer.complete) == (b"first last", True)


def test_stopping_at_once_wakes_those_who_wait(serve: Serve) -> None:
    notes = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [TEXT])
        if environ["PATH_INFO"] == "/read":
            notes.add("reading")
            try:
                environ["wsgi.input"].read()
            except ConnectionResetError:
                notes.add("reset")
        return Result(notes, *[b"x" * 1_000_000] * 1000)

    served = serve(app, graceful_timeout=0.1)
    with served.connect() as reader, served.connect() as writer:
        reader.sendall(
            b"POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n" + b"x" * 70_000
        )
        assert notes.next() == "reading"
        writer.sendall(GET)
        assert writer.recv(1)
        served.finish()
    assert served.thread is not None
    assert not served.thread.is_alive()
    seen = set()
    while not notes.empty():
        seen.add(notes.next())
    assert {"reset", "closed"} <= seen


def test_the_environ_is_released(serve: Serve) -> None:
    class Marker:
        pass

    dead = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        marker = Marker()
        environ["marker"] = marker
        import weakref

        weakref.finalize(marker, dead.set)
        start_response("200 OK", [TEXT])
        return [b"x"]

    serve(app).client.get("/")
    assert dead.wait(30)


def test_wsgi_errors_is_stderr(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        stream = environ["wsgi.errors"]
        stream.write("one\n")
        stream.writelines(["two\n", "three\n"])
        stream.flush()
        assert stream is sys.stderr
        start_response("200 OK", [TEXT])
        return [b"x"]

    assert serve(app).client.get("/").text == "x"
    assert "one\ntwo\nthree\n" in capsys.readouterr().err
