"""What Fluvial is for: a slow request delays nobody, whether it awaits or blocks its thread.

Time is what these are about; the bounds leave room for a busy machine, but none for requests that
wait for each other.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.command import ServerProcess, serving

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with serving("mission:app", "--no-access-log", app_dir=APPS) as server:
        yield server


class Client:
    """A connection that costs the test little, since the processor is the server's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, url: str) -> Client:
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def get(self, path: str) -> float:
        """Seconds until the whole answer was there."""
        started = time.monotonic()
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: mission\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        found = re.search(rb"\r\ncontent-length: (\d+)\r\n", head, re.IGNORECASE)
        assert found, head
        await self.reader.readexactly(int(found[1]))
        return time.monotonic() - started

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def load(url: str, slow: str, count: int) -> tuple[float, list[float]]:
    """Asks for `slow` `count` times at once, and until all are answered for `/async` in turn.

    Returns the seconds until the last slow answer, and those of each quick one.
    """
    clients = await asyncio.gather(*(Client.connect(url) for _ in range(count + 1)))
    quick_client, *slow_clients = clients
    started = time.monotonic()
    all_slow = asyncio.gather(*(client.get(slow) for client in slow_clients))
    quick = []
    while not all_slow.done():
        quick.append(await quick_client.get("/async"))
    await all_slow
    seconds = time.monotonic() - started
    await asyncio.gather(*(client.close() for client in clients))
    return seconds, quick


def check_quick(seconds: list[float]) -> None:
    assert len(seconds) >= 20
    assert sorted(seconds)[len(seconds) // 2] < 0.1
    assert max(seconds) < 1.0


def test_requests_that_wait_do_so_together(server: ServerProcess) -> None:
    seconds, quick = asyncio.run(load(server.url, "/delayed", 200))
    assert 3 <= seconds < 6  # 600, one after the other
    check_quick(quick)


def test_threads_that_block_do_so_together(server: ServerProcess) -> None:
    seconds, quick = asyncio.run(load(server.url, "/blocking", 30))
    assert 1 <= seconds < 4  # 30, one after the other
    check_quick(quick)
