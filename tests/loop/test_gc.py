"""Loops, handles, transports and protocols die: alone, and in cycles."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from typing import Any

import pytest
from fluvial._loop import Loop


class Owner:
    """Something that a handle may belong to."""

    handle: Any = None

    def method(self, *args: object) -> None:
        pass


def collected(*refs: weakref.ref[Any]) -> bool:
    gc.collect()
    gc.collect()
    return [ref() for ref in refs] == [None] * len(refs)


def test_a_handle_that_ran_and_its_owner(fluvial_loop: Loop) -> None:
    owner = Owner()
    owner.handle = fluvial_loop.call_soon(owner.method, owner)
    refs = weakref.ref(owner), weakref.ref(owner.handle)
    fluvial_loop.run_until_complete(asyncio.sleep(0))
    del owner
    assert collected(*refs)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_cancelled_timer_and_its_owner(fluvial_loop: Loop, count: int) -> None:
    owner = Owner()
    owner.handle = fluvial_loop.call_later(99, owner.method, *[owner] * count)
    refs = weakref.ref(owner), weakref.ref(owner.handle)
    owner.handle.cancel()
    del owner
    assert collected(*refs)


@pytest.mark.parametrize("end", ["runs", "is cancelled", "waits when the loop stops"])
@pytest.mark.parametrize("kind", ["soon", "later"])
def test_a_handle_made_while_the_loop_runs_and_its_owner(
    fluvial_loop: Loop, kind: str, end: str
) -> None:
    owner = Owner()

    def schedule(owner: Owner) -> None:
        if kind == "soon":
            owner.handle = fluvial_loop.call_soon(owner.method, owner)
        else:
            delay = 0 if end == "runs" else 99
            owner.handle = fluvial_loop.call_later(delay, owner.method, owner)
        if end == "is cancelled":
            owner.handle.cancel()
        if end == "waits when the loop stops":
            fluvial_loop.stop()
        else:
            fluvial_loop.call_later(0.001, fluvial_loop.stop)

    fluvial_loop.call_soon(schedule, owner)
    fluvial_loop.run_forever()
    refs = weakref.ref(owner), weakref.ref(owner.handle)
    del owner
    if end == "waits when the loop stops":
        fluvial_loop.close()
    assert collected(*refs)


@pytest.mark.parametrize("kind", ["soon", "later"])
def test_an_unclosed_loop_in_a_cycle_with_what_waits_in_it(kind: str) -> None:
    loop = Loop()
    owner = Owner()

    def schedule(loop: Loop, owner: Owner) -> None:
        if kind == "soon":
            owner.handle = loop.call_soon(owner.method, loop)
        else:
            owner.handle = loop.call_later(99, owner.method, loop)
        loop.stop()

    loop.call_soon(schedule, loop, owner)
    loop.run_forever()
    refs = weakref.ref(loop), weakref.ref(owner)
    del loop, owner
    with pytest.warns(ResourceWarning, match="unclosed event loop") as warnings:
        gc.collect()
    warnings.clear()  # they name the loop; from 3.15 on it keeps its weak references until it goes
    assert collected(*refs)


def test_a_loop_in_a_cycle_with_what_it_holds() -> None:
    loop = Loop()
    owner = Owner()
    owner.handle = loop.call_soon(owner.method, loop, owner)
    loop.call_later(99, owner.method, loop)
    loop.set_task_factory(lambda loop, coro, **kw: asyncio.Task(coro, loop=loop, **kw))
    refs = weakref.ref(loop), weakref.ref(owner)
    loop.close()
    del loop, owner
    assert collected(*refs)


def test_a_loop_closed_while_something_refers_to_it() -> None:
    loop = Loop()
    handle = loop.call_soon(print)
    timer = loop.call_later(9, print)
    loop.close()
    repr(handle)
    handle.cancel()
    timer.cancel()
    ref = weakref.ref(loop)
    del loop, handle, timer
    assert collected(ref)


def test_a_closed_transport_in_a_cycle_with_its_protocol(fluvial_loop: Loop) -> None:
    async def main() -> list[weakref.ref[Any]]:
        left, right = socket.socketpair()
        transport, protocol = await fluvial_loop.create_connection(Streaming, sock=left)
        protocol.me = protocol
        transport.close()
        await protocol.lost
        right.close()
        return [weakref.ref(transport), weakref.ref(protocol)]

    class Streaming(asyncio.Protocol):
        me: Any

        def __init__(self) -> None:
            self.lost = fluvial_loop.create_future()

        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def connection_lost(self, exc: object) -> None:
            self.lost.set_result(None)

    refs = fluvial_loop.run_until_complete(main())
    fluvial_loop.run_until_complete(asyncio.sleep(0))  # libuv lets go of the memory
    assert collected(*refs)


def test_a_loop_that_dies_with_open_transports() -> None:
    loop = Loop()

    class Cyclic(asyncio.Protocol):
        transport: Any

    async def main() -> tuple[Any, Any]:
        left, right = socket.socketpair()
        running = asyncio.get_running_loop()
        transport, protocol = await running.create_connection(Cyclic, sock=left)
        right.close()
        protocol.transport = transport
        transport.pause_reading()
        return weakref.ref(transport), weakref.ref(protocol)

    refs = *loop.run_until_complete(main()), weakref.ref(loop)
    del loop
    with pytest.warns(ResourceWarning) as warnings:
        gc.collect()
    messages = [str(warning.message) for warning in warnings]
    assert any("unclosed event loop" in message for message in messages)
    assert any("unclosed transport" in message for message in messages)
    warnings.clear()
    assert collected(*refs)
