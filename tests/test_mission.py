"""What Fluvial is for: a slow request delays nobody, whether it awaits or blocks its thread.

The slow ones wait until a request of after them lets them go on, so where one waited for another
nothing would ever be answered. How quickly it is answered is what bench/ measures.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.command import serving

APPS = Path(__file__).parent / "apps"
PATIENCE = 90  # seconds


class Client:
    """A connection that costs the test little, since the processor is the server's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, url: str) -> Client:
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port))

    async def get(self, path: str) -> bytes:
        """The response's content."""
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: mission\r\n\r\n".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        found = re.search(rb"\r\ncontent-length: (\d+)\r\n", head, re.IGNORECASE)
        assert found, head
        return await self.reader.readexactly(int(found[1]))

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def load(url: str, slow: str, count: int) -> tuple[int, list[bytes]]:
    """Asks for `slow` `count` times at once and, until all of these are inside their handler, for
    something quick in turn. Then they may go on.

    Returns how many quick ones were answered while none of the slow ones was, and the latter's
    responses.
    """
    clients = await asyncio.gather(*(Client.connect(url) for _ in range(count + 1)))
    quick_client, *slow_clients = clients
    all_slow = asyncio.gather(*(client.get(f"/{slow}") for client in slow_clients))
    quick = 0
    async with asyncio.timeout(PATIENCE):
        while json.loads(await quick_client.get("/inside"))[slow] < count or quick < 20:
            quick += 1
        assert not all_slow.done()
        await quick_client.get("/go-on")
        answers = await all_slow
    await asyncio.gather(*(client.close() for client in clients))
    return quick, answers


@pytest.mark.parametrize(("slow", "count"), [("delayed", 200), ("blocking", 30)])
def test_slow_requests_delay_nobody(slow: str, count: int) -> None:
    """They wait together, and quick ones are answered meanwhile."""
    with serving("mission:app", "--no-access-log", app_dir=APPS) as server:
        quick, answers = asyncio.run(load(server.url, slow, count))
    assert quick >= 20
    assert len(answers) == count
    assert all(b"until it might go on" in answer for answer in answers)
