"""Objects that change what contains them while the core looks at them: nothing is used afterwards.

These tests say what comes out; the sanitizer's build says whether freed memory was read for it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fluvial import App, Loop, Request, Response
from support.asgi import Notes, body, start
from support.responses import Response as Answer
from support.ws_client import Client

GET = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


class Header:
    """A pair of bytes that empties its list when it is iterated over."""

    def __init__(self, owner: list[Any], name: bytes = b"x-a") -> None:
        self.owner = owner
        self.name = name

    def __iter__(self) -> Iterator[bytes]:
        self.owner.clear()
        return iter((self.name + b"", bytes(bytearray(b"value"))))


class Named(bytes):
    """A name that empties lists when an error message wants its repr()."""

    owners: list[Any]

    def __repr__(self) -> str:
        for owner in self.owners:
            owner.clear()
        return "Named"


class Text(str):
    """The same for WSGI."""

    owners: list[Any]

    def __repr__(self) -> str:
        for owner in self.owners:
            owner.clear()
        return "Text"


def self_clearing() -> list[Any]:
    headers: list[Any] = []
    headers += [Header(headers), Header(headers, b"x-b"), (b"x-c", b"d")]
    return headers


def malformed() -> list[Any]:
    headers: list[Any] = []
    name = Named(b"x y")
    pair = [name, bytes(bytearray(b"value"))]
    name.owners = [headers, pair]
    headers += [pair, (b"x-c", b"d")]
    del name, pair
    return headers


def no_bytes() -> list[Any]:
    headers: list[Any] = []

    class Odd:
        def __repr__(self) -> str:
            headers.clear()
            pair.clear()
            return "Odd"

    pair: list[Any] = [Odd(), b"x"]
    headers.append(pair)
    return headers


def lifespanless(handler: Callable[[Any, Any, Any], Any]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise LookupError
        await handler(scope, receive, send)

    return app


def test_asgi_headers_that_clear_their_list(serve) -> None:
    async def handler(scope: Any, receive: Any, send: Any) -> None:
        await send({**start(), "headers": self_clearing()})
        await send(body(b"fine"))

    answer = serve(lifespanless(handler)).client.get("/")
    assert (answer.headers["x-a"], "x-b" in answer.headers, answer.text) == ("value", False, "fine")


@pytest.mark.parametrize(("make", "error"), [(malformed, ValueError), (no_bytes, TypeError)])
def test_asgi_headers_that_are_refused(serve, make: Any, error: type[Exception]) -> None:
    async def handler(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(error):
            await send({**start(), "headers": make()})
        await send(start())
        await send(body(b"fine"))

    assert serve(lifespanless(handler)).client.get("/").text == "fine"


def test_asgi_trailers_and_early_hints(serve) -> None:
    async def handler(scope: Any, receive: Any, send: Any) -> None:
        link = Named(b"a\nb")
        links: list[Any] = [link]
        link.owners = [links]
        del link
        with pytest.raises(ValueError, match="malformed link Named"):
            await send({"type": "http.response.early_hint", "links": links})
        await send(start(trailers=True))
        await send(body(b"fine"))
        await send({"type": "http.response.trailers", "headers": self_clearing()})

    request = GET.replace(b"host", b"te: trailers\r\nhost")
    wire = serve(lifespanless(handler)).exchange(request)
    assert b"fine" in wire
    assert b"x-a: value" in wire


def test_links_that_end_the_request(serve) -> None:
    """While another of the app's tasks sends them."""
    notes = Notes()

    async def handler(scope: Any, receive: Any, send: Any) -> None:
        request = asyncio.current_task()
        assert request is not None

        class Links:
            def __iter__(self) -> Iterator[bytes]:
                request.get_coro().close()  # type: ignore[union-attr]
                return iter([b"</a>"])

        async def hint() -> None:
            try:
                await send({"type": "http.response.early_hint", "links": Links()})
            except RuntimeError as exc:
                notes.add(str(exc))
            request.cancel()

        other = asyncio.create_task(hint())
        await asyncio.Event().wait()
        del other

    assert b"500" in serve(lifespanless(handler)).exchange(GET)
    assert "unexpected ASGI message" in notes.next()


def test_asgi_websocket_headers(serve) -> None:
    async def handler(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        with pytest.raises(ValueError, match="malformed header Named"):
            await send({"type": "websocket.accept", "headers": malformed()})
        await send({"type": "websocket.accept", "headers": self_clearing()})

    with Client(serve(lifespanless(handler)).connect()) as client:
        assert client.open("/").fields["x-a"] == "value"


def test_a_message_that_sends_another_while_it_is_read(serve) -> None:
    notes = Notes()

    class Sends:
        def __init__(self, send: Any, *messages: Any) -> None:
            self.send, self.messages = send, messages

        def run(self) -> None:
            for message in self.messages:
                self.send(message)

        def __iter__(self) -> Iterator[bytes]:
            self.run()
            return iter((b"x-outer", b"1"))

        def __bool__(self) -> bool:
            self.run()
            return False

    async def handler(scope: Any, receive: Any, send: Any) -> None:
        inner = start((b"x-inner", b"1"))
        with pytest.raises(RuntimeError, match="unexpected ASGI message"):
            await send({**start(), "headers": [(b"x-first", b"1"), Sends(send, inner)]})
        whole = body(b"inner")
        with pytest.raises(RuntimeError, match="the response is complete"):
            await send({**body(b"outer"), "more_body": Sends(send, whole)})
        notes.add("refused")

    answer = serve(lifespanless(handler)).client.get("/")
    assert (answer.text, answer.headers["x-inner"]) == ("inner", "1")
    assert not {"x-outer", "x-first"} & set(answer.headers)
    assert notes.next() == "refused"


def test_headers_of_a_response(serve) -> None:
    app = App()
    found = Notes()

    @app.get("/{kind}")
    async def handler(kind: str) -> Response:
        response = Response(b"fine")
        name = Named(b"x y")
        name.owners = [response.raw_headers]
        response.raw_headers.append((name, bytes(bytearray(b"value"))))
        return response

    @app.exception_handler(Exception)
    async def failed(request: Request, exc: Exception) -> Response:
        found.add(str(exc))
        return Response(b"refused")

    assert serve(app).client.get("/x").text == "refused"
    assert found.next() == "malformed header field Named: b'value'"


def test_headers_that_another_server_gives() -> None:
    app = App()

    @app.get("/")
    async def handler(request: Request) -> Any:
        return dict(request.headers)

    async def main(headers: Any) -> list[Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "http_version": "1.1",
            "headers": headers,
        }
        await app(scope, receive, send)
        return sent

    sent = asyncio.run(main(self_clearing()))
    assert sent[1]["body"] == b'{"x-a":"value"}'


# ---- WSGI --------------------------------------------------------------------------------------


def test_wsgi_headers(serve) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        headers: list[Any] = []
        name = Text("x y")
        name.owners = [headers]
        headers.append((name, "".join(["val", "ue"])))
        del name
        with pytest.raises(ValueError, match="malformed header Text: 'value'"):
            start_response("200 OK", headers)
        start_response("200 OK", [])
        return [b"fine"]

    assert serve(app).client.get("/").text == "fine"


def test_wsgi_pieces_that_a_log_handler_clears(serve, caplog: pytest.LogCaptureFixture) -> None:
    pieces: list[Any] = []

    class Clear(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if "more bytes" in record.getMessage():
                pieces.clear()
            return True

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "250")])
        pieces.extend(bytes([65 + number % 26]) * 100 for number in range(50))
        return pieces

    look = Clear()
    caplog.handler.addFilter(look)
    try:
        answer, _ = Answer.parse(serve(app).exchange(GET))
    finally:
        caplog.handler.removeFilter(look)
    assert answer.body == b"A" * 100 + b"B" * 100 + b"C" * 50
    assert pieces == []


# ---- The loop's transports ---------------------------------------------------------------------


class Name(str):
    """A key that drops the dict in which it is looked up."""

    action: Callable[[], Any]
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        with contextlib.suppress(Exception):
            self.action()
        return False


def test_a_name_that_closes_the_transport_while_it_is_compared() -> None:
    async def main() -> Any:
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            name = Name("nothing")
            name.action = writer.transport.abort
            found = writer.get_extra_info(name, "none")
            writer.close()
            return found

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(main()) == "none"
