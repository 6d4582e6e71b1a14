"""Connects that are cancelled at each of their steps: no descriptor, task or warning stays."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from fluvial._loop import Loop

STEPS = 25


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


async def cancelled_after(steps: int, connect: Callable[[], Awaitable[Any]]) -> bool:
    """Whether it was still going on after that many iterations of the loop."""
    task = asyncio.ensure_future(connect())
    for _ in range(steps):
        await asyncio.sleep(0)
    going = not task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        transport, _ = await task
        transport.abort()
    return going


def run_cancelled(loop: Loop, connect: Callable[[], Awaitable[Any]]) -> None:
    async def main() -> None:
        # once undisturbed: whatever is made on first use stays open
        transport, _ = await connect()
        transport.abort()
        await asyncio.sleep(0.001)
        gc.collect()
        tasks, before = len(asyncio.all_tasks()), descriptors()
        assert await cancelled_after(0, connect)
        for steps in range(1, STEPS):
            await cancelled_after(steps, connect)
        await asyncio.sleep(0.01)
        gc.collect()
        assert len(asyncio.all_tasks()) == tasks
        assert descriptors() == before
        assert len(loop._held()) == 0

    reported: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reported.append(context))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop.run_until_complete(main())
    assert reported == []


@pytest.fixture
def address() -> Iterator[Any]:
    """Of a listener that nobody accepts from."""
    with socket.create_server(("127.0.0.1", 0), backlog=4 * STEPS) as sock:
        yield sock.getsockname()


@pytest.mark.parametrize("options", [{}, {"happy_eyeballs_delay": 0.01}])
def test_tcp(fluvial_loop: Loop, address: Any, options: dict[str, Any]) -> None:
    run_cancelled(
        fluvial_loop,
        lambda: fluvial_loop.create_connection(asyncio.Protocol, *address, **options),
    )


def test_tcp_by_name(fluvial_loop: Loop, address: Any) -> None:
    """A thread looks the name up: how many steps it takes isn't known."""

    async def main() -> None:
        # Once undisturbed: the loop opens some things at their first use.
        transport, _ = await fluvial_loop.create_connection(
            asyncio.Protocol, "localhost", address[1]
        )
        transport.abort()
        await asyncio.sleep(0.001)
        before = descriptors()
        for steps in range(STEPS):
            await cancelled_after(
                steps,
                lambda: fluvial_loop.create_connection(asyncio.Protocol, "localhost", address[1]),
            )
        await fluvial_loop.shutdown_default_executor()
        await asyncio.sleep(0.001)
        assert descriptors() <= before

    fluvial_loop.run_until_complete(main())


def test_unix(fluvial_loop: Loop, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(4 * STEPS)
        run_cancelled(
            fluvial_loop, lambda: fluvial_loop.create_unix_connection(asyncio.Protocol, path)
        )


def test_a_connect_that_hangs(fluvial_loop: Loop) -> None:
    """The peer's backlog is full, so that the kernel doesn't answer."""

    async def main() -> None:
        with socket.socket() as listener, contextlib.ExitStack() as stack:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(3):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
            before = descriptors()
            for connect in (
                lambda: fluvial_loop.create_connection(asyncio.Protocol, *listener.getsockname()),
                lambda: raw(listener.getsockname()),
            ):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await connect()
                assert descriptors() == before

    async def raw(address: Any) -> None:
        with socket.socket() as sock:
            sock.setblocking(False)
            await fluvial_loop.sock_connect(sock, address)

    fluvial_loop.run_until_complete(main())


def test_a_protocol_that_can_not_be_made(fluvial_loop: Loop, address: Any) -> None:
    def broken() -> asyncio.Protocol:
        raise ZeroDivisionError

    async def main() -> None:
        before = descriptors()
        with pytest.raises(ZeroDivisionError):
            await fluvial_loop.create_connection(broken, *address)
        left, right = socket.socketpair()
        with pytest.raises(ZeroDivisionError):
            await fluvial_loop.create_connection(broken, sock=left)
        if sys.version_info >= (3, 14):  # asyncio closes whatever socket no transport is made of
            assert left.fileno() == -1
        else:
            left.send(b"still the caller's")
        left.close()
        right.close()
        gc.collect()
        assert descriptors() == before

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fluvial_loop.run_until_complete(main())


@pytest.mark.parametrize("turns", [1, 2])
def test_a_protocol_never_hears_of_a_connect_that_is_cancelled_soon(
    loop: asyncio.AbstractEventLoop, turns: int
) -> None:
    """Also where the connect itself has succeeded at once. asyncpg's pools depend on it."""
    told: list[str] = []

    class Told(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            told.append("made")

        def connection_lost(self, exc: Exception | None) -> None:
            told.append("lost")

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            connecting = loop.create_task(loop.create_connection(Told, "127.0.0.1", port))
            for _ in range(turns):
                await asyncio.sleep(0)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            for _ in range(5):
                await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert told == []
