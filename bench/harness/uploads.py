"""Forms with a file of 20 MB, from a few connections that send them again and again."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .load import LoadFailed

if TYPE_CHECKING:
    from .measure import Figures
    from .process import ServerProcess

SIZE = 20_000_000  # bytes
CONNECTIONS = 2
BOUNDARY = b"----WebKitFormBoundary7MA4YWxkTrZu0gW"  # a browser's
HEAD = (
    b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)
FORM = HEAD + os.urandom(SIZE) + b"\r\n--" + BOUNDARY + b"--\r\n"


def upload(sock: socket.socket, path: str) -> None:
    """One request on an open connection. Raises: LoadFailed unless the size comes back."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(FORM)}\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=" + BOUNDARY + b"\r\n\r\n"
    sock.sendall(head.encode() + kind)
    sock.sendall(FORM)
    response = b""
    while not response.endswith(b"%d" % SIZE):
        if not (piece := sock.recv(65536)):
            raise LoadFailed(f"the server answered {response!r}")
        response += piece


@dataclass(frozen=True, slots=True)
class Upload:
    """Megabytes per second of the server's CPU time, of all its threads, and of wall time."""

    path: str
    count: int = 5  # for each connection

    def __call__(self, server: ServerProcess, seconds: int) -> Figures:
        failed: list[LoadFailed] = []

        def load() -> None:
            try:
                with socket.create_connection(("127.0.0.1", server.port), timeout=60) as sock:
                    for _ in range(self.count):
                        upload(sock, self.path)
            except (LoadFailed, OSError) as error:
                failed.append(LoadFailed(str(error)))

        before, start = server.usage(), time.perf_counter()
        threads = [threading.Thread(target=load) for _ in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        wall, used = time.perf_counter() - start, server.usage() - before
        megabytes = SIZE * self.count * CONNECTIONS / 1e6
        return {
            "mb_per_cpu_s": megabytes * 1e9 / used.cpu_ns,
            "mb_per_s": megabytes / wall,
            "user_share": used.user_share,
            "rss_mib": server.resident_bytes() / 1024 / 1024,
        }
