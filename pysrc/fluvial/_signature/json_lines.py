"""What a generator yields as JSON Lines: one JSON value in each line (https://jsonlines.org)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing
from typing import Any

from .._calling.callables import Flavour, flavour
from ..responses import Response, StreamingResponse

_GENERATORS = (Flavour.SYNC_GENERATOR, Flavour.ASYNC_GENERATOR)


class JSONLinesResponse(StreamingResponse):
    """The response of a handler that yields, unless its route names another class."""

    media_type = "application/jsonl"


def response_class_of(
    endpoint: Callable[..., Any], given: type[Response] | None
) -> type[Response] | None:
    """The response class that a route was `given`, or the default for its kind of handler."""
    if given is None and flavour(endpoint) in _GENERATORS:
        return JSONLinesResponse
    return given


def lines_of(items: Any, encode: Callable[[Any], bytes]) -> Any:
    """An iterator of the same kind (sync or async) over the lines of the items."""
    return _later(items, encode) if hasattr(items, "__aiter__") else _now(items, encode)


async def _later(items: Any, encode: Callable[[Any], bytes]) -> AsyncIterator[bytes]:
    async with aclosing(items):
        async for item in items:
            yield encode(item) + b"\n"


def _now(items: Any, encode: Callable[[Any], bytes]) -> Iterator[bytes]:
    with closing(items):
        for item in items:
            yield encode(item) + b"\n"
