"""What `await send(...)` waits for, and that it never waits for what doesn't come."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import App, ClientDisconnect, Request, Response
from support.asgi import Notes, body, http_only, start
from support.responses import Response as Answer

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Serve
    from support.certificate import Certificate

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
GET_1_0 = b"GET / HTTP/1.0\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
UNREAD = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100\r\n\r\n0123456789"
SIZE = 30_000_000  # bytes: more than sockets hold
BIG = b"x" * SIZE

WHOLE = [start(), body(BIG)]
STATED = [start((b"content-length", b"%d" % SIZE)), body(BIG)]
TINY_FIRST = [start(), body(b"", more=True), body(BIG)]
TINY_STATED = [start((b"content-length", b"%d" % SIZE)), body(b"", more=True), body(BIG)]
TRAILERS = [
    start((b"trailer", b"x-a"), trailers=True),
    body(BIG),
    {"type": "http.response.trailers", "headers": [(b"x-a", b"1")]},
]
KINDS = {
    "whole": WHOLE,
    "stated": STATED,
    "tiny first": TINY_FIRST,
    "tiny first, stated": TINY_STATED,
    "trailers": TRAILERS,
}
REQUESTS = {"1.1": LAST, "1.0": GET_1_0, "unread": UNREAD}


def sending(notes: Notes, messages: list[Any]) -> Any:
    """An app that notes when all its messages are sent."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
        notes.add("sent")

    return http_only(app)


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("request_", REQUESTS)
def test_the_last_body_is_waited_for_by_nobody(serve: Serve, how: str, request_: str) -> None:
    """The app goes on, although the client has read nothing yet; then the client reads it all."""
    notes = Notes()
    with serve(sending(notes, KINDS[how])).connect() as sock:
        sock.sendall(REQUESTS[request_])
        if how != "trailers":  # more is to follow: until then the app is held back
            assert notes.next() == "sent"
        data = b"".join(iter(lambda: sock.recv(1 << 20), b""))
    if how == "trailers":
        assert notes.next() == "sent"
        data = data.replace(b"\r\nx-a: 1\r\n", b"\r\n")
    assert Answer.parse(data)[0].body == BIG


def test_over_tls(serve: Serve, certificate: Certificate) -> None:
    notes = Notes()
    tls = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    served = serve(sending(notes, WHOLE), **tls)
    with served.connect() as sock:
        sock.sendall(LAST)
        assert notes.next() == "sent"
        data = b"".join(iter(lambda: sock.recv(1 << 20), b""))
    assert Answer.parse(data)[0].body == BIG


@pytest.mark.parametrize("middleware", [False, True])
def test_below_a_path(serve: Serve, middleware: bool) -> None:
    notes = Notes()
    app = App()
    app.mount("/", sending(notes, WHOLE))
    if middleware:

        @app.middleware("http")
        async def around(request: Any, call_next: Any) -> Any:
            return await call_next(request)

    with serve(app).connect() as sock:
        sock.sendall(LAST)
        data = b"".join(iter(lambda: sock.recv(1 << 20), b""))
    assert notes.next() == "sent"
    assert Answer.parse(data)[0].body == BIG


def test_an_answer_to_a_websocket(serve: Serve) -> None:
    """websocket.http.response goes the same way."""
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": BIG})
        notes.add("sent")

    with serve(app).connect() as sock:
        sock.sendall(
            b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: MTIzNDU2Nzg5MDEyMzQ1Ng==\r\n\r\n"
        )
        assert notes.next() == "sent"


def test_a_head_request(serve: Serve) -> None:
    notes = Notes()
    served = serve(sending(notes, STATED))
    assert Answer.parse(served.exchange(HEAD), is_head=True)[0]["content-length"] == str(SIZE)
    assert notes.next() == "sent"


@pytest.mark.parametrize("extension", ["pathsend", "zerocopysend"])
def test_a_file(serve: Serve, tmp_path: Path, extension: str) -> None:
    """These wait until the kernel has it all."""
    notes = Notes()
    path = tmp_path / "big"
    path.write_bytes(BIG)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start((b"content-length", b"%d" % SIZE)))
        with path.open("rb") as file:
            message = {"path": str(path)} if extension == "pathsend" else {"file": file}
            await send({"type": f"http.response.{extension}", **message})
        notes.add("sent")

    data = serve(http_only(app)).exchange(LAST)
    assert notes.next() == "sent"
    assert Answer.parse(data)[0].body == BIG


def test_the_next_request_is_answered(serve: Serve) -> None:
    """What the first has left in the queue has no say in the second's."""
    notes = Notes()
    served = serve(sending(notes, WHOLE))
    data = served.exchange(GET + LAST)
    first, rest = Answer.parse(data)
    second, rest = Answer.parse(rest)
    assert (first.body, second.body, rest) == (BIG, BIG, b"")
    assert [notes.next(), notes.next()] == ["sent", "sent"]


def test_stopping_waits_for_no_app_that_is_done(serve: Serve) -> None:
    """The whole grace period would be longer than the test may take."""
    notes = Notes()
    served = serve(sending(notes, WHOLE), graceful_timeout=600)
    with served.connect() as sock:
        sock.sendall(LAST)
        assert notes.next() == "sent"
        served.stop()
        data = b"".join(iter(lambda: sock.recv(1 << 20), b""))
    assert Answer.parse(data)[0].body == BIG


# ---- several tasks ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["ended", "too short"])
def test_a_task_that_waits_when_another_ends_the_answer(serve: Serve, how: str) -> None:
    notes = Notes()
    stated = [(b"content-length", b"%d" % (SIZE + 1))] if how == "too short" else []

    async def waiting(send: Any) -> None:
        await send(body(BIG, more=True))
        notes.add("woken")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(*stated))
        task = asyncio.create_task(waiting(send))
        await asyncio.sleep(0)
        assert not task.done()
        try:
            await send(body())
        except RuntimeError:
            notes.add("refused")
        await task

    with serve(http_only(app)).connect() as sock:
        sock.sendall(LAST)
        if how == "too short":
            assert notes.next() == "refused"
        assert notes.next() == "woken"


@pytest.mark.parametrize("what", ["client", "server"])
def test_all_who_wait_are_woken_by_the_end(serve: Serve, what: str) -> None:
    """The client goes, or the server's grace period ends."""
    notes = Notes()

    async def waiting(send: Any) -> None:
        await send(body(BIG, more=True))
        notes.add("woken")

    async def listening(receive: Any) -> None:
        assert (await receive())["type"] == "http.request"
        notes.add((await receive())["type"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        tasks = [asyncio.create_task(waiting(send)) for _ in range(2)]
        tasks.append(asyncio.create_task(listening(receive)))
        await asyncio.sleep(0)
        notes.add("ready")
        await asyncio.gather(*tasks)

    served = serve(http_only(app), graceful_timeout=0.1)
    with served.connect() as sock:
        sock.sendall(GET)
        assert notes.next() == "ready"
        if what == "server":
            served.stop()
            found = [notes.next() for _ in range(3)]
    if what == "client":
        found = [notes.next() for _ in range(3)]
    assert sorted(found) == ["http.disconnect", "woken", "woken"]


def test_hints_before_the_answer(serve: Serve) -> None:
    """Whoever sends them without end waits for the client, and goes on when it reads."""
    notes = Notes()
    hint = {"type": "http.response.early_hint", "links": [b"<" + b"x" * 60_000 + b">"]}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(SIZE // 60_000):
            await send(hint)
        notes.add("hinted")
        await send(start())
        await send(body(b"the answer"))

    with serve(http_only(app)).connect() as sock:
        sock.sendall(LAST)
        data = b"".join(iter(lambda: sock.recv(1 << 20), b""))
    assert notes.next() == "hinted"
    assert data.endswith(b"the answer")


def test_receive_learns_that_a_cancelled_file_ends_the_answer(serve: Serve, tmp_path: Path) -> None:
    notes = Notes()
    path = tmp_path / "big"
    path.write_bytes(BIG)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        await send(start((b"content-length", b"%d" % SIZE)))
        listening = asyncio.create_task(receive())
        sending = asyncio.create_task(send({"type": "http.response.pathsend", "path": str(path)}))
        notes.add((asyncio.get_running_loop(), sending))
        await asyncio.wait((sending,))
        notes.add((await listening)["type"])

    with serve(http_only(app)).connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(GET)
        loop, sending_ = notes.next()
        while b"\r\n\r\n" not in sock.recv(1000):
            pass
        loop.call_soon_threadsafe(sending_.cancel)
        assert notes.next() == "http.disconnect"


def test_the_background_of_a_native_answer(serve: Serve) -> None:
    notes = Notes()
    app = App()

    @app.get("/")
    async def big() -> Response:
        async def background() -> None:
            notes.add("background")

        return Response(BIG, background=background)

    data = serve(app).exchange(LAST)
    assert notes.next() == "background"
    assert Answer.parse(data)[0].body == BIG


def test_a_body_that_is_still_to_come(serve: Serve) -> None:
    """The connection goes on after it: so long the exchange isn't over."""
    notes = Notes()
    with serve(sending(notes, WHOLE)).connect() as sock:
        sock.sendall(UNREAD.replace(b"connection: close\r\n", b""))
        assert notes.next() == "sent"
        sock.sendall(b"x" * 90 + LAST)
        data = b"".join(iter(lambda: sock.recv(1 << 20), b""))
    first, rest = Answer.parse(data)
    assert (first.body, Answer.parse(rest)[0].body) == (BIG, BIG)


@pytest.mark.parametrize("place", ["here", "mounted", "below middleware"])
def test_receive_waits_for_no_body_when_the_answer_is_complete(serve: Serve, place: str) -> None:
    """The client sends the rest of its body at the earliest when it has the answer."""
    notes = Notes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"0123456789"
        listening = asyncio.create_task(receive())
        await send(start())
        await send(body(b"early"))
        notes.add((await listening)["type"])

    outer: Any = http_only(app)
    if place != "here":
        outer = App()
        outer.mount("/", http_only(app))
    if place == "below middleware":

        @outer.middleware("http")
        async def around(request: Any, call_next: Any) -> Any:
            return await call_next(request)

    with serve(outer).connect() as sock:
        sock.sendall(UNREAD)
        assert notes.next() == "http.disconnect"


def test_a_native_reader_waits_for_no_body_when_the_answer_is_complete(serve: Serve) -> None:
    notes, app = Notes(), App()

    async def reading(request: Request) -> None:
        try:
            async for piece in request.stream():
                notes.add(piece)
        except ClientDisconnect:
            notes.add("over")

    @app.post("/")
    async def early(request: Request) -> str:
        app.reading = asyncio.create_task(reading(request))  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return "early"

    with serve(app).connect() as sock:
        sock.sendall(UNREAD)
        assert notes.next() == b"0123456789"
        assert notes.next() == "over"
