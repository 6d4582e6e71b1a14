"""getaddrinfo and getnameinfo: the same as socket's, and no thread where none is needed."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import asyncio

    from fluvial._loop import Loop

LITERALS: list[tuple[Any, Any, dict[str, int]]] = [
    ("127.0.0.1", 80, {}),
    ("127.0.0.1", None, {"type": socket.SOCK_STREAM}),
    ("127.0.0.1", 80, {"family": socket.AF_INET, "proto": socket.IPPROTO_UDP}),
    ("127.0.0.1", 80, {"flags": socket.AI_PASSIVE | socket.AI_CANONNAME}),
    ("::1", 80, {"type": socket.SOCK_DGRAM}),
    ("::ffff:1.2.3.4", 80, {}),
    ("fe80::1%lo", 80, {"type": socket.SOCK_STREAM}),
    ("fe80::1%1", 80, {}),
    ("::1", 80, {"family": socket.AF_INET}),
    ("fe80::1%nowhere", 80, {}),
]


def outcome(call: Any) -> Any:
    """What it returns, or the error that it raises."""
    try:
        return call()
    except OSError as error:
        return type(error), error.args


@pytest.mark.parametrize(("host", "port", "options"), LITERALS)
def test_addresses_need_no_thread(
    fluvial_loop: Loop, host: str, port: Any, options: dict[str, int]
) -> None:
    def ours() -> Any:
        return fluvial_loop.run_until_complete(fluvial_loop.getaddrinfo(host, port, **options))

    assert outcome(ours) == outcome(lambda: socket.getaddrinfo(host, port, **options))
    assert fluvial_loop._default_executor is None


@pytest.mark.parametrize("host", ["localhost", b"127.0.0.1", None, "", "127.1", "1:2", "a\0b"])
@pytest.mark.parametrize("port", [80, "http"])
def test_what_is_no_address_goes_to_a_thread(
    loop: asyncio.AbstractEventLoop, host: Any, port: Any
) -> None:
    def call(function: Any) -> Any:
        try:
            return function()
        except (OSError, ValueError) as error:
            return type(error), error.args

    def ours() -> Any:
        return loop.run_until_complete(loop.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST))

    numeric = socket.AI_NUMERICHOST
    assert call(ours) == call(lambda: socket.getaddrinfo(host, port, flags=numeric))


@pytest.mark.parametrize("address", [("127.0.0.1", 80), ("::1", 443), ("fe80::1", 80, 0, 1)])
def test_numbers_need_no_thread(fluvial_loop: Loop, address: Any) -> None:
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    name = fluvial_loop.run_until_complete(fluvial_loop.getnameinfo(address, flags))
    assert name == socket.getnameinfo(address, flags)
    assert fluvial_loop._default_executor is None


def test_names_of_addresses(loop: asyncio.AbstractEventLoop) -> None:
    address = ("127.0.0.1", 80)
    flags = socket.NI_NUMERICHOST
    name = loop.run_until_complete(loop.getnameinfo(address, flags))
    assert name == socket.getnameinfo(address, flags)
    with pytest.raises(OSError, match=r".+"):
        loop.run_until_complete(loop.getnameinfo(("no address", 80), flags))
