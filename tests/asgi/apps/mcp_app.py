"""A server of the Model Context Protocol, by SSE and by streamable HTTP."""

from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.routing import Mount

server = MCPServer("fluvial tests")


@server.tool()
async def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


http = server.streamable_http_app()
app = Starlette(
    routes=[Mount("/events", server.sse_app()), Mount("/", http)],
    lifespan=lambda _: http.router.lifespan_context(http),
)
