"""Responses: what a handler returns when a plain value isn't enough.

C reads `status_code`, `raw_headers` and `body`. If `body` is None, it awaits
`respond(request, sender)` instead. C also does the framing (Content-Length, chunks).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from functools import lru_cache
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from ._calling.threads import run_internal
from ._messages.after_response import AfterResponse, Background, callers
from ._messages.cookies import SameSite, cookie_header
from ._messages.files import (
    PIECE,
    Opened,
    content_disposition,
    guess_media_type,
    http_date,
    not_modified,
    open_file,
    precondition_failed,
    shortened,
)
from ._messages.framing import BODYLESS
from ._messages.header_fields import RawHeaders, check_head, header_field
from ._messages.pieces import PieceSender, close_iterator, in_one_piece, in_pool, is_bytes_like
from ._messages.ranges import Selected, select, whole
from ._validation.write_json import to_json
from .datastructures import MutableHeaders

if TYPE_CHECKING:
    from datetime import datetime
    from io import FileIO

    from ._asgi.protocol import Message, Receive, Send
    from ._core import Sender
    from .requests import Request


__all__ = [
    "FileResponse",
    "HTMLResponse",
    "JSONResponse",
    "ORJSONResponse",
    "PlainTextResponse",
    "RedirectResponse",
    "Response",
    "StreamingResponse",
    "UJSONResponse",
]

Content = str | bytes | memoryview | None
# What sends a response as ASGI messages: sender(response, scope, receive, send). See
# _asgi/connections.py, which puts it here.
senders: list[Callable[..., Awaitable[None]]] = []
# Bytes after which other tasks get a turn, since send() never waits if the client is fast enough.
_TURN = 256 * 1024


@lru_cache(maxsize=256)
def _type_field(media_type: str, charset: str) -> tuple[bytes, bytes]:
    """Content-Type, with the charset for text.

    Raises: TypeError when it isn't a str, ValueError when it can't be encoded.
    """
    if media_type.startswith("text/") and "charset=" not in media_type.lower():
        media_type += f"; charset={charset}"
    return header_field("content-type", media_type)


class Response(AfterResponse):
    """A response: a status, header fields and a body.

    `content` is text, bytes or None. `media_type` is the value of Content-Type; the charset is
    added for text. `background` is awaited after the response has been sent.
    """

    media_type: str | None = None
    charset = "utf-8"
    body: bytes | None
    # What respond() writes if `body` is None: the iterator's pieces, or else the whole `_content`.
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
        self.init_headers(headers)
        self.body = self.render(content)
        if background is not None:
            self.run_after(background)
        if self._calls_itself:
            self._write_by_itself()

    def render(self, content: Any) -> bytes:
        """`content` as the body's bytes. Raises: TypeError when it is neither text nor bytes."""
        if isinstance(content, str):
            return content.encode() if self.charset == "utf-8" else content.encode(self.charset)
        return b"" if content is None else self._as_bytes(content, "content")

    def _as_bytes(self, content: Any, what: str) -> bytes:
        """Text or a bytes-like object as bytes.

        Raises: TypeError for other types; its text calls `content` by the name in `what`.
        """
        if isinstance(content, bytes):
            return content
        if isinstance(content, str):
            return content.encode(self.charset)
        if not is_bytes_like(content):
            raise TypeError(
                f"the {what} of a {type(self).__name__} is a str or bytes-like, not "
                f"{type(content).__name__}: write a JSONResponse, or str() around it"
            )
        return memoryview(content).tobytes()

    @property
    def headers(self) -> MutableHeaders:
        """The header fields; to change them is to change the response."""
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
        """Adds a Set-Cookie field (RFC 6265).

        `max_age` is in seconds; `expires` is a time, or a number of seconds from now. Latin-1
        characters that a value can't contain are escaped as Python's http.cookies does it.

        Raises: TypeError or ValueError for a name, value or attribute that can't be sent.
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
        partitioned: bool = False,
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
            partitioned=partitioned,
        )

    @property
    def body_iterator(self) -> AsyncIterable[Any]:
        """The body in pieces, for middleware that reads a handler's response.

        Raises: RuntimeError when the body isn't in memory, as that of a FileResponse.
        """
        if self._iterator is not None:
            content = self._iterator
            return content if isinstance(content, AsyncIterable) else in_pool(content)
        whole = self._content if self.body is None else self.body
        if whole is None:
            raise RuntimeError(f"a {type(self).__name__} has no body in memory")
        return in_one_piece(whole)

    @body_iterator.setter
    def body_iterator(self, content: AsyncIterable[Any] | Iterable[Any]) -> None:
        if isinstance(content, str) or is_bytes_like(content):
            content = (content,)  # a single piece: its items are not pieces
        if isinstance(content, Mapping) or not isinstance(content, (AsyncIterable, Iterable)):
            raise TypeError(
                f"the content of a {type(self).__name__} is an iterator of pieces, sync or async, "
                f"not {type(content).__name__}"
            )
        self._iterator = content
        self.body = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The response as an ASGI app."""
        await senders[0](self, scope, receive, send)

    async def respond(self, request: Request, sender: Sender) -> None:
        """Writes the response piece by piece, then runs background and clean-ups; C awaits it."""
        if self._calls_itself:
            self._calls_itself = False  # its __call__ may call that of Response
            await (await callers[0](self, request)).respond(request, sender)
            return
        try:
            await self._write(request, sender)
            if sender.started:
                sender.end()  # so that the client doesn't wait for the background
            await self.run_backgrounds()
        except BaseException:
            if sender.started:
                request._store()["responded"] = True
            raise
        finally:
            await self.clean_up()

    @property
    def is_in_memory(self) -> bool:
        """Whether the whole body is."""
        return self._iterator is None and (self.body is not None or self._content is not None)

    async def _write(self, request: Request, sender: Sender) -> None:
        if self._iterator is not None:
            await self._write_iterator(request, sender)
            return
        content = self._content or b""
        with suppress(OSError):  # the background must run even if the client has disconnected
            sender.start(self.status_code, self.raw_headers, len(content))
            await sender.send(content)

    def _is_bodyless(self, request: Request) -> bool:
        """Whether the client gets the header section alone (RFC 9110 section 6.4.1)."""
        return request.method == "HEAD" or self.status_code in BODYLESS

    async def _write_iterator(self, request: Request, sender: Sender) -> None:
        if self._is_bodyless(request):
            sender.start(self.status_code, self.raw_headers)
            await close_iterator(self._iterator)  # its pieces are not sent
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
        """A piece of `body_iterator` as bytes; `render` is only for a whole content."""
        return self._as_bytes(piece, "piece")

    def _write_by_itself(self) -> None:
        """Makes C call `respond`."""
        if getattr(self, "body", None) is not None:  # classes that derive may set it last
            self._content = self.body
            self.body = None

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """Sets the header fields, also for classes whose __init__ doesn't call that of Response."""
        self.raw_headers = [header_field(name, value) for name, value in (headers or {}).items()]
        typed = bool(headers) and any(name == b"content-type" for name, _ in self.raw_headers)
        if self.media_type is not None and not typed:
            self.raw_headers.append(_type_field(self.media_type, self.charset))


class PlainTextResponse(Response):
    """A text."""

    media_type = "text/plain"


class HTMLResponse(Response):
    """An HTML page."""

    media_type = "text/html"


class JSONResponse(Response):
    """Any value that has a JSON form, as compact JSON in UTF-8."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """`content` as JSON."""
        return to_json(content)


class RedirectResponse(Response):
    """Redirects the client to `url`."""

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


class ORJSONResponse(JSONResponse):
    """A JSONResponse, which is written as fast as by orjson, under FastAPI's name for that."""


class UJSONResponse(JSONResponse):
    """A JSONResponse, likewise."""


class StreamingResponse(Response):
    """A body in pieces from an iterator, sync (in the thread pool) or async (on the loop).

    Pieces are bytes or text. The iterator waits while the client is slow, and is closed when the
    client disconnects.
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


class FileResponse(Response):
    """The file at `path`, with ETag and Last-Modified; supports ranges, preconditions and HEAD.

    `filename` sets Content-Disposition. If `media_type` is None, it is guessed from the name.
    `stat_result` changes nothing and is accepted for programs that pass it: size and time are read
    when the file is opened, so that they are true. `chunk_size` changes nothing, either.
    """

    chunk_size = 64 * 1024

    def __init__(
        self,
        path: str | os.PathLike[str],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
        filename: str | None = None,
        stat_result: os.stat_result | None = None,
        content_disposition_type: Literal["attachment", "inline"] = "attachment",
    ) -> None:
        os.fspath(path)  # refuses an int, which would be a descriptor
        self.path = path
        self.filename = filename
        if media_type is None:
            media_type = guess_media_type(filename or path)
        super().__init__(None, status_code, headers, media_type, background)
        self.body = None
        if filename is not None:
            disposition = content_disposition(content_disposition_type, filename)
            self.headers.setdefault("content-disposition", disposition)

    async def _write(self, request: Request, sender: Sender) -> None:
        if self._iterator is not None:  # a middleware has replaced the content
            await super()._write(request, sender)
            return
        with ExitStack() as closing:  # closes the file even if the client leaves during open()
            opened = await run_internal(open_file, self.path, request.method != "HEAD", closing)
            await self._write_file(request, sender, opened)

    async def _write_file(self, request: Request, sender: Sender, opened: Opened) -> None:
        size, mtime = opened.size, opened.status.st_mtime
        headers = self._headers_with(size, mtime, opened.status.st_mtime_ns)
        selected: Selected | None = whole(size)
        if self.status_code == 200 and request.method in ("GET", "HEAD"):
            if precondition_failed(request, headers["etag"], mtime):
                sender.start(412, without_content(headers), 0)
                return
            if not_modified(request, headers["etag"], mtime):
                sender.start(304, without_content(headers), 0)
                return
            if request.method == "GET":  # ranges are for GET only: section 14.2
                selected = select(request, headers, size)
        if selected is None:
            headers["content-range"] = f"bytes */{size}"
            sender.start(416, headers.raw, 0)
            return
        for name, value in selected.fields:
            headers[name] = value
        await self._send(request, sender, opened, selected, headers)

    def _headers_with(self, size: int, mtime: float, mtime_ns: int) -> MutableHeaders:
        """The header fields, and what is said of a file with this size and this time of change."""
        headers = MutableHeaders(raw=list(self.raw_headers))  # the response may be sent again
        headers.setdefault("accept-ranges", "bytes")
        headers.setdefault("last-modified", http_date(mtime))
        coding = headers.get("content-encoding")  # another representation: section 8.8.3.3
        suffix = "" if coding is None else f"-{coding}"
        headers.setdefault("etag", f'"{mtime_ns:x}-{size:x}{suffix}"')
        return headers

    async def _send(
        self,
        request: Request,
        sender: Sender,
        opened: Opened,
        selected: Selected,
        headers: MutableHeaders,
    ) -> None:
        status = 206 if selected.partial else self.status_code
        if opened.content is not None:
            sender.whole(status, headers.raw, selected.cut(opened.content))
            return
        sender.start(status, headers.raw, selected.length)
        if self._is_bodyless(request):
            return
        send_path = getattr(sender, "send_path", None)  # of another server's (AsgiSender)
        if send_path is not None and not selected.partial:
            await send_path(self._absolute())
            return
        for lead, start, length in selected.pieces:
            if lead:
                await sender.send(lead)
            sent = await sender.send_file(opened.file.fileno(), start, length)
            await self._send_by_reading(sender, opened.file, start + sent, length - sent)
        if selected.end:
            await sender.send(selected.end)

    def _absolute(self) -> str:
        return os.fsdecode(os.path.abspath(self.path))

    async def _send_by_reading(self, sender: Sender, file: FileIO, offset: int, left: int) -> None:
        """Sends what the kernel can't send itself, as with TLS."""
        while left > 0:
            piece = await run_internal(os.pread, file.fileno(), min(PIECE, left), offset)
            if not piece:
                raise RuntimeError(shortened(self.path))
            offset += len(piece)
            left -= len(piece)
            await sender.send(piece)


def without_content(headers: MutableHeaders) -> RawHeaders:
    """The fields of a 200 response without those about content (RFC 9110 section 15.4.5)."""
    dropped = (b"content-type", b"content-disposition", b"content-length", b"content-encoding")
    return [pair for pair in headers.raw if pair[0] not in dropped]


def checked(response: Any) -> Any:
    """Checks a response; a value that isn't a Response becomes a JSONResponse.

    Errors are thus raised where the response was made. Raises: TypeError or ValueError for a status
    or header field that can't be sent, or a value that has no JSON form.
    """
    if isinstance(response, CoroutineType):
        return response
    if not isinstance(response, Response):
        return JSONResponse(response)
    check_head(response.status_code, response.raw_headers)
    return response
