"""sse-starlette: a stream of events, with and without their names."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sse_starlette.sse import EventSourceResponse, ServerSentEvent

app = FastAPI()


async def numbers() -> AsyncIterator[Any]:
    for number in range(2):
        yield {"data": number, "event": "number", "id": str(number)}
    yield ServerSentEvent("end")


@app.get("/events")
async def events() -> EventSourceResponse:
    return EventSourceResponse(numbers())


with TestClient(app) as client:
    response = client.get("/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = response.text.replace("\r\n", "\n").strip().split("\n\n")
    assert blocks == [
        "id: 0\nevent: number\ndata: 0",
        "id: 1\nevent: number\ndata: 1",
        "data: end",
    ], blocks
