"""The workers of a server that a test has started, by its log and by what they answer; load."""

from __future__ import annotations

import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import httpx
from support.command import PATIENCE
from support.h2_client import H2Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from support.command import ServerProcess
    from support.tls_socket import TlsSocket


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def workers_of(server: ServerProcess) -> set[int]:
    return {int(pid) for pid in re.findall(r"Started worker (\d+)", server.log)}


def pids_that_answer(server: ServerProcess, count: int) -> set[int]:
    found: set[int] = set()

    def ask() -> bool:
        try:
            found.add(httpx.get(f"{server.url}/pid", timeout=PATIENCE).json())
        except httpx.TransportError:
            return False
        return len(found) >= count

    until(ask)
    return found


class Threads:
    """Threads that run within a block, until `_over` is set; none may add to `failures`."""

    def __init__(self, target: Callable[[Any], None], arguments: Iterable[Any]) -> None:
        self._over = threading.Event()
        self.failures: list[BaseException] = []
        self._threads = [threading.Thread(target=target, args=(each,)) for each in arguments]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert self.failures == []


def read_answer(sock: socket.socket | TlsSocket) -> bytes:
    """The answer to one request, whose body comes as a whole."""
    answer = b""
    while b"\r\n\r\n" not in answer or answer.endswith(b"\r\n\r\n"):
        piece = sock.recv(65536)
        assert piece, f"no answer but {answer!r}"
        answer += piece
    return answer


class Load(Threads):
    """Requests without a pause: on kept connections, and on a new one for each."""

    def __init__(self, url: str) -> None:
        super().__init__(self._run, (True, True, False))
        self._url = httpx.URL(url)
        self.answers = 0

    def _run(self, keep: bool) -> None:
        sock: socket.socket | None = None
        try:
            while not self._over.is_set():
                if sock is None:
                    sock = socket.create_connection((self._url.host, self._url.port))
                    sock.settimeout(PATIENCE)
                again = b"" if keep else b"Connection: close\r\n"
                sock.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\n%s\r\n" % again)
                answer = read_answer(sock)
                self.answers += 1
                if b"connection: close" in answer.lower():
                    sock.close()
                    sock = None
        except Exception as exc:
            self.failures.append(exc)
        finally:
            if sock is not None:
                sock.close()

    def wait_for(self, count: int) -> None:
        """Returns when `count` more requests have been answered."""
        goal = self.answers + count
        until(lambda: self.answers >= goal or bool(self.failures))


class Http2Load(Threads):
    """Requests by HTTP/2, a few at a time, on connections that are left when the server says so."""

    def __init__(self, url: str) -> None:
        super().__init__(self._run, (4, 1))
        self._url = httpx.URL(url)
        self.answers = 0
        self.left = 0  # connections, after GOAWAY

    def _run(self, at_once: int) -> None:
        client: H2Client | None = None
        try:
            while not self._over.is_set():
                if client is None or client.goaway is not None:
                    if client is not None:
                        self.left += 1
                        client.until_closed()
                        client.sock.close()
                    sock = socket.create_connection((self._url.host, self._url.port))
                    sock.settimeout(PATIENCE)
                    client = H2Client(sock)
                streams = [client.request("/pid") for _ in range(at_once)]
                for stream in streams:
                    assert client.answer(stream).status == 200
                    self.answers += 1
        except Exception as exc:
            self.failures.append(exc)
        finally:
            if client is not None:
                client.sock.close()

    def wait_for(self, count: int) -> None:
        """Returns when `count` more requests have been answered."""
        goal = self.answers + count
        until(lambda: self.answers >= goal or bool(self.failures))

    def wait_left(self, count: int) -> None:
        """Returns when so many connections were left."""
        until(lambda: self.left >= count or bool(self.failures))
