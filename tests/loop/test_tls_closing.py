"""The end of TLS connections: close_notify from either side, peers that go away or keep silent,
aborts, protocols that raise.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import struct
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fluvial._loop import Loop
from fluvial._loop.tls import SSLProtocol
from support.tls import BufferedRecorder, Contexts, Recorder


class Closing(Recorder):
    """Closes when something comes."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.close()


class Reports:
    """What a loop's exception handler got."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.contexts: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: self.contexts.append(context))

    def messages(self) -> list[str]:
        return [context["message"] for context in self.contexts]


# ---- Both ends behave -----------------------------------------------------------------------


def test_close(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    reports = Reports(loop)
    data = os.urandom(1_000_000)

    async def main() -> None:
        async with tls.pair() as (ours, theirs):
            ours.transport.write(data)
            ours.transport.close()
            assert ours.transport.is_closing()
            ours.transport.close()
            await asyncio.gather(ours.until_lost(), theirs.until_lost())
            assert theirs.data == data
            assert (ours.exception, theirs.exception) == (None, None)
            assert theirs.events == ["made", "eof", "lost"]
            assert theirs.transport.is_closing()

    loop.run_until_complete(main())
    assert reports.messages() == []


def test_the_peer_closes(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.peer() as (peer, theirs):
            peer.send(peer.records(b"the last") + peer.close_notify())
            assert await peer.receive_all() == b""  # close_notify in answer
            await theirs.until_lost()
            assert theirs.events == ["made", "eof", "lost"]
            assert theirs.exception is None
            assert theirs.data == b"the last"

    loop.run_until_complete(main())


@pytest.mark.parametrize("notify", [True, False], ids=["close_notify", "no close_notify"])
@pytest.mark.parametrize("factory", [Recorder, BufferedRecorder])
def test_the_peer_is_gone_right_after_its_data(
    loop: asyncio.AbstractEventLoop, tls: Contexts, factory: Callable[[], Any], notify: bool
) -> None:
    data = os.urandom(100_000)

    async def main() -> None:
        async with tls.peer(factory) as (peer, theirs):
            peer.send(peer.records(data) + (peer.close_notify() if notify else b""))
            peer.end()
            await theirs.until_lost()
            assert theirs.data == data
            assert theirs.exception is None

    if factory is BufferedRecorder and not isinstance(loop, Loop):
        pytest.skip("asyncio gives the first 1,000 bytes only")
    loop.run_until_complete(main())


def test_gone_while_reading_is_paused(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.peer() as (peer, theirs):
            theirs.transport.pause_reading()
            peer.send(peer.records(b"kept"))
            peer.end()
            await asyncio.sleep(0.02)
            assert theirs.events == ["made"]
            theirs.transport.resume_reading()
            await theirs.until_lost()
            assert theirs.data == b"kept"
            assert theirs.exception is None

    loop.run_until_complete(main())


@pytest.mark.parametrize("of", [10, 100], ids=["of a record", "records"])
def test_gone_while_a_buffer_is_taken_in_pieces(fluvial_loop: Any, tls: Contexts, of: int) -> None:
    # asyncio loses what follows the first piece.
    class Slow(BufferedRecorder):
        size = of

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(0.0001, self.transport.resume_reading)

    async def main() -> None:
        async with tls.peer(Slow) as (peer, theirs):
            peer.send(peer.records(bytes(range(100))) + peer.records(bytes(range(100, 200))))
            peer.end()
            await theirs.until_lost()
            assert theirs.data == bytes(range(200))

    fluvial_loop.run_until_complete(main())


def test_eof_received_has_no_say(
    loop: asyncio.AbstractEventLoop, tls: Contexts, caplog: pytest.LogCaptureFixture
) -> None:
    class Keeping(Recorder):
        def eof_received(self) -> bool:
            super().eof_received()
            return True

    async def main() -> None:
        async with tls.peer(Keeping) as (peer, theirs):
            peer.send(peer.close_notify())
            await theirs.until_lost()

    loop.run_until_complete(main())
    assert "returning true from eof_received() has no effect when using ssl" in caplog.text


# ---- The other end doesn't behave -----------------------------------------------------------


def test_no_close_notify_in_answer(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    reports = Reports(loop)

    async def main() -> None:
        async with tls.peer(Closing, ssl_shutdown_timeout=0.05) as (peer, theirs):
            peer.send(peer.records(b"bye"))
            assert await peer.receive_all() == b""  # and no answer
            await theirs.until_lost()
            assert isinstance(theirs.exception, TimeoutError)
            assert str(theirs.exception) == "SSL shutdown timed out"

    loop.run_until_complete(main())
    assert reports.messages() == []


@pytest.mark.parametrize("reset", [False, True], ids=["end of file", "reset"])
def test_gone_instead_of_an_answer(
    loop: asyncio.AbstractEventLoop, tls: Contexts, reset: bool
) -> None:
    reports = Reports(loop)

    async def main() -> None:
        async with tls.peer(Closing) as (peer, theirs):
            peer.send(peer.records(b"bye"))
            assert await peer.receive_all() == b""
            if reset:
                sock = peer.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.writer.transport.abort()
            else:
                peer.end()
            await theirs.until_lost()  # not after 30 seconds
            if not reset:
                assert theirs.exception is None

    loop.run_until_complete(main())
    assert reports.messages() == []


def test_close_while_the_peer_is_sending(fluvial_loop: Any, tls: Contexts) -> None:
    # asyncio resets the connection here, and what it had written is gone.
    data = os.urandom(4_000_000)
    reports = Reports(fluvial_loop)

    class Answering(Recorder):
        def data_received(self, data_: bytes) -> None:
            super().data_received(data_)
            self.transport.pause_reading()
            self.transport.write(data)
            asyncio.get_running_loop().call_soon(self.transport.close)

    async def main() -> None:
        async with tls.peer(Answering) as (peer, theirs):
            peer.send(peer.records(b"a request"))
            begin = await peer.receive()
            peer.send(peer.records(b"more of it"))
            assert begin + await peer.receive_all() == data
            await theirs.until_lost()
            assert theirs.exception is None

    fluvial_loop.run_until_complete(main())
    assert reports.messages() == []


def test_close_with_unread_data(fluvial_loop: Any, tls: Contexts) -> None:
    # asyncio gives connection_lost() an ssl.SSLError.
    async def main() -> None:
        async with tls.peer() as (peer, theirs):
            theirs.transport.pause_reading()
            peer.send(peer.records(b"unread"))
            await asyncio.sleep(0.02)
            theirs.transport.write(b"the last")
            theirs.transport.close()
            assert await peer.receive_all() == b"the last"
            await theirs.until_lost()
            assert theirs.exception is None

    fluvial_loop.run_until_complete(main())


def test_nonsense_after_close(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    reports = Reports(loop)

    async def main() -> None:
        async with tls.peer(Closing) as (peer, theirs):
            peer.send(peer.records(b"bye"))
            assert await peer.receive_all() == b""
            peer.send(b"\x17\x03\x03\x00\x20" + bytes(32))
            await theirs.until_lost()
            assert isinstance(theirs.exception, ssl.SSLError)

    loop.run_until_complete(main())
    assert reports.messages() == []


# ---- Abort ----------------------------------------------------------------------------------


def test_abort(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.pair() as (ours, theirs):
            ours.transport.write(b"x" * 10_000_000)
            ours.transport.abort()
            assert ours.transport.is_closing()
            await ours.until_lost()
            assert ours.exception is None
            await theirs.until_lost()
            assert len(theirs.data) < 10_000_000

    loop.run_until_complete(main())


def test_abort_within_data(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    class Aborting(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.abort()

    async def main() -> None:
        async with tls.peer(Aborting) as (peer, theirs):
            peer.send(peer.records(b"one") + peer.close_notify())
            await theirs.until_lost()
            assert theirs.events[-1] == "lost"

    reports = Reports(loop)
    loop.run_until_complete(main())
    assert reports.messages() == []


def test_abort_while_closing(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.peer(Closing) as (peer, theirs):
            peer.send(peer.records(b"bye"))
            assert await peer.receive_all() == b""
            theirs.transport.abort()
            await theirs.until_lost()

    loop.run_until_complete(main())


def test_closed_transports_answer(fluvial_loop: Any, tls: Contexts) -> None:
    # After asyncio's second close() each of these is an AttributeError.
    async def main() -> None:
        async with tls.pair() as (ours, _theirs):
            transport = ours.transport
            transport.close()
            transport.close()
            await ours.until_lost()
            transport.close()
            transport.write(b"dropped")
            transport.writelines([b"dropped"])
            transport.pause_reading()
            transport.resume_reading()
            transport.abort()
            assert transport.get_write_buffer_size() == 0
            for name in ("ssl_object", "sslcontext", "peername"):
                assert transport.get_extra_info(name, "gone") == "gone"
            assert transport.get_write_buffer_limits()
            assert transport.get_protocol() is None
            assert isinstance(transport.is_reading(), bool)

    fluvial_loop.run_until_complete(main())


def test_what_is_known_after_the_end(loop: asyncio.AbstractEventLoop, tls: Contexts) -> None:
    async def main() -> None:
        async with tls.pair() as (ours, _theirs):
            ours.transport.close()
            await ours.until_lost()
            assert ours.transport.get_extra_info("ssl_object").version() == "TLSv1.3"
            assert ours.transport.get_extra_info("sslcontext") is tls.client

    loop.run_until_complete(main())


@pytest.mark.parametrize("when", ["closing", "lost"])
def test_transports_closed_twice_keep_no_context(
    fluvial_loop: Any, tls: Contexts, when: str
) -> None:
    async def main() -> None:
        async with tls.pair() as (ours, _theirs):
            ref = weakref.ref(ours.transport.get_extra_info("ssl_object"))
            ours.transport.close()
            if when == "closing":
                ours.transport.close()
            await ours.until_lost()
            ours.transport.close()
            assert ref() is None

    fluvial_loop.run_until_complete(main())


# ---- Protocols that raise -------------------------------------------------------------------


def raising(name: str, exception: type[BaseException], base: type[Recorder] = Recorder) -> Any:
    """A protocol whose method `name` raises."""

    class Raising(base):  # type: ignore[misc, valid-type]
        pass

    def method(self: Any, *args: Any) -> None:
        getattr(super(Raising, self), name)(*args)
        raise exception("from the protocol")

    setattr(Raising, name, method)
    return Raising


@pytest.mark.parametrize(
    ("name", "base", "message"),
    [
        ("connection_made", Recorder, "Fatal error: protocol.buffer_updated() call failed."),
        ("data_received", Recorder, "Fatal error on SSL protocol"),
        ("get_buffer", BufferedRecorder, "Fatal error on SSL protocol"),
        ("buffer_updated", BufferedRecorder, "Fatal error on SSL protocol"),
        ("eof_received", Recorder, "Error calling eof_received()"),
    ],
)
def test_exceptions(
    loop: asyncio.AbstractEventLoop,
    tls: Contexts,
    name: str,
    base: type[Recorder],
    message: str,
) -> None:
    reports = Reports(loop)

    async def main() -> None:
        async with tls.peer(raising(name, ZeroDivisionError, base)) as (peer, theirs):
            peer.send(peer.records(b"data") + peer.close_notify())
            await theirs.until_lost()
            assert isinstance(theirs.exception, ZeroDivisionError)

    loop.run_until_complete(main())
    assert reports.messages() == [message]
    assert isinstance(reports.contexts[0]["exception"], ZeroDivisionError)
    assert "transport" in reports.contexts[0]


@pytest.mark.parametrize("name", ["pause_writing", "resume_writing"])
def test_exceptions_of_flow_control(
    loop: asyncio.AbstractEventLoop, tls: Contexts, name: str
) -> None:
    reports = Reports(loop)

    async def main() -> None:
        async with tls.peer(raising(name, ZeroDivisionError)) as (peer, theirs):
            written = 0
            while "pause" not in theirs.events:
                theirs.transport.write(bytes(100_000))
                written += 100_000
            assert await peer.receive_exactly(written) == bytes(written)
            await theirs.until(lambda: theirs.events[-1] == "resume")
            assert not theirs.transport.is_closing()

    loop.run_until_complete(main())
    assert reports.messages() == [f"protocol.{name}() failed"]


@pytest.mark.parametrize("name", ["connection_made", "data_received"])
@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit])
def test_what_leaves_the_loop(
    fluvial_loop: Any, tls: Contexts, name: str, exception: type[BaseException]
) -> None:
    async def main() -> None:
        async with tls.peer(raising(name, exception)) as (peer, theirs):
            peer.send(peer.records(b"data"))
            peer.end()
            await theirs.until_lost()

    task = fluvial_loop.create_task(main())
    with pytest.raises(exception):
        fluvial_loop.run_until_complete(task)
    fluvial_loop.run_until_complete(task)


def test_an_empty_buffer(fluvial_loop: Any, tls: Contexts) -> None:
    class Empty(BufferedRecorder):
        size = 0

    reports = Reports(fluvial_loop)

    async def main() -> None:
        async with tls.peer(Empty) as (peer, theirs):
            peer.send(peer.records(b"data"))
            await theirs.until_lost()
            assert str(theirs.exception) == "get_buffer() returned an empty buffer"

    fluvial_loop.run_until_complete(main())
    assert reports.messages() == ["Fatal error on SSL protocol"]


# ---- Nothing is left ------------------------------------------------------------------------


@contextmanager
def without_collector() -> Iterator[None]:
    """Only reference counts free objects."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("factory", [Recorder, BufferedRecorder])
@pytest.mark.parametrize("way", ["close", "abort", "gone", "raise"])
def test_freed_at_once(fluvial_loop: Any, tls: Contexts, factory: type[Recorder], way: str) -> None:
    fluvial_loop.set_exception_handler(lambda *_: None)

    class Raising(factory):  # type: ignore[misc, valid-type]
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    async def connect() -> list[weakref.ref[Any]]:
        async with tls.peer(Raising if way == "raise" else factory) as (peer, theirs):
            below = theirs.transport._ssl_protocol._transport
            inner = theirs.transport._ssl_protocol
            assert isinstance(inner, SSLProtocol)
            watched = (theirs, theirs.transport, inner, inner._sslobj, below)
            refs = [weakref.ref(thing) for thing in watched]
            del below, inner, watched
            peer.send(peer.records(b"data"))
            if way == "close":
                theirs.transport.close()
                await peer.receive_all()
                peer.send(peer.close_notify())
            elif way == "abort":
                theirs.transport.abort()
            elif way == "gone":
                peer.end()
            await theirs.until_lost()
            theirs.exception = None
        return refs

    async def main() -> None:
        with without_collector():
            refs = await connect()
            await asyncio.sleep(0.01)
            assert [ref() for ref in refs] == [None] * len(refs)

    fluvial_loop.run_until_complete(main())
