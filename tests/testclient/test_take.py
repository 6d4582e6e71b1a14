"""Server.take(): connections that were never accepted, which tests use."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import pytest
from fluvial import App, Request, _core
from fluvial._testing.portal import Portal


@contextlib.contextmanager
def running() -> Any:
    portal = Portal(App(), lifespan=False)
    portal.start()
    try:
        yield portal
    finally:
        portal.stop()


def test_a_connection_is_served_until_it_is_closed() -> None:
    async def take(portal: Portal, fd: int) -> _core.Server:
        server = portal.service.make_server(Request)
        server.take(fd)
        return server

    async def drain(server: _core.Server) -> dict[str, int]:
        await server.drain()
        stats = server.stats()
        server.close()
        return stats

    with running() as portal:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        server = portal.call(take, portal, theirs.detach())
        with ours:
            for _ in range(2):
                ours.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert ours.recv(1000).startswith(b"HTTP/1.1 404 ")
        stats = portal.call(drain, server)
    assert (stats["accepted"], stats["requests"], stats["open"]) == (1, 2, 0)


def test_a_stopping_server_takes_none() -> None:
    async def stop_and_take(portal: Portal, fd: int) -> None:
        server = portal.service.make_server(Request)
        await server.drain()
        try:
            server.take(fd)
        finally:
            server.close()

    with running() as portal:
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(OSError, match="Invalid argument"):
            portal.call(stop_and_take, portal, theirs.fileno())


def test_a_server_without_a_loop_takes_none() -> None:
    from fluvial._asgi.under_other_servers import AsgiSide

    with pytest.raises(RuntimeError, match="without a loop"):
        AsgiSide(App()).core.take(0)
