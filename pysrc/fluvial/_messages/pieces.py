"""Bodies in pieces: what they come from and what they are written to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

from .._calling.threads import adopt_context, run_internal, submit, to_its_end

if TYPE_CHECKING:
    from .header_fields import RawHeaders

_END: Any = object()


class PieceSender(Protocol):
    """What a streamed body is written to, as `_core.Sender`."""

    def start(self, status_code: int, headers: RawHeaders, length: int = -1) -> None: ...
    def send(self, data: bytes) -> Awaitable[None]: ...


def is_bytes_like(content: object) -> bool:
    """Whether `content` is a buffer; numpy's scalars, which are buffers as well, are numbers."""
    try:
        return memoryview(content).ndim > 0  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


async def close_iterator(iterator: Any) -> None:
    """Closes an iterator of either kind that wasn't begun, where it can be closed."""
    if hasattr(iterator, "aclose"):
        await iterator.aclose()
    elif hasattr(iterator, "close"):
        await run_internal(iterator.close)


async def in_one_piece(body: bytes) -> AsyncIterator[bytes]:
    """`body` as an iterator."""
    yield body


async def in_pool(content: Iterable[Any]) -> AsyncIterator[Any]:
    """What a sync iterable gives, each piece made in the thread pool."""
    context = copy_context()
    iterator = iter(content)
    try:
        while True:
            # An iterator can't be closed while it is at work.
            piece = await to_its_end(submit(context, next, iterator, _END))
            if piece is _END:
                break
            yield piece
    finally:
        if hasattr(iterator, "close"):
            await run_internal(context.run, iterator.close)
        adopt_context(context)
