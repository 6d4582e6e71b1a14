"""Echo servers, one for each way in which asyncio programs use sockets.

Standard library only: these run under each loop's own Python.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

READ_SIZE = 256 * 1024


class Echo(asyncio.Protocol):
    """Sends back what it gets; stops reading while its peer doesn't."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


class DatagramEcho(asyncio.DatagramProtocol):
    """Sends each datagram back to where it came from."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


async def protocol(where: str, _files: list[str]) -> None:
    await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", int(where), backlog=1024)


async def unix(where: str, _files: list[str]) -> None:
    await asyncio.get_running_loop().create_unix_server(Echo, where, backlog=1024)


async def udp(where: str, _files: list[str]) -> None:
    address = ("127.0.0.1", int(where))
    await asyncio.get_running_loop().create_datagram_endpoint(DatagramEcho, local_addr=address)


async def tls(where: str, files: list[str]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    await asyncio.get_running_loop().create_server(
        Echo, "127.0.0.1", int(where), backlog=1024, ssl=context
    )


async def streams(where: str, _files: list[str]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(READ_SIZE):
            writer.write(data)
            await writer.drain()
        writer.close()

    await asyncio.start_server(serve, "127.0.0.1", int(where), backlog=1024, limit=READ_SIZE)


async def sock(where: str, _files: list[str]) -> None:
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", int(where)), backlog=1024)
    listener.setblocking(False)
    serving = set()

    async def serve(conn: socket.socket) -> None:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with conn:
            while data := await loop.sock_recv(conn, READ_SIZE):
                await loop.sock_sendall(conn, data)

    async def accept() -> None:
        while True:
            conn, _ = await loop.sock_accept(listener)
            task = loop.create_task(serve(conn))
            serving.add(task)
            task.add_done_callback(serving.discard)

    serving.add(loop.create_task(accept()))


SERVERS: dict[str, Callable[[str, list[str]], Awaitable[None]]] = {
    function.__name__: function for function in (protocol, unix, udp, tls, streams, sock)
}
