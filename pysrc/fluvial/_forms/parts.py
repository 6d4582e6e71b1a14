"""The parts of a multipart form as they arrive; nothing is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from python_multipart.multipart import parse_options_header

from ..datastructures import Headers
from ..exceptions import HTTPException
from .multipart import Head, MultipartBody

if TYPE_CHECKING:
    from .limits import FormLimits
    from .multipart import Event


class Part:
    """One part of a form, while it is received: a field, or a file if it has a `filename`.

    It is an asynchronous iterator of pieces of its content. When the next part is asked for, what
    has not been read of this one is dropped.
    """

    def __init__(self, source: _Source, head: Head, limit: int) -> None:
        self.name = head.name
        self.filename = head.filename
        self.headers = Headers(raw=head.headers)
        self._source = source
        self._limit = limit
        self._ended = False

    @property
    def content_type(self) -> str | None:
        """The type that the client says the content has."""
        return self.headers.get("content-type")

    def __aiter__(self) -> Part:
        return self

    async def __anext__(self) -> bytes:
        event = None if self._ended else await self._source.event()
        if event is None:
            self._ended = True
            raise StopAsyncIteration
        assert isinstance(event, bytes)
        return event

    async def read(self, limit: int | None = None) -> bytes:
        """The rest of the content, as a whole.

        `limit` is its maximum in bytes, by default that of a form's field. Raises: HTTPException
        413 when it is more, and what `Request.parts` raises.
        """
        most = self._limit if limit is None else limit
        content = bytearray()
        async for piece in self:
            if len(content) + len(piece) > most:
                detail = f"The part {self.name!r} is larger than {most} bytes"
                raise HTTPException(413, detail)
            content += piece
        return bytes(content)

    async def skip(self) -> None:
        """Drops the rest of the content."""
        async for _ in self:
            pass

    def __repr__(self) -> str:
        return f"Part(name={self.name!r}, filename={self.filename!r})"


class _Source:
    """The events of a form, one at a time."""

    def __init__(self, body: MultipartBody, stream: AsyncIterator[bytes]) -> None:
        self._body = body
        self._stream = stream
        self._events: list[Event] = []  # in reverse order

    async def head(self) -> Head | None:
        """The next part's; None at the end of the form."""
        while not self._events:
            if not await self._more():
                return None
        head = self._events.pop()
        assert isinstance(head, Head)
        return head

    async def event(self) -> Event:
        """The next one of the current part."""
        while not self._events:
            await self._more()
        return self._events.pop()

    async def _more(self) -> bool:
        """Reads a piece. Returns whether there was one."""
        async for piece in self._stream:
            self._events = self._body.feed(piece)[::-1]
            return True
        self._body.finish()
        return False


async def read_parts(request: Any, limits: FormLimits) -> AsyncIterator[Part]:
    """The parts of the body of `request`.

    Raises: HTTPException 415 when it isn't multipart/form-data, 400 or 413 when it is malformed or
    exceeds a limit.
    """
    content_type = request.header("content-type", "")
    if parse_options_header(content_type)[0] != b"multipart/form-data":
        raise HTTPException(415, "Unsupported media type: send multipart/form-data")
    body = MultipartBody(content_type, limits)
    async with aclosing(request.stream()) as stream:
        source = _Source(body, stream)
        while (head := await source.head()) is not None:
            part = Part(source, head, limits.field_size)
            yield part
            await part.skip()
