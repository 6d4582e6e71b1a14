"""Server-sent events, as a client that knows nothing of the server's classes reads them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx_sse
import pytest
from fluvial import (
    App,
    Depends,
    EventSourceResponse,
    HTMLResponse,
    ServerSentEvent,
    StreamingResponse,
)
from support.serving import Served, serving

EVENTS = [
    ServerSentEvent(comment="only a comment"),
    ServerSentEvent(data={"a": [1, "é"]}, event="news", id="7", retry=2500),
    ServerSentEvent(data="text is JSON, too"),
    ServerSentEvent(raw_data="two\r\nlines\rand a third\n"),
    {"plain": True},
    b"data: as it is\n\n",
]
READ = [
    ("news", '{"a":[1,"é"]}', "7", 2500),
    ("message", '"text is JSON, too"', "7", None),
    ("message", "two\nlines\nand a third\n", "7", None),
    ("message", '{"plain":true}', "7", None),
    ("message", "as it is", "7", None),
]


def read_events(app: Served, path: str) -> list[tuple[str, str, str, int | None]]:
    with httpx_sse.connect_sse(app.client, "GET", path) as source:
        return [(e.event, e.data, e.id, e.retry) for e in source.iter_sse()]


def test_events_from_iterators_and_generators() -> None:
    app = App()

    async def events() -> AsyncIterator[Any]:
        for event in EVENTS:
            yield event

    @app.get("/response")
    async def response() -> EventSourceResponse:
        return EventSourceResponse(events())

    @app.get("/iterable")
    def iterable() -> EventSourceResponse:
        return EventSourceResponse(EVENTS)

    @app.get("/async", response_class=EventSourceResponse)
    async def generator() -> AsyncIterator[Any]:
        async for event in events():
            yield event

    @app.get("/sync", response_class=EventSourceResponse)
    def sync_generator() -> Iterator[Any]:
        yield from EVENTS

    with serving(app) as served:
        for path in ("/response", "/iterable", "/async", "/sync"):
            assert read_events(served, path) == READ
        answer = served.client.get("/async")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.startswith(
        ': only a comment\n\nevent: news\ndata: {"a":[1,"é"]}\nid: 7\nretry: 2500\n\n'
    )


def test_generators_take_parameters_and_dependencies() -> None:
    app = App()
    order = []

    async def resource() -> AsyncIterator[str]:
        yield "resource"
        order.append("cleaned up")

    @app.get("/{first}", response_class=EventSourceResponse)
    async def count(first: int, last: int, name: str = Depends(resource)) -> AsyncIterator[Any]:
        for number in range(first, last):
            yield {name: number}
        order.append("sent")

    with serving(app) as served:
        texts = [data for _, data, _, _ in read_events(served, "/3?last=5")]
        assert texts == ['{"resource":3}', '{"resource":4}']
        assert served.client.get("/three?last=5").status_code == 422
    assert order == ["sent", "cleaned up"]


def test_any_stream_may_come_from_a_generator() -> None:
    app = App()

    @app.get("/", response_class=StreamingResponse)
    async def pieces() -> AsyncIterator[str]:
        yield "one "
        yield "two"

    with serving(app) as served:
        assert served.client.get("/").text == "one two"


def test_an_idle_stream_is_kept_alive_and_begins_at_once() -> None:
    app = App()
    go = asyncio.Event()

    async def events() -> AsyncIterator[Any]:
        await go.wait()
        yield "late"

    @app.get("/events")
    async def stream() -> EventSourceResponse:
        return EventSourceResponse(events(), ping=0.02)

    @app.get("/go")
    async def release() -> None:
        go.set()

    with serving(app) as served, served.client.stream("GET", "/events") as answer:
        # Only comments can have come so far, and the generator gives nothing before /go.
        assert answer.status_code == 200
        read = b""
        pieces = answer.iter_raw()
        while read.count(b": ping\n\n") < 3:
            read += next(pieces)
        assert served.new_client().get("/go").status_code == 200
        read += b"".join(pieces)
    assert read.replace(b": ping\n\n", b"") == b'data: "late"\n\n'


def test_the_generator_is_closed_when_the_client_goes() -> None:
    app = App()
    closed = asyncio.Event()

    @app.get("/events", response_class=EventSourceResponse)
    async def stream() -> AsyncIterator[Any]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.set()

    @app.get("/closed")
    async def wait() -> str:
        await closed.wait()
        return "closed"

    with serving(app) as served:
        with httpx_sse.connect_sse(served.new_client(), "GET", "/events") as source:
            assert next(source.iter_sse()).data == "1"
        assert served.client.get("/closed").json() == "closed"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"event": "a\nb"}, "'event' must be a single line"),
        ({"id": "a\rb"}, "'id' must be a single line"),
        ({"id": "a\0b"}, "must not contain NUL"),
        ({"retry": -1}, "milliseconds >= 0, not -1"),
        ({"retry": 1.5}, "milliseconds >= 0, not 1.5"),
        ({"data": 1, "raw_data": "1"}, "Cannot set both"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ServerSentEvent(**fields)


def test_ping_must_be_a_time() -> None:
    with pytest.raises(ValueError, match="more than 0 seconds, not 0"):
        EventSourceResponse([], ping=0)


def test_an_async_generator_needs_a_class_that_streams() -> None:
    app = App()

    async def pieces() -> AsyncIterator[str]:
        yield "one"

    with pytest.raises(TypeError, match="or say StreamingResponse or EventSourceResponse"):
        app.get("/", response_class=HTMLResponse)(pieces)
