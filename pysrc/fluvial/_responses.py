"""Responses: what a handler returns when a plain value isn't enough.

C reads `status_code`, `raw_headers` and `body`; when `body` is None it awaits
`respond(request, sender)`. Framing (Content-Length, chunks) is C's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from contextvars import copy_context
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from ._calling.threads import adopt_context, run_internal, submit, to_its_end
from ._cookies import SameSite, cookie_header
from ._datastructures import FIELD_VALUE, TOKEN, MutableHeaders, RawHeaders, header_field
from ._validation.write_json import to_json

if TYPE_CHECKING:
    from datetime import datetime

    from ._core import Sender
    from ._request import Request


class PieceSender(Protocol):
    """What a streamed body is written to, as `_core.Sender`."""

    def start(self, status_code: int, headers: RawHeaders, length: int = -1) -> None: ...
    def send(self, data: bytes) -> Awaitable[None]: ...


Background = Callable[[], Awaitable[None]]
Content = str | bytes | memoryview | None


class Response:
    """An answer: a status, header fields and a body.

    `content` is text, bytes or None; `media_type` goes into Content-Type, with the charset for
    text. `background` is awaited when the answer is out.
    """

    media_type: str | None = None
    charset = "utf-8"
    body: bytes | None
    # What respond() writes when `body` is None: this whole or, if set, the iterator's pieces.
    _content: bytes | None = None
    _iterator: AsyncIterable[Any] | Iterable[Any] | None = None

    def __init__(
        self,
        content: Any = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
    ) -> None:
        self.status_code = status_code
        if media_type is not None:
            self.media_type = media_type
        self.raw_headers = self._initial_headers(headers)
        self.body = self.render(content)
        self.background: Background | None = None
        self._cleanups: list[Background] = []
        if background is not None:
            self.run_after(background)

    def render(self, content: Any) -> bytes:
        """`content` as the body's bytes. Raises: TypeError."""
        return b"" if content is None else self._as_bytes(content, "content")

    def _as_bytes(self, content: Any, what: str) -> bytes:
        """Text and bytes-like objects. Raises: TypeError that calls `content` what it is."""
        if isinstance(content, bytes):
            return content
        if isinstance(content, str):
            return content.encode(self.charset)
        if not _is_bytes_like(content):
            raise TypeError(
                f"the {what} of a {type(self).__name__} is a str or bytes-like, not "
                f"{type(content).__name__}: write a JSONResponse, or str() around it"
            )
        return memoryview(content).tobytes()

    @property
    def headers(self) -> MutableHeaders:
        """The header fields; changes are changes of the answer."""
        return MutableHeaders(raw=self.raw_headers)

    def set_cookie(
        self,
        key: str,
        value: str = "",
        max_age: int | None = None,
        expires: datetime | str | int | None = None,
        path: str | None = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: SameSite | None = "lax",
        partitioned: bool = False,
    ) -> None:
        """Adds Set-Cookie (RFC 6265).

        `max_age` is in seconds, `expires` a time or seconds from now. Characters of Latin-1 that a
        value can't have are escaped as by Python's http.cookies.

        Raises: TypeError, ValueError for what else can't be sent.
        """
        header = cookie_header(
            key,
            value,
            max_age=max_age,
            expires=expires,
            path=path,
            domain=domain,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
            partitioned=partitioned,
        )
        self.raw_headers.append((b"set-cookie", header.encode("latin-1")))

    def delete_cookie(
        self,
        key: str,
        path: str = "/",
        domain: str | None = None,
        secure: bool = False,
        httponly: bool = False,
        samesite: SameSite | None = "lax",
    ) -> None:
        """Tells the client to forget a cookie."""
        self.set_cookie(
            key,
            max_age=0,
            expires=0,
            path=path,
            domain=domain,
            secure=secure,
            httponly=httponly,
            samesite=samesite,
        )

    @property
    def body_iterator(self) -> AsyncIterable[Any]:
        """The body in pieces, for middleware that reads what a handler answered.

        Raises: RuntimeError when there is none in memory, as of a file.
        """
        if self._iterator is not None:
            content = self._iterator
            return content if isinstance(content, AsyncIterable) else _in_pool(content)
        whole = self._content if self.body is None else self.body
        if whole is None:
            raise RuntimeError(f"a {type(self).__name__} has no body in memory")
        return _in_one_piece(whole)

    @body_iterator.setter
    def body_iterator(self, content: AsyncIterable[Any] | Iterable[Any]) -> None:
        if isinstance(content, str) or _is_bytes_like(content):
            content = (content,)  # whose items aren't pieces
        if isinstance(content, Mapping) or not isinstance(content, (AsyncIterable, Iterable)):
            raise TypeError(
                f"the content of a {type(self).__name__} is an iterator of pieces, sync or async, "
                f"not {type(content).__name__}"
            )
        self._iterator = content
        self.body = None

    async def respond(self, request: Request, sender: Sender) -> None:
        """Writes the answer piece by piece, then does what follows it; awaited by C."""
        try:
            await self._write(request, sender)
            if sender.started:
                sender.end()  # what follows is none of the client's business
            if self.background is not None:
                await self.background()
        except BaseException:
            if sender.started:
                request._store()["answered"] = True
            raise
        finally:
            await self.clean_up()

    async def _write(self, request: Request, sender: Sender) -> None:
        if self._iterator is not None:
            await self._write_iterator(request, sender)
            return
        content = self._content or b""
        with suppress(OSError):  # the client is gone, the background still wants to run
            sender.start(self.status_code, self.raw_headers, len(content))
            await sender.send(content)

    async def _write_iterator(self, request: Request, sender: Sender) -> None:
        if request.method == "HEAD":
            sender.start(self.status_code, self.raw_headers)
            await _close(self._iterator)  # whose pieces nobody gets
        else:
            await self._write_pieces(sender)

    async def _write_pieces(self, sender: PieceSender) -> None:
        pieces = self.body_iterator.__aiter__()
        try:
            sender.start(self.status_code, self.raw_headers)
            left = _TURN
            async for piece in pieces:
                data = self._render_piece(piece)
                await sender.send(data)
                left -= len(data)
                if left < 0:
                    left = _TURN
                    await asyncio.sleep(0)
        finally:
            if hasattr(pieces, "aclose"):
                await pieces.aclose()

    def _render_piece(self, piece: Any) -> bytes:
        """A piece of `body_iterator` as bytes, whatever `render` makes of a whole content."""
        return self._as_bytes(piece, "piece")

    def run_after(self, background: Background) -> None:
        """Has `background` awaited when the answer is out, unless something else is already.

        Raises: TypeError for what can't be called.
        """
        if not callable(background):
            raise TypeError(
                "background is a BackgroundTask, BackgroundTasks or an async function without "
                f"parameters, not {type(background).__name__}"
            )
        if self.background is None:
            self.background = background
            self._write_by_itself()

    def clean_up_after(self, cleanup: Background) -> None:
        """Has `cleanup` awaited after the answer and its background, also when they fail."""
        self._cleanups.append(cleanup)
        self._write_by_itself()

    async def clean_up(self) -> None:
        """Awaits all clean-ups, the last first, whether they fail or not."""
        try:
            if self._cleanups:
                await self._cleanups.pop()()
        finally:
            if self._cleanups:
                await self.clean_up()

    def take_over(self, other: Response) -> None:
        """Has done after this answer what was to be done after `other`, which won't go out."""
        cleanups, other._cleanups = other._cleanups, []
        background, other.background = other.background, None
        for each in (*cleanups, background):
            if each is not None:
                self.clean_up_after(each)

    def _write_by_itself(self) -> None:
        """Makes C call `respond`."""
        if self.body is not None:
            self._content = self.body
            self.body = None

    def _initial_headers(self, headers: Mapping[str, str] | None) -> RawHeaders:
        raw: RawHeaders = []
        if headers:
            raw = [header_field(name, value) for name, value in headers.items()]
            if any(name == b"content-type" for name, _ in raw):
                return raw
        if self.media_type is not None:
            media_type = self.media_type
            if media_type.startswith("text/") and "charset=" not in media_type.lower():
                media_type += f"; charset={self.charset}"
            raw.append(header_field("content-type", media_type))
        return raw


class PlainTextResponse(Response):
    """Text."""

    media_type = "text/plain"


class HTMLResponse(Response):
    """A page."""

    media_type = "text/html"


class JSONResponse(Response):
    """Any value that has a JSON form, compact and in UTF-8."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """`content` as JSON."""
        return to_json(content)


class RedirectResponse(Response):
    """Sends the client to `url`."""

    def __init__(
        self,
        url: object,
        status_code: int = 307,
        headers: Mapping[str, str] | None = None,
        background: Background | None = None,
    ) -> None:
        if not isinstance(url, str) and type(url).__module__ == "builtins":
            raise TypeError(f"the url of a redirect is a str or URL, not {type(url).__name__}")
        super().__init__(b"", status_code, headers, None, background)
        self.headers["location"] = quote(str(url), safe=":/%#?=@[]!$&'()*+,;")


class StreamingResponse(Response):
    """A body in pieces from an iterator, sync (in the thread pool) or async (on the loop).

    Pieces are bytes or text. The iterator waits while the client is slow, and is closed when the
    client goes away.
    """

    def __init__(
        self,
        content: AsyncIterable[Any] | Iterable[Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
    ) -> None:
        super().__init__(None, status_code, headers, media_type, background)
        self.body_iterator = content


def checked(response: Any) -> Any:
    """`response` when it can be sent, so that what is wrong is raised where it was made.

    Anything but a Response is JSON. Raises: TypeError, ValueError.
    """
    if isinstance(response, CoroutineType):
        return response
    if not isinstance(response, Response):
        return JSONResponse(response)
    check_head(response.status_code, response.raw_headers)
    return response


def check_head(status: object, headers: RawHeaders) -> None:
    """Raises: TypeError, ValueError for what no answer can begin with."""
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise ValueError(f"status_code must be 200 to 599, not {status!r}")
    for name, value in headers:
        if not TOKEN.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
            raise ValueError(f"malformed header field {name!r}: {value!r}")


def _is_bytes_like(content: object) -> bool:
    """Whether `content` is a buffer; numpy's scalars, which are buffers as well, are numbers."""
    try:
        return memoryview(content).ndim > 0  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


async def _close(iterator: Any) -> None:
    """Closes an iterator of either kind that wasn't begun, where it can be closed."""
    if hasattr(iterator, "aclose"):
        await iterator.aclose()
    elif hasattr(iterator, "close"):
        await run_internal(iterator.close)


async def _in_one_piece(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _in_pool(content: Iterable[Any]) -> AsyncIterator[Any]:
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


_END: Any = object()
# Bytes after which others get their turn: with a client that is fast enough send() never waits.
_TURN = 256 * 1024
