"""start_response and write(): what they take, what they refuse, when (PEP 3333)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App
from support.asgi import Notes
from support.responses import Response
from support.wsgi import GET, TEXT, errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Serve

REFUSED = [
    (("200", []), ValueError, "the status must be like '200 OK'"),
    (("2000 OK", []), ValueError, "the status must be like '200 OK'"),
    (("2x0 OK", []), ValueError, "the status must be like '200 OK'"),
    (("100 Continue", []), ValueError, "a number from 200 to 599, not '100 Continue'"),
    (("600 Much", []), ValueError, "a number from 200 to 599"),
    (("200 OK\r\nA: b", []), ValueError, "the status must be like '200 OK'"),
    (("200 \u20ac", []), ValueError, "the status must be like '200 OK'"),
    ((b"200 OK", []), TypeError, "the status is a str, not bytes"),
    ((200, []), TypeError, "the status is a str, not int"),
    (("200 OK", ()), TypeError, "headers are a list, not tuple"),
    (("200 OK", {"a": "b"}), TypeError, "headers are a list, not dict"),
    (("200 OK", [["a", "b"]]), TypeError, "a header is a tuple of two str, not ['a', 'b']"),
    (("200 OK", [("a",)]), TypeError, "a header is a tuple of two str, not ('a',)"),
    (("200 OK", [(b"a", b"b")]), TypeError, "a header is a tuple of two str, not (b'a', b'b')"),
    (("200 OK", [("a b", "c")]), ValueError, "malformed header 'a b': 'c'"),
    (("200 OK", [("", "c")]), ValueError, "malformed header '': 'c'"),
    (("200 OK", [("a", "b\r\nc: d")]), ValueError, "malformed header 'a'"),
    (("200 OK", [("a", "\u20ac")]), ValueError, "malformed header 'a'"),
    (("200 OK", [("Content-Length", "-1")]), ValueError, "malformed header 'Content-Length'"),
    (("200 OK", [("Connection", "close")]), ValueError, "'Connection' belongs to the connection"),
    (("200 OK", [("keep-alive", "1")]), ValueError, "'keep-alive' belongs to the connection"),
    (("200 OK", [("Transfer-Encoding", "chunked")]), ValueError, "belongs to the connection"),
    (("200 OK", [("Upgrade", "x")]), ValueError, "belongs to the connection"),
    (("200 OK", [("TE", "x")]), ValueError, "belongs to the connection"),
    (("200 OK", [("Trailer", "x")]), ValueError, "belongs to the connection"),
    (("200 OK",), TypeError, "takes status, headers and, at most, exc_info, not 1"),
    (("200 OK", [], None, 1), TypeError, "not 4 arguments"),
    (("200 OK", [], 1), TypeError, "exc_info is what sys.exc_info() returns, not 1"),
    (("200 OK", [], (None, None)), TypeError, "exc_info is what sys.exc_info() returns"),
]


@pytest.mark.parametrize(("args", "kind", "text"), REFUSED)
def test_what_is_refused_can_be_said_better(
    serve: Serve, args: tuple[Any, ...], kind: type[Exception], text: str
) -> None:
    notes = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            start_response(*args)
        except Exception as exc:
            notes.add(exc)
        start_response("200 Well", [TEXT])
        return [b"better"]

    answer, _ = Response.parse(serve(app).exchange(GET))
    assert (answer.status, answer.body) == (200, b"better")
    error = notes.next()
    assert type(error) is kind
    assert text in str(error)


@pytest.mark.parametrize("line", ["200 OK", "200 Fine", "404 Gone Fishing", "299 ", "200 caf\xe9"])
def test_the_reason_is_the_apps(serve: Serve, line: str) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response(line, [TEXT])
        return [b"x"]

    wanted = line if len(line) > 4 else "299 Unknown"
    assert serve(app).exchange(GET).startswith(b"HTTP/1.1 " + wanted.encode("latin-1") + b"\r\n")


def test_headers_keep_their_order_and_repeat(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Set-Cookie", "a=1"), TEXT, ("Set-Cookie", "b=caf\xe9")])
        return [b"x"]

    answer, _ = Response.parse(serve(app).exchange(GET))
    assert [v for n, v in answer.fields if n == "set-cookie"] == ["a=1", "b=caf\xe9"]


def test_an_error_replaces_what_was_said(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [TEXT, ("X-Old", "1"), ("Content-Length", "1000")])
        try:
            raise KeyError("mine")
        except KeyError:
            start_response("500 Sorry", [TEXT], sys.exc_info())
        return [b"sorry"]

    answer, _ = Response.parse(serve(app).exchange(GET))
    assert (answer.status, answer.body, answer["content-length"]) == (500, b"sorry", "5")
    assert "x-old" not in answer


def test_an_error_comes_too_late_behind_write(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [TEXT])
        write(b"part")
        try:
            raise KeyError("mine")
        except KeyError:
            start_response("500 Sorry", [TEXT], sys.exc_info())
        return [b"never"]

    served = serve(app)
    answer, _ = Response.parse(served.exchange(GET))
    assert (answer.status, answer.body, answer.complete) == (200, b"part", False)
    served.finish()
    assert "KeyError('mine')" in errors(caplog)


def test_it_is_of_no_use_afterwards(serve: Serve) -> None:
    kept: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        kept[:] = [start_response, start_response("200 OK", [TEXT]), environ["wsgi.input"]]
        return [b"x"]

    served = serve(app)
    served.client.post("/", content=b"body")
    served.finish()
    start_response, write, body = kept
    with pytest.raises(RuntimeError, match=r"start_response\(\): the request is over"):
        start_response("200 OK", [])
    with pytest.raises(RuntimeError, match=r"write\(\): the request is over"):
        write(b"x")
    with pytest.raises(RuntimeError, match=r"wsgi.input: the request is over"):
        body.read()


def test_write_with_a_length(serve: Serve) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        write = start_response("200 OK", [TEXT, ("Content-Length", "9")])
        write(b"one")
        write(b"")
        write(b"two")
        yield b"six"

    answer, rest = Response.parse(serve(app).exchange(GET))
    assert (answer.body, answer["content-length"], rest) == (b"onetwosix", "9", b"")


def test_write_takes_bytes(serve: Serve) -> None:
    notes = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [TEXT])
        try:
            write("text")
        except TypeError as exc:
            notes.add(str(exc))
        return [b"x"]

    assert serve(app).client.get("/").text == "x"
    assert notes.next() == "the body of a response is made of bytes, not str"


def test_write_tells_that_the_client_is_gone(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    notes = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [TEXT])
        try:
            while True:
                write(b"x" * 100_000)
        except ConnectionResetError as exc:
            notes.add(exc)
            raise

    served = serve(app)
    with served.connect() as sock:
        sock.sendall(GET)
        sock.recv(1000)
    assert str(notes.next()) == "the client has gone away"
    served.finish()
    assert errors(caplog) == ""


@pytest.mark.parametrize("behind", [False, True])
def test_exc_info_may_be_named(serve: Serve, behind: bool) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 Well", [TEXT], exc_info=None)
        try:
            raise ValueError
        except ValueError:
            start_response("500 Sorry", [TEXT], exc_info=sys.exc_info())
        return [b"sorry"]

    served: Any = app
    if behind:
        served = App()
        served.mount("/", app)

        @served.middleware("http")
        async def around(request: Any, call_next: Any) -> Any:
            return await call_next(request)

    answer, _ = Response.parse(serve(served).exchange(GET))
    assert (answer.status, answer.body) == (500, b"sorry")


@pytest.mark.parametrize("names", [{"status": "200 OK"}, {"exc_info": None, "other": 1}])
def test_other_names_are_refused(serve: Serve, names: dict[str, Any]) -> None:
    notes = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with pytest.raises(TypeError) as refused:
            start_response("200 OK", [TEXT], **names)
        notes.add(str(refused.value))
        start_response("200 OK", [TEXT])
        return [b"well"]

    answer, _ = Response.parse(serve(app).exchange(GET))
    assert answer.body == b"well"
    assert "takes status, headers and, at most, exc_info" in notes.next()
