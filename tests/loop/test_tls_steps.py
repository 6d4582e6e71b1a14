"""What of asyncio's state machine is done in C: it must leave nothing out that the Python which
runs expects, and know when asyncio's own code is to be called."""

from __future__ import annotations

import asyncio
import enum
import inspect
import logging
from asyncio import sslproto
from typing import TYPE_CHECKING, Any

import pytest
from fluvial import _core
from fluvial._loop.tls import SSLProtocol
from support.tls import Contexts, Echo, Recorder

if TYPE_CHECKING:
    from fluvial._loop import Loop

States = sslproto.SSLProtocolState


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
            *("_wrap", "_release", "_is_app_closed", "_warn_kept_open", "_log_eof"),
        }
    theirs = list(inspect.signature(sslproto.SSLProtocol.__init__).parameters)
    assert list(inspect.signature(SSLProtocol.__init__).parameters) == theirs


def test_states_that_may_follow_each_other(fluvial_loop: Loop, tls: Contexts) -> None:
    def allows(cls: type[Any], before: States, after: States) -> bool:
        protocol = made(cls, fluvial_loop, tls, server_hostname="localhost")
        protocol._state = before
        try:
            protocol._set_state(after)
        except RuntimeError:
            return False
        assert protocol._state is after
        return True

    for before in States:
        for after in States:
            expected = allows(sslproto.SSLProtocol, before, after)
            assert allows(SSLProtocol, before, after) == expected
    protocol = made(SSLProtocol, fluvial_loop, tls, server_hostname="localhost")
    with pytest.raises(RuntimeError, match=r"from \S+\.UNWRAPPED to \S+\.SHUTDOWN"):
        protocol._set_state(States.SHUTDOWN)


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


def test_methods_of_one_that_was_never_initialised(fluvial_loop: Loop) -> None:
    bare = SSLProtocol.__new__(SSLProtocol)
    for method in (
        lambda: bare.connection_made(None),
        bare.eof_received,
        bare._call_eof_received,
        bare._do_flush,
        bare._do_handshake,
        bare._do_shutdown,
        bare._start_shutdown,
    ):
        with pytest.raises(RuntimeError, match="not initialised"):
            method()
