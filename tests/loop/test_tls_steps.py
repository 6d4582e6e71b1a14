"""Our class of TLS beside asyncio's: it must leave nothing out that the Python which runs expects,
and each method that it replaces must exist there."""

from __future__ import annotations

import asyncio
import enum
import inspect
import logging
import ssl
import weakref
from asyncio import sslproto
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import _core
from fluvial._loop.tls import SSLProtocol
from support.tls import Contexts, Echo, Peer, Recorder

if TYPE_CHECKING:
    from fluvial._loop import Loop


def made(cls: type[Any], loop: Loop, tls: Contexts, **options: Any) -> Any:
    protocol = cls(loop, asyncio.Protocol(), tls.client, None, **options)
    protocol._app_transport._closed = True  # nothing was opened
    return protocol


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"server_hostname": "localhost", "ssl_handshake_timeout": 1.5, "ssl_shutdown_timeout": 2},
        {"call_connection_made": False, "server_hostname": "localhost"},
    ],
)
def test_all_that_asyncios_constructor_sets(
    fluvial_loop: Loop, tls: Contexts, options: dict[str, Any]
) -> None:
    """The attributes, of the Python that runs, and their values as far as they can be compared."""
    tls.client.check_hostname = False
    theirs = made(sslproto.SSLProtocol, fluvial_loop, tls, **options)
    ours = made(SSLProtocol, fluvial_loop, tls, **options)
    for name, value in vars(theirs).items():
        if name.startswith("_app_protocol_") and name != "_app_protocol_is_buffer":
            continue  # bound methods of a BufferedProtocol, for asyncio's own reading
        assert hasattr(ours, name), name
        if value is None or isinstance(value, (bool, int, float, str, enum.Enum)):
            assert getattr(ours, name) == value, name
        elif name not in ("_ssl_buffer", "_ssl_buffer_view", "_app_transport"):
            assert isinstance(getattr(ours, name), type(value)), name


def test_what_is_replaced_is_there() -> None:
    """A method that asyncio doesn't have any more would replace nothing."""
    ours = {"_write", "data_received"}
    for cls in (_core.TlsProtocol, SSLProtocol):
        methods = {name for name, value in vars(cls).items() if callable(value)} - ours
        inherited = {name for name in methods if hasattr(sslproto.SSLProtocol, name)}
        assert methods - inherited <= {
            "__new__",
            *("_wrap", "_release", "_on_handshake_failed", "_has_undelivered"),
        }
    theirs = list(inspect.signature(sslproto.SSLProtocol.__init__).parameters)
    assert list(inspect.signature(SSLProtocol.__init__).parameters) == theirs


def test_the_session_is_asked_when_somebody_wants_to_know(
    fluvial_loop: Loop, tls: Contexts
) -> None:
    async def main() -> None:
        async with tls.pair() as (ours, theirs):
            protocol = ours.transport._ssl_protocol
            assert "cipher" not in protocol._extra
            cipher = ours.transport.get_extra_info("cipher")
            assert cipher is not None
            assert ours.transport.get_extra_info("cipher") is cipher
        assert ours.transport.get_extra_info("peercert")["subject"]
        assert theirs.transport.get_extra_info("cipher") == cipher
        assert theirs.transport.get_extra_info("peercert", 1) is None

    fluvial_loop.run_until_complete(main())


@pytest.mark.parametrize("name", ["peercert", "cipher", "compression", "ssl_object"])
def test_before_the_handshake_nothing_is_known(
    loop: asyncio.AbstractEventLoop, tls: Contexts, name: str
) -> None:
    async def main() -> None:
        async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)  # the handshake has begun
            writer.close()

        server = await asyncio.start_server(begin, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        raw, _ = await loop.create_connection(asyncio.Protocol, *address)
        starting = loop.create_task(
            loop.start_tls(raw, Recorder(), tls.client, server_hostname="localhost")
        )
        await asyncio.sleep(0)
        transport = raw.get_protocol()._app_transport  # type: ignore[attr-defined]
        assert transport.get_extra_info(name) is None
        assert transport.get_extra_info(name, 1) == 1
        with pytest.raises(OSError):  # noqa: PT011
            await starting
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_a_server_waits_for_the_client(fluvial_loop: Loop, tls: Contexts) -> None:
    """asyncio tries a handshake at once when it accepts a connection, which only raises."""
    tried: list[bool] = []

    class Watched(ssl.SSLObject):
        def do_handshake(self) -> None:
            tried.append(self.server_side)
            super().do_handshake()

    tls.server.sslobject_class = Watched

    async def main() -> None:
        async with tls.listening(Recorder) as (port, accepted):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            theirs = await accepted
            await asyncio.sleep(0)  # connection_made() is due
            assert tried == []
            peer = Peer(reader, writer, tls.client)
            await peer.handshake()
            await theirs.until(lambda: "made" in theirs.events)
            assert tried == [True, True]  # the client has said two things
            await peer.closed()
            await theirs.until_lost()

    fluvial_loop.run_until_complete(main())


@pytest.mark.parametrize("when", ["always", "within the handshake"])
def test_debug_mode_logs(
    fluvial_loop: Loop, tls: Contexts, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(Echo):
        def __init__(self) -> None:
            super().__init__()
            fluvial_loop.set_debug(True)  # the handshakes have begun at one end at least

    async def main() -> None:
        fluvial_loop.set_debug(when == "always")
        async with tls.pair(server=Slow) as (ours, theirs):
            ours.transport.write(b"x")
            await ours.until(lambda: ours.data)
            theirs.transport._ssl_protocol._transport.write_eof()  # without close_notify
            await ours.until_lost()
        fluvial_loop.set_debug(False)

    with caplog.at_level(logging.DEBUG, "asyncio"):
        fluvial_loop.run_until_complete(main())
    logged = [record.getMessage() for record in caplog.records]
    assert any("SSL handshake took" in line for line in logged)
    assert any("received EOF" in line for line in logged)
    assert any("starts SSL handshake" in line for line in logged)


def test_given_up_when_reading_goes_on_after_the_end(fluvial_loop: Loop, tls: Contexts) -> None:
    """With asyncio the shutdown goes on, and fails."""
    reports: list[Any] = []
    fluvial_loop.set_exception_handler(lambda _, context: reports.append(context["message"]))

    class Aborting(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.abort()

    async def main() -> None:
        async with tls.peer(Aborting) as (peer, theirs):
            protocol = theirs.transport._ssl_protocol
            theirs.transport.pause_reading()
            peer.send(peer.records(b"data"))
            peer.end()
            while not protocol._eof_received:  # noqa: ASYNC110
                await asyncio.sleep(0)
            theirs.transport.resume_reading()
            await theirs.until_lost()
            assert theirs.data == b"data"

    fluvial_loop.run_until_complete(main())
    assert reports == []


def test_an_exception_keeps_no_context(fluvial_loop: Loop, tls: Contexts) -> None:
    """Streams keep the exception for as long as there is a reader."""

    async def main() -> None:
        async with tls.peer() as (peer, theirs):
            ref = weakref.ref(theirs.transport.get_extra_info("ssl_object"))
            theirs.transport.close()
            assert await peer.receive_all() == b""
            peer.send(b"\x17\x03\x03\x00\x20" + bytes(32))  # no record of this connection
            await theirs.until_lost()
            theirs.transport.close()  # lets go, as asyncio's
            assert isinstance(theirs.exception, ssl.SSLError)
            assert ref() is None

    fluvial_loop.run_until_complete(main())
