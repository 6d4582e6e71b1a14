"""`Request.read()`: bodies that are streamed, collected, dropped, cut off, or come too fast."""

from __future__ import annotations

import asyncio
import select
import threading
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import _core
from support.core_server import TIMEOUT, Disconnect, Request, Response, plan, read_all, serving

if TYPE_CHECKING:
    import socket

MODES = [_core.BODY_STREAM, _core.BODY_COLLECT]


def post(length: int | str, *fields: str) -> bytes:
    framing = f"content-length: {length}" if isinstance(length, int) else length
    lines = ["POST / HTTP/1.1", "host: x", "connection: close", framing, *fields]
    return "\r\n".join([*lines, "", ""]).encode()


async def read_to_end(request: Request) -> list[bytes]:
    pieces = []
    while piece := await request.read():
        pieces.append(piece)
    return pieces


async def echo(request: Request) -> Response:
    return Response(b"".join(await read_to_end(request)))


@pytest.mark.parametrize("mode", MODES, ids=["stream", "collect"])
@pytest.mark.parametrize("size", [0, 1, 1000, 65_536, 65_537, 3_000_000])
def test_the_whole_body_arrives(mode: int, size: int) -> None:
    body = bytes(i * 7 % 251 for i in range(size))
    with serving(("POST", "/", plan(echo, body=mode))) as core:
        assert core.exchange(post(size) + body)[1] == body


@pytest.mark.parametrize("mode", MODES, ids=["stream", "collect"])
def test_chunks(mode: int) -> None:
    raw = post("transfer-encoding: chunked") + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: x\r\n\r\n"
    with serving(("POST", "/", plan(echo, body=mode))) as core:
        assert core.exchange(raw)[1] == b"abcde"


@pytest.mark.parametrize("mode", [*MODES, _core.BODY_DISCARD])
def test_the_end_comes_as_often_as_it_is_asked_for(mode: int) -> None:
    async def handler(request: Request) -> Response:
        await read_to_end(request)
        assert [await request.read() for _ in range(3)] == [b"", b"", b""]
        return Response(b"well")

    with serving(("POST", "/", plan(handler, body=mode))) as core:
        assert core.exchange(post(4) + b"body")[1] == b"well"
        assert core.exchange(post(0))[1] == b"well"


def test_a_collected_body_is_one_piece_and_stays() -> None:
    async def handler(request: Request) -> dict[str, Any]:
        whole = request.body_nowait()
        first, second = await request.read(), await request.read()
        return {"same": first is whole is request.body_nowait(), "second": second.decode()}

    with serving(("POST", "/", plan(handler, body=_core.BODY_COLLECT))) as core:
        answer = core.exchange(post(100_000) + b"x" * 100_000)[1]
    assert answer == b'{"same": true, "second": ""}'


def test_body_nowait_of_other_modes() -> None:
    seen: list[bytes | None] = []

    async def handler(request: Request) -> Response:
        seen.append(request.body_nowait())
        return Response()

    with serving(
        ("POST", "/", plan(handler, body=_core.BODY_STREAM)),
        ("PUT", "/", plan(handler, body=_core.BODY_DISCARD)),
    ) as core:
        core.exchange(post(2) + b"ab")
        core.exchange(post(0))
        core.exchange(post(2).replace(b"POST", b"PUT") + b"ab")
        core.exchange(post(0).replace(b"POST", b"PUT"))
    assert seen == [None, b"", None, b""]


def test_pieces_come_as_they_are_sent() -> None:
    taken: list[bytes] = []
    told = threading.Semaphore(0)

    async def handler(request: Request) -> Response:
        told.release()
        while piece := await request.read():
            taken.append(piece)
            told.release()
        return Response()

    route = plan(handler, body=_core.BODY_STREAM)
    with serving(("POST", "/", route)) as core, core.connect() as sock:
        sock.sendall(post(9))
        for piece in (b"one", b"two", b"six"):
            assert told.acquire(timeout=TIMEOUT)
            sock.sendall(piece)
        assert read_all(sock)[0].startswith(b"HTTP/1.1 200 ")
    assert taken == [b"one", b"two", b"six"]


def send_until_stuck(sock: socket.socket, limit: int) -> int:
    """Sends until the other end stops reading; how many bytes that took."""
    sent = 0
    sock.setblocking(False)
    while sent < limit and select.select([], [sock], [], 0.3)[1]:
        sent += sock.send(b"x" * min(65_536, limit - sent))
    sock.settimeout(TIMEOUT)
    return sent


def test_a_body_that_nobody_reads_is_not_taken_in() -> None:
    total = 512 * 1024 * 1024
    sent: asyncio.Queue[int] = asyncio.Queue()
    pieces: list[int] = []

    async def handler(request: Request) -> Response:
        until = await sent.get()
        while sum(pieces) < until:
            pieces.append(len(await request.read()))
        return Response(b"enough")

    route = plan(handler, body=_core.BODY_STREAM)
    with serving(("POST", "/", route), limits={"body": 0}) as core, core.connect() as sock:
        sock.sendall(post(total))
        amount = send_until_stuck(sock, total)
        assert amount < total
        core.call(sent.put_nowait, amount)
        assert read_all(sock)[1] == b"enough"
    assert sum(pieces) == amount
    assert max(pieces) <= 4 * 65_536


def test_a_client_that_goes_away_while_its_body_is_read() -> None:
    failed = threading.Event()
    pieces: list[bytes] = []

    async def handler(request: Request) -> Response:
        try:
            while True:
                pieces.append(await request.read())
        except Disconnect:
            assert request.disconnected
            failed.set()
        return Response()

    with serving(("POST", "/", plan(handler, body=_core.BODY_STREAM))) as core:
        with core.connect() as sock:
            sock.sendall(post(100) + b"half")
        assert failed.wait(TIMEOUT)
    assert b"".join(pieces) in (b"half", b"")
    assert b"" not in pieces


def test_a_read_that_is_cancelled_loses_nothing() -> None:
    cancelled = threading.Event()

    async def handler(request: Request) -> Response:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(request.read(), 0.001)
        cancelled.set()
        return await echo(request)

    route = plan(handler, body=_core.BODY_STREAM)
    with serving(("POST", "/", route)) as core, core.connect() as sock:
        sock.sendall(post(5))
        assert cancelled.wait(TIMEOUT)
        sock.sendall(b"whole")
        assert read_all(sock)[1] == b"whole"


def test_a_task_that_is_cancelled_in_read() -> None:
    waiting, cancelled = threading.Event(), threading.Event()
    tasks: list[asyncio.Task[Any]] = []

    async def handler(request: Request) -> Response:
        task = asyncio.ensure_future(request.read())
        tasks.append(task)
        await asyncio.sleep(0)
        waiting.set()
        try:
            await task
        except asyncio.CancelledError:
            cancelled.set()
        return Response(b"".join(await read_to_end(request)))

    route = plan(handler, body=_core.BODY_STREAM)
    with serving(("POST", "/", route)) as core, core.connect() as sock:
        sock.sendall(post(5))
        assert waiting.wait(TIMEOUT)
        core.call(tasks[0].cancel)
        assert cancelled.wait(TIMEOUT)
        sock.sendall(b"whole")
        assert read_all(sock)[1] == b"whole"


def test_two_readers_share_the_body() -> None:
    waiting = threading.Event()

    async def handler(request: Request) -> Response:
        readers = [asyncio.ensure_future(read_to_end(request)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting.set()
        first, second = await asyncio.gather(*readers)
        return Response(b"".join(first + second))

    route = plan(handler, body=_core.BODY_STREAM)
    with serving(("POST", "/", route)) as core, core.connect() as sock:
        sock.sendall(post(5))
        assert waiting.wait(TIMEOUT)
        sock.sendall(b"whole")
        assert read_all(sock)[1] == b"whole"


def test_a_reader_that_outlives_the_answer_does_not_wait_for_ever() -> None:
    ended = threading.Event()
    tasks: list[asyncio.Task[Any]] = []

    async def reader(request: Request) -> None:
        with pytest.raises(Disconnect):
            await read_to_end(request)
        with pytest.raises(Disconnect):
            await request.read()
        ended.set()

    async def handler(request: Request) -> Response:
        tasks.append(asyncio.ensure_future(reader(request)))
        await asyncio.sleep(0)
        return Response(b"early")

    route = plan(handler, body=_core.BODY_STREAM)
    with serving(("POST", "/", route)) as core, core.connect() as sock:
        sock.sendall(post(5))
        assert read_all(sock)[1] == b"early"
        assert ended.wait(TIMEOUT)


def test_read_belongs_to_the_loop() -> None:
    def handler(request: Request) -> Response:
        with pytest.raises(RuntimeError, match="works on the loop's thread only"):
            request.read()
        return Response(b"no")

    with serving(("POST", "/", plan(handler, _core.POOL, body=_core.BODY_COLLECT))) as core:
        assert core.exchange(post(0))[1] == b"no"


def test_what_read_returns_can_be_awaited_once() -> None:
    async def handler(request: Request) -> Response:
        piece = request.read()
        assert await piece == b"body"
        with pytest.raises(RuntimeError, match="already awaited"):
            await piece
        return Response()

    with serving(("POST", "/", plan(handler, body=_core.BODY_COLLECT))) as core:
        assert core.exchange(post(4) + b"body")[0].startswith(b"HTTP/1.1 200 ")


def test_expect_100_continue() -> None:
    with (
        serving(("POST", "/", plan(echo, body=_core.BODY_STREAM))) as core,
        core.connect() as sock,
    ):
        sock.sendall(post(5, "expect: 100-continue"))
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"whole")
        assert read_all(sock)[1] == b"whole"


def test_a_middleware_can_read_a_body_that_the_handler_does_not_want() -> None:
    async def entry(request: Request) -> Response:
        return await echo(request)

    async def handler(request: Request) -> Response:
        raise AssertionError

    route = plan(handler, body=_core.BODY_DISCARD)
    with serving(("POST", "/", route), entry=entry) as core:
        assert core.exchange(post(4) + b"body")[1] == b"body"
