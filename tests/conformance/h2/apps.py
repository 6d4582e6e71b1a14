"""What h2spec's cases are run against: some of them send bodies, some want one of a few bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fluvial import App, Request
from fluvial.responses import PlainTextResponse, StreamingResponse

app = App()


@app.get("/")
async def index() -> PlainTextResponse:
    """A body that doesn't fit the smallest windows."""
    return PlainTextResponse("a few bytes")


@app.post("/")
async def post(request: Request) -> PlainTextResponse:
    """The body is read as a whole."""
    return PlainTextResponse(str(len(await request.body())))


@app.get("/endless")
async def endless() -> StreamingResponse:
    """For a client that gives it up."""

    async def produce() -> AsyncIterator[bytes]:
        while True:
            yield b"a piece of it, "

    return StreamingResponse(produce(), media_type="text/plain")
