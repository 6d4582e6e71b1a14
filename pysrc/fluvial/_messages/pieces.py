"""Bodies in pieces: the iterators that they come from, and what they are written to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

from .._calling.threads import adopt_context, run_internal, submit, to_its_end

if TYPE_CHECKING:
    from .header_fields import RawHeaders

_END: Any = object()


class PieceSender(Protocol):
    """What a streamed body is written to, such as `_core.Sender`."""

    def start(self, status_code: int, headers: RawHeaders, length: int = -1) -> None: ...
    def send(self, data: bytes) -> Awaitable[None]: ...


def is_bytes_like(content: object) -> bool:
    """Whether `content` is a buffer, other than a scalar of numpy, which counts as a number."""
    try:
        return memoryview(content).ndim > 0  # type: ignore[arg-type]  # whether it fits is the question
    except (TypeError, ValueError):
        return False


async def close_iterator(iterator: Any) -> None:
    """Closes an iterator, sync or async, that hasn't been started, if it can be closed."""
    if hasattr(iterator, "aclose"):
        await iterator.aclose()
    elif hasattr(iterator, "close"):
        await run_internal(iterator.close)


async def in_one_piece(body: bytes) -> AsyncIterator[bytes]:
    """An iterator that gives `body` as its only piece."""
    yield body


async def in_pool(content: Iterable[Any]) -> AsyncIterator[Any]:
    """The pieces of a sync iterable, each of which is made in the thread pool."""
    context = copy_context()
    iterator = iter(content)
    try:
        while True:
            # Waits even when cancelled: a generator can't be closed while it runs.
            piece = await to_its_end(submit(context, next, iterator, _END))
            if piece is _END:
                break
            yield piece
    finally:
        if hasattr(iterator, "close"):
            await run_internal(context.run, iterator.close)
        adopt_context(context)
