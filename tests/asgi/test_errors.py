"""Apps that break the rules: the client gets 500 or a closed connection, the log says why, and
the server goes on."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, Request
from support.asgi import Notes, answering, body, http_only, start
from support.responses import Response

if TYPE_CHECKING:
    from conftest import Serve

GET = b"GET /where HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
LENGTH_5 = (b"content-length", b"5")


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


def raised(caplog: pytest.LogCaptureFixture) -> str:
    """The exception of the one error that was logged."""
    (record,) = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert record.getMessage() == "GET /where: the app raised an exception"
    assert record.exc_info is not None
    return repr(record.exc_info[1])


ORDER = [
    ([body()], "unexpected ASGI message 'http.response.body': expected http.response.start"),
    ([start(), start()], "'http.response.start': expected http.response.body"),
    ([{"type": "nonsense"}], "'nonsense': expected http.response.start"),
    ([start(), {"type": "nonsense"}], "'nonsense': expected http.response.body"),
    ([{"type": "http.response.pathsend", "path": "/"}], "expected http.response.start"),
    ([{"type": "http.response.debug", "info": {}}], "expected http.response.start"),
    ([start(), {"type": "http.response.early_hint"}], "expected http.response.body"),
    ([start(), {"type": "http.response.trailers"}], "expected http.response.body"),
    (["text"], "an ASGI message is a dict with a 'type', not 'text'"),
    ([{}], "an ASGI message is a dict with a 'type', not {}"),
    ([{"type": 1}], "an ASGI message is a dict with a 'type'"),
    ([{"type": "http.response.start"}], "needs an integer 'status', not None"),
    ([start(status="200")], "needs an integer 'status', not '200'"),  # type: ignore[arg-type]
    ([start(status=99)], "'status' must be 200 to 599, not 99"),
    ([start(status=10**30)], "'status' must be 200 to 599"),
    ([{**start(), "headers": 1}], "'headers' must be iterable"),
    ([{**start(), "headers": [1]}], "a header is a pair of bytes"),
    ([{**start(), "headers": [(b"a",)]}], "a header is a pair of bytes"),
    ([{**start(), "headers": [("a", b"b")]}], "header names and values are bytes, not 'a'"),
    ([start((b"a b", b""))], "malformed header b'a b'"),
    ([start((b"a", b"b\r\nc: d"))], "malformed header b'a'"),
    ([start((b"content-length", b"x"))], "malformed header b'content-length'"),
    ([start(), {"type": "http.response.body", "body": "text"}], "'body' must be bytes, not str"),
    ([start(LENGTH_5), body(b"1234")], "fewer bytes than its Content-Length"),
    ([start(LENGTH_5), body(b"123456")], "more bytes than its Content-Length"),
]


@pytest.mark.parametrize(("messages", "message"), ORDER, ids=[text for _, text in ORDER])
def test_wrong_messages_before_anything_is_out(
    serve: Serve, caplog: pytest.LogCaptureFixture, messages: list[Any], message: str
) -> None:
    answer, rest = Response.parse(serve(answering(*messages)).exchange(GET))
    assert (answer.status, answer.body, rest) == (500, b'{"detail":"Internal Server Error"}', b"")
    assert message in raised(caplog).replace('\\"', '"').replace("\\'", "'")


BODIES = [7, True, [1], 1.5, None, "text", {"a": 1}]
HEADERS = [[(b"a", 7)], [(7, b"a")], [(b"a", [65])], [(b"a", "b")], [b"ab"], 7]


def behind_middleware(app: Any) -> App:
    """The app as a mount that C doesn't call."""

    outer = App(openapi_url=None)

    @outer.middleware("http")
    async def layer(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    outer.mount("/where", app)
    return outer


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize(
    "messages",
    [
        *([start(), {"type": "http.response.body", "body": each}] for each in BODIES),
        *([{**start(), "headers": each}, body(b"x")] for each in HEADERS),
        *([start(status=each), body(b"x")] for each in (None, "200", 99, 600)),  # type: ignore[arg-type]
    ],
)
def test_values_that_are_no_bytes(serve: Serve, messages: list[Any], behind: bool) -> None:
    app = answering(*messages)
    answer, _ = Response.parse(serve(behind_middleware(app) if behind else app).exchange(GET))
    assert answer.status == 500
    assert b"\0" not in answer.body


MIDDLE = [
    ([start(), body(b"a", more=True), start()], "expected http.response.body"),
    ([start(), body(b"a", more=True), {"type": "nonsense"}], "expected http.response.body"),
    ([start(LENGTH_5), body(b"a", more=True), body(b"12345")], "more bytes than"),
    ([start(LENGTH_5), body(b"a", more=True), body(b"123")], "fewer bytes than"),
    ([start(trailers=True), body(b"a"), body()], "expected http.response.trailers"),
]


@pytest.mark.parametrize(("messages", "message"), MIDDLE)
def test_wrong_messages_in_the_middle_cut_the_answer_off(
    serve: Serve, caplog: pytest.LogCaptureFixture, messages: list[Any], message: str
) -> None:
    served = serve(answering(*messages))
    answer, _ = Response.parse(served.exchange(GET))
    assert (answer.status, answer.complete) == (200, False)
    served.finish()
    assert message in raised(caplog)


@pytest.mark.parametrize("message", [start(), body(), {"type": "nonsense"}])
def test_messages_after_the_end(
    serve: Serve, caplog: pytest.LogCaptureFixture, message: Any
) -> None:
    served = serve(answering(start(), body(b"all"), message))
    answer, rest = Response.parse(served.exchange(GET))
    assert (answer.status, answer.body, rest) == (200, b"all", b"")
    served.finish()
    assert "the response is complete" in raised(caplog)


def test_an_app_that_goes_on_after_a_wrong_message(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for wrong in (body(), start((b"a", b"\n")), start(status=1)):
            with pytest.raises((RuntimeError, ValueError)):
                await send(wrong)
        await send(start((b"x-right", b"1")))
        with pytest.raises(RuntimeError):
            await send(start())
        with pytest.raises(TypeError):
            await send(body("text"))  # type: ignore[arg-type]
        await send(body(b"well"))

    response = serve(http_only(app)).client.get("/")
    assert (response.text, response.headers["x-right"]) == ("well", "1")
    assert "a" not in response.headers


@pytest.mark.parametrize("suspends", [False, True])
@pytest.mark.parametrize(
    "error", [ValueError("mine"), SystemExit(4), StopIteration(), StopAsyncIteration()]
)
def test_an_app_that_raises(
    serve: Serve, caplog: pytest.LogCaptureFixture, suspends: bool, error: BaseException
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if suspends:
            await asyncio.sleep(0)
        raise error

    answer, _ = Response.parse(serve(http_only(app)).exchange(GET))
    assert answer.status == 500
    kind = "RuntimeError" if isinstance(error, StopIteration) else repr(error)
    assert raised(caplog).startswith(kind)


def test_an_app_that_raises_after_the_start(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start((b"x-lost", b"1")))
        raise ValueError("mine")

    answer, _ = Response.parse(serve(http_only(app)).exchange(GET))
    assert answer.status == 500
    assert "x-lost" not in answer
    assert raised(caplog) == "ValueError('mine')"


def test_an_app_that_raises_within_its_answer(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"part", more=True))
        raise ValueError("mine")

    served = serve(http_only(app))
    answer, _ = Response.parse(served.exchange(GET))
    assert (answer.status, answer.body, answer.complete) == (200, b"part", False)
    served.finish()
    assert raised(caplog) == "ValueError('mine')"


def test_an_app_that_raises_after_its_answer(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"all"))
        await asyncio.sleep(0)
        raise ValueError("mine")

    served = serve(http_only(app))
    with served.connect() as sock:
        for _ in range(2):
            sock.sendall(b"GET /where HTTP/1.1\r\nhost: x\r\n\r\n")
            assert sock.recv(1000).endswith(b"all")
    served.finish()
    assert errors(caplog) == ["GET /where: the app raised an exception"] * 2


LEFT_OUT = [
    ([], "without a response: no http.response.start came"),
    ([start()], "without a response: no http.response.body followed http.response.start"),
]


@pytest.mark.parametrize(("messages", "message"), LEFT_OUT)
def test_an_app_that_returns_without_an_answer(
    serve: Serve, caplog: pytest.LogCaptureFixture, messages: list[Any], message: str
) -> None:
    answer, _ = Response.parse(serve(answering(*messages)).exchange(GET))
    assert answer.status == 500
    assert errors(caplog) == [f"GET /where: the app returned {message}"]


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([start(), body(b"a", more=True)], "no http.response.body had more_body=False"),
        ([start(trailers=True), body(b"a")], "no http.response.trailers followed the body"),
    ],
)
def test_an_app_that_returns_within_its_answer(
    serve: Serve, caplog: pytest.LogCaptureFixture, messages: list[Any], message: str
) -> None:
    answer, _ = Response.parse(serve(answering(*messages)).exchange(GET))
    assert (answer.status, answer.body, answer.complete) == (200, b"a", False)
    assert errors(caplog) == [
        f"GET /where: the app returned in the middle of its response: {message}"
    ]


def test_callables_that_are_no_apps(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def app(scope: Any, receive: Any, send: Any) -> None:
        return None

    answer, _ = Response.parse(serve(app).exchange(GET))
    assert answer.status == 500
    assert raised(caplog) == "TypeError('an ASGI app must return an awaitable, not NoneType')"


def test_an_app_that_is_cancelled(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(10)

    assert Response.parse(serve(http_only(app)).exchange(GET))[0].status == 500
    assert errors(caplog) == []


def test_a_client_that_goes_away_is_no_error(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is what an app raises because of it."""
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"x" * 100_000, more=True))
        except OSError as exc:
            notes.add("gone")
            raise KeyError("wrapped") from exc

    served = serve(http_only(app))
    with served.connect() as sock:
        sock.sendall(GET)
        sock.recv(1000)
    assert notes.next() == "gone"
    served.finish()
    assert errors(caplog) == []


def test_an_app_that_gives_its_answer_up_when_it_is_told(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Some then begin another."""
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"part", more=True))
        await receive()
        notes.add("streaming")
        assert (await receive())["type"] == "http.disconnect"
        try:
            if scope["path"] == "/again":
                await send(start())
        finally:
            notes.add("over")

    served = serve(http_only(app))
    for path in (b"/again", b"/where"):
        with served.connect() as sock:
            sock.sendall(b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % path)
            assert notes.next() == "streaming"
        assert notes.next() == "over"
    served.finish()
    assert errors(caplog) == []


def test_the_server_goes_on(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/bad":
            raise ValueError("mine")
        await send(start())
        await send(body(b"good"))

    client = serve(http_only(app)).client
    for _ in range(3):
        assert client.get("/bad").status_code == 500
        assert client.get("/good").text == "good"


def test_send_and_receive_are_awaited_on_their_loop(serve: Serve) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def elsewhere(function: Any) -> None:
            await function()

        for function in (receive, lambda: send(start())):
            with pytest.raises(RuntimeError, match="awaited on the loop's thread only"):
                await asyncio.to_thread(lambda call=function: asyncio.run(elsewhere(call)))
        await send(start())
        await send(body(b"well"))

    assert serve(http_only(app)).client.get("/").text == "well"
