"""Measures WebSocket servers: messages that come back, and what an idle connection costs."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .load import LoadFailed, children_cpu_seconds
from .raw import build_echo_load

if TYPE_CHECKING:
    from .measure import Figures
    from .process import ServerProcess

KIB = 1024
MIB = KIB * KIB
IDLE_CONNECTIONS = 1000
_KEY = "AAAAAAAAAAAAAAAAAAAAAA=="


@dataclass(frozen=True, slots=True)
class WebSocketEcho:
    """Messages of `size` bytes on 64 connections, each sent when the one before has come back."""

    size: int
    connections: int = 64

    def __call__(self, server: ServerProcess, seconds: int) -> Figures:
        command = [str(build_echo_load()), "ws", str(server.port)]
        command += [str(self.connections), str(self.size), str(seconds)]
        used, load_used = server.usage(), children_cpu_seconds()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LoadFailed(done.stderr[-2000:])
        messages, wall = (float(figure) for figure in done.stdout.split())
        if not messages:
            raise LoadFailed("no message came back")
        used = server.usage() - used
        cpu_us = used.cpu_ns / 1000 / messages
        return {
            "rps": messages / wall,
            "cpu_us": cpu_us,
            "user_us": cpu_us * used.user_share,
            "system_us": cpu_us * (1 - used.user_share),
            "server_busy": used.cpu_ns / 1e9 / wall,
            "load_busy": (children_cpu_seconds() - load_used) / wall,
        }


@dataclass(frozen=True, slots=True)
class IdleWebSockets:
    """Memory that each of many connections adds after one message, with or without deflate."""

    deflate: bool

    def __call__(self, server: ServerProcess, seconds: int) -> Figures:
        sockets = [self._connect(server.port) for _ in range(20)]
        try:
            before = server.resident_bytes()
            sockets += [self._connect(server.port) for _ in range(IDLE_CONNECTIONS)]
            time.sleep(0.1)
            after = server.resident_bytes()
        finally:
            for sock in sockets:
                sock.close()
        return {"conn_kib": (after - before) / KIB / IDLE_CONNECTIONS}

    def _connect(self, port: int) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n" if self.deflate else ""
        sock.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n{offer}"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {_KEY}\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = sock.recv(1)
            if not byte:
                raise LoadFailed(f"the server closed the connection after {head!r}")
            head += byte
        if not head.startswith(b"HTTP/1.1 101"):
            raise LoadFailed(f"not upgraded: {head!r}")
        sock.sendall(_frame(b"x" * 100, deflated=b"permessage-deflate" in head.lower()))
        if not sock.recv(200):
            raise LoadFailed("the server closed a WebSocket")
        return sock


def _frame(content: bytes, *, deflated: bool) -> bytes:
    """A masked text frame of fewer than 126 bytes."""
    first = 0x81
    if deflated:
        packer = zlib.compressobj(wbits=-15)
        content = (packer.compress(content) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
        first |= 0x40
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(content))
    return bytes((first, 0x80 | len(content))) + mask + masked
