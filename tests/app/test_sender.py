"""`_core.Sender`: answers in pieces, for clients that are fast, slow, or gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import _core
from support.core_server import TIMEOUT, Core, Request, Response, dechunk, plan, read_all, serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TEXT = (b"content-type", b"text/plain")


def streaming(
    respond: Callable[[Request, _core.Sender], Awaitable[None]],
) -> contextlib.AbstractContextManager[Core]:
    """A server whose "/" is answered by `respond`."""

    async def handler(request: Request) -> Response:
        return Response(body=None, respond=respond)

    return serving(("GET HEAD", "/", plan(handler)))


def has(head: bytes, line: bytes) -> bool:
    return line in head.lower().split(b"\r\n")


def test_pieces_without_a_length_are_chunked() -> None:
    async def respond(request: Request, sender: _core.Sender) -> None:
        sender.start(201, [TEXT, (b"x-a", b"1"), (b"x-a", b"2")])
        for piece in (b"one ", b"", b"two ", b"x" * 100_000):
            await sender.send(piece)
        sender.end()

    with streaming(respond) as core:
        head, body = core.get("/")
    assert head.startswith(b"HTTP/1.1 201 Created\r\n")
    assert has(head, b"transfer-encoding: chunked")
    assert b"x-a: 1\r\nx-a: 2" in head
    assert dechunk(body) == b"one two " + b"x" * 100_000


def test_pieces_of_a_known_length() -> None:
    async def respond(request: Request, sender: _core.Sender) -> None:
        sender.start(status_code=200, headers=(TEXT,), length=6)
        await sender.send(b"abc")
        await sender.send(b"def")
        sender.end()
        sender.end()

    with streaming(respond) as core:
        head, body = core.get("/")
    assert has(head, b"content-length: 6")
    assert body == b"abcdef"


def test_head() -> None:
    async def respond(request: Request, sender: _core.Sender) -> None:
        sender.start(200, [TEXT], 3)
        await sender.send(b"abc")
        sender.end()

    with streaming(respond) as core:
        head, body = core.get("/", method="HEAD")
    assert has(head, b"content-length: 3")
    assert body == b""


def test_the_end_is_sent_for_those_who_forget_it() -> None:
    async def respond(request: Request, sender: _core.Sender) -> None:
        sender.start(200, [])
        await sender.send(b"abc")

    with streaming(respond) as core:
        assert dechunk(core.get("/")[1]) == b"abc"


def test_pieces_leave_at_once() -> None:
    got = asyncio.Event()

    async def respond(request: Request, sender: _core.Sender) -> None:
        sender.start(200, [])
        await sender.send(b"one")
        await asyncio.wait_for(got.wait(), TIMEOUT)
        await sender.send(b"two")

    with streaming(respond) as core, core.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        received = b""
        while b"one" not in received:
            received += sock.recv(1000)
        core.call(got.set)
        assert dechunk(read_all_after(received, sock)) == b"onetwo"


def read_all_after(received: bytes, sock: socket.socket) -> bytes:
    rest = b"".join(iter(lambda: sock.recv(65536), b""))
    return (received + rest).partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((99, []), ValueError, "status_code must be 200 to 599, not 99"),
        ((600, []), ValueError, "status_code must be 200 to 599, not 600"),
        ((200, [(b"x y", b"1")]), ValueError, "malformed header field b'x y': b'1'"),
        ((200, [(b"x", b"1\r\ny: 2")]), ValueError, "malformed header field b'x'"),
        ((200, [("x", "1")]), TypeError, "a tuple of two bytes, not \\('x', '1'\\)"),
        ((200, [(b"x",)]), TypeError, "a tuple of two bytes"),
        ((200, None), TypeError, "headers must be a sequence of pairs"),
        (("200", []), TypeError, "str"),
        ((200,), TypeError, "headers"),
    ],
)
def test_an_answer_that_can_not_be_begun(arguments: Any, error: type[Exception], text: str) -> None:
    async def respond(request: Request, sender: _core.Sender) -> None:
        with pytest.raises(error, match=text):
            sender.start(*arguments)
        assert not sender.started
        sender.start(200, [])
        assert sender.started
        await sender.send(b"still possible")

    with streaming(respond) as core:
        assert dechunk(core.get("/")[1]) == b"still possible"


def test_the_order_of_calls() -> None:
    async def respond(request: Request, sender: _core.Sender) -> None:
        for call in (lambda: sender.send(b"x"), sender.end):
            with pytest.raises(RuntimeError, match="has not been started"):
                call()
        sender.start(200, [])
        with pytest.raises(RuntimeError, match="has already been started"):
            sender.start(200, [])
        for data in ("text", None, bytearray(b"x")):
            with pytest.raises(TypeError, match="send\\(\\) takes bytes, not"):
                sender.send(data)
        sender.end()
        with pytest.raises(RuntimeError, match="the response is complete"):
            sender.send(b"x")

    with streaming(respond) as core:
        assert dechunk(core.get("/")[1]) == b""


def test_more_than_was_promised() -> None:
    async def respond(request: Request, sender: _core.Sender) -> None:
        sender.start(200, [], 3)
        await sender.send(b"ab")
        with pytest.raises(RuntimeError, match="more bytes than the length"):
            sender.send(b"cd")
        await sender.send(b"c")

    with streaming(respond) as core:
        assert core.get("/")[1] == b"abc"


def test_less_than_was_promised_cuts_the_answer_off() -> None:
    async def respond(request: Request, sender: _core.Sender) -> None:
        sender.start(200, [], 3)
        await sender.send(b"ab")
        with pytest.raises(RuntimeError, match="fewer bytes than the length"):
            sender.end()

    with streaming(respond) as core:
        head, body = core.get("/")
    assert has(head, b"content-length: 3")
    assert body == b"ab"


def test_a_sender_belongs_to_the_loop() -> None:
    async def respond(request: Request, sender: _core.Sender) -> None:
        def elsewhere() -> None:
            for call in (lambda: sender.start(200, []), lambda: sender.send(b""), sender.end):
                with pytest.raises(RuntimeError, match="works on the loop's thread only"):
                    call()

        await asyncio.get_running_loop().run_in_executor(None, elsewhere)
        sender.start(200, [])

    with streaming(respond) as core:
        assert dechunk(core.get("/")[1]) == b""


def test_a_slow_client_holds_up_its_sender_and_nobody_else() -> None:
    stuck = threading.Event()
    total = 0

    async def respond(request: Request, sender: _core.Sender) -> None:
        nonlocal total
        sender.start(200, [])
        sending = True
        while sending:
            done = asyncio.ensure_future(sender.send(b"x" * 65_536))
            total += 65_536
            await asyncio.sleep(0)
            sending = done.done()
        stuck.set()
        await done

    with streaming(respond) as core, core.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert stuck.wait(TIMEOUT)
        assert core.get("/nowhere")[0].startswith(b"HTTP/1.1 404 ")
        assert len(dechunk(read_all(sock)[1])) == total


def fill(sender: _core.Sender) -> Awaitable[None]:
    """Writes until the client is behind; what to await for it to catch up."""
    ready = sender.send(b"")
    while True:
        waiting = sender.send(b"x" * 65_536)
        if waiting is not ready:
            return waiting


def test_a_client_that_goes_away_ends_the_wait() -> None:
    waiting, failed = threading.Event(), threading.Event()

    async def respond(request: Request, sender: _core.Sender) -> None:
        sender.start(200, [])
        wait = asyncio.ensure_future(_wait(fill(sender)))
        await asyncio.sleep(0)
        waiting.set()
        with pytest.raises(ConnectionResetError):
            await wait
        assert request.disconnected
        with pytest.raises(ConnectionResetError):
            sender.send(b"more")
        sender.end()
        failed.set()

    with streaming(respond) as core:
        sock = core.connect()
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert waiting.wait(TIMEOUT)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        assert failed.wait(TIMEOUT)


async def _wait(awaitable: Awaitable[None]) -> None:
    await awaitable


def test_a_wait_that_is_cancelled() -> None:
    cancelled = threading.Event()

    async def respond(request: Request, sender: _core.Sender) -> None:
        sender.start(200, [])
        waits = [fill(sender), sender.send(b"y")]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_wait(waits[0]), 0.001)
        cancelled.set()
        await waits[1]
        await sender.send(b"z")

    with streaming(respond) as core, core.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert cancelled.wait(TIMEOUT)
        assert dechunk(read_all(sock)[1]).endswith(b"xyz")


def test_several_wait_for_the_same_client() -> None:
    waiting = threading.Event()

    async def respond(request: Request, sender: _core.Sender) -> None:
        sender.start(200, [])
        waits = [_wait(fill(sender)), *(_wait(sender.send(b"y")) for _ in range(9))]
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        await asyncio.sleep(0)
        assert not any(task.done() for task in tasks)
        waiting.set()
        await asyncio.gather(*tasks)

    with streaming(respond) as core, core.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert waiting.wait(TIMEOUT)
        assert dechunk(read_all(sock)[1]).endswith(b"x" + b"y" * 9)


def test_a_sender_that_outlives_its_server() -> None:
    kept: list[_core.Sender] = []

    async def respond(request: Request, sender: _core.Sender) -> None:
        kept.append(sender)
        sender.start(200, [])

    with streaming(respond) as core:
        core.get("/")
    assert kept[0].started
    with pytest.raises(RuntimeError, match="works on the loop's thread only"):
        kept[0].send(b"x")


def test_nobody_else_makes_senders() -> None:
    with pytest.raises(TypeError):
        _core.Sender()


def test_who_waits_when_another_ends_the_answer() -> None:
    """Also when it is broken off."""
    woken = threading.Event()
    lengths = iter([-1, 1_000_000_000])

    async def respond(request: Request, sender: _core.Sender) -> None:
        sender.start(200, [], next(lengths))
        wait = asyncio.ensure_future(_wait(fill(sender)))
        await asyncio.sleep(0)
        assert not wait.done()
        with contextlib.suppress(RuntimeError):
            sender.end()
        await wait
        woken.set()

    with streaming(respond) as core:
        for _ in range(2):
            with core.connect() as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                assert woken.wait(TIMEOUT)
            woken.clear()
