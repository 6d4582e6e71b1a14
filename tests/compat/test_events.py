"""Server-sent events of FastAPI's programs."""

from collections.abc import AsyncIterable
from math import nan

import pytest
from fluvial._compat.fastapi import FastAPI
from fluvial._compat.responses import EventSourceResponse
from fluvial.sse import ServerSentEvent
from fluvial.testclient import TestClient
from pydantic import BaseModel


class Item(BaseModel):
    name: str


def test_events_beside_a_model_are_as_they_are() -> None:
    """In FastAPI the annotation is for what isn't a ServerSentEvent."""
    app = FastAPI()

    @app.get("/", response_class=EventSourceResponse)
    async def read() -> AsyncIterable[Item]:
        yield Item(name="a")
        yield ServerSentEvent(data={"b": 1}, event="other")  # type: ignore[misc]
        yield ServerSentEvent(data=["text", nan])  # type: ignore[misc]
        yield ServerSentEvent(data=Item(name="b"))  # type: ignore[misc]

    response = TestClient(app).get("/")
    assert response.headers["cache-control"] == "no-cache"
    assert response.text == (
        'data: {"name":"a"}\n\nevent: other\ndata: {"b": 1}\n\ndata: ["text", null]\n\n'
        'data: {"name":"b"}\n\n'
    )


@pytest.mark.parametrize("name", ["fastapi.responses", "fastapi.sse"])
def test_by_the_map(name: str) -> None:
    from fluvial._compat.names import MODULES

    assert MODULES[name][0] == "fluvial._compat.responses"
