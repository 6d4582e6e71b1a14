"""A server of the Model Context Protocol, unchanged, with the protocol's own client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.skips import need

if TYPE_CHECKING:
    from support.command import ServerProcess

need("mcp", "mcp.server.mcpserver")


async def use(streams: Any) -> tuple[list[str], Any]:
    import mcp  # takes a second, which other workers are spared

    async with streams as (read, write, *_), mcp.ClientSession(read, write) as session:
        await session.initialize()
        tools = await session.list_tools()
        result = await session.call_tool("add", {"a": 2, "b": 3})
        return [tool.name for tool in tools.tools], result.content[0].text


@pytest.mark.parametrize("transport", ["sse", "http"])
def test_a_session(server: ServerProcess, transport: str) -> None:
    from mcp.client.sse import sse_client
    from mcp.client.streamable_http import streamable_http_client

    if transport == "sse":
        streams: Any = sse_client(f"{server.url}/events/sse")
    else:
        streams = streamable_http_client(f"{server.url}/mcp")
    assert asyncio.run(asyncio.wait_for(use(streams), 60)) == (["add"], "5")
