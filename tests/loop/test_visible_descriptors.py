"""Descriptors closed behind the loop's back: libuv's own are never visible to Python, so that what
a user closes can break a connection at worst, and never the process."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fluvial._loop import Loop


# Each stage closes every number that a user can see at that moment. In a process of its own,
# since libuv would abort it.
STAGES = ["listening", "made", "traffic", "paused", "queued", "closing"]
PROGRAM = """
import asyncio, contextlib, gc, os, socket, sys
from fluvial._loop import Loop


stage, kind = sys.argv[1:]

class Peer(asyncio.Protocol):
    def __init__(self):
        self.size, self.lost = 0, asyncio.get_running_loop().create_future()
    def connection_made(self, transport):
        self.transport = transport
        if stage == "made":
            shut(transport)
    def data_received(self, data):
        self.size += len(data)
    def connection_lost(self, exc):
        self.lost.set_result(None)

def shut(*owners):
    for owner in owners:
        sock = owner.get_extra_info("socket") if hasattr(owner, "get_extra_info") else owner
        if sock.fileno() >= 0:
            with contextlib.suppress(OSError):
                os.close(sock.fileno())

async def connect(loop):
    made = loop.create_future()
    def serve():
        made.set_result(Peer())
        return made.result()
    if kind == "lent":
        left, right = socket.socketpair()
        if stage == "listening":
            os.close(left.fileno())
        client, _ = await loop.create_connection(Peer, sock=left)
        server, _ = await loop.connect_accepted_socket(serve, right)
        return None, client, server
    listener = await loop.create_server(serve, "127.0.0.1", 0)
    client, _ = await loop.create_connection(Peer, *listener.sockets[0].getsockname())
    await made
    if stage == "listening":
        shut(*listener.sockets)
    await asyncio.sleep(0.001)
    return listener, client, made.result().transport

async def main():
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: print("reported", context["message"]))
    listener, client, server = await connect(loop)
    peer = server.get_protocol()
    client.write(b"x")
    if stage == "traffic":
        shut(client, server)
    await asyncio.sleep(0.001)
    if stage == "paused":
        client.pause_reading()
        server.pause_reading()
        shut(client, server)
        await asyncio.sleep(0.001)
        client.resume_reading()
        server.resume_reading()
    client.write(bytes(5_000_000))
    if stage == "queued":
        shut(client, server)
    others = [socket.socket() for _ in range(4)]  # take the numbers
    for _ in range(1000):
        if peer.size == 5_000_001:
            break
        await asyncio.sleep(0.01)
    print("size", peer.size)
    lost = [client.get_protocol().lost, peer.lost]
    if stage == "closing":
        client.close()
        server.abort()
        shut(client, server)
    client.close()
    await asyncio.wait(lost)
    if listener is not None:
        with contextlib.suppress(OSError):
            listener.close()
    for other in others:
        with contextlib.suppress(OSError):
            other.close()
    gc.collect()

with contextlib.suppress(OSError):
    asyncio.Runner(loop_factory=Loop).run(main())
gc.collect()
print("survived")
"""


@pytest.mark.parametrize("kind", ["server", "lent"])
@pytest.mark.parametrize("stage", STAGES)
def test_whatever_a_user_closes_the_process_survives(stage: str, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, stage, kind],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("survived\n")
    if stage != "listening" or kind != "lent":
        assert "size 5000001" in done.stdout  # what libuv uses is untouched


def test_the_number_of_a_transports_socket_is_its_own(fluvial_loop: Loop) -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        before = set(os.listdir("/proc/self/fd"))
        _, writer = await asyncio.open_connection(*address)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getpeername() == address == writer.get_extra_info("peername")
        assert sock.getsockname() == writer.get_extra_info("sockname")
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
        number = sock.fileno()
        assert number == sock.fileno() == writer.get_extra_info("socket").fileno()
        assert str(number) not in before
        with sock.dup() as other:
            assert other.getpeername() == address
        with pytest.raises(RuntimeError, match="is used by transport"):
            fluvial_loop.add_reader(number, print)
        assert f"fd={number}" in repr(sock)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0)
        assert sock.fileno() == -1
        with pytest.raises(OSError, match="Bad file descriptor"):
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        server.close()
        await server.wait_closed()

    fluvial_loop.run_until_complete(main())


def test_asking_a_transports_socket_opens_nothing(fluvial_loop: Loop) -> None:
    """Programs that only set an option must not need two descriptors for each connection."""

    async def main() -> None:
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        before = len(os.listdir("/proc/self/fd"))
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.getpeername()
        assert len(os.listdir("/proc/self/fd")) == before
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    fluvial_loop.run_until_complete(main())


def test_a_socket_that_is_asked_for_late(fluvial_loop: Loop) -> None:
    async def main() -> Any:
        left, right = socket.socketpair()
        transport, _ = await fluvial_loop.create_connection(asyncio.Protocol, sock=left)
        server = await fluvial_loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        other, _ = await fluvial_loop.create_connection(
            asyncio.Protocol, *server.sockets[0].getsockname()
        )
        transport.abort()
        other.abort()
        await asyncio.sleep(0.001)
        for closed in (transport, other):
            assert closed.get_extra_info("socket").fileno() == -1
        assert other.get_extra_info("peername") == server.sockets[0].getsockname()
        assert other.get_extra_info("no such thing", 5) == 5
        server.close()
        right.close()

    fluvial_loop.run_until_complete(main())
    gc.collect()
