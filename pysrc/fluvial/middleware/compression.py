"""Responses in a content coding, for clients that accept it (RFC 9110 sections 8.4 and 12.5.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from .. import _core
from .._asgi.offers import offer_no_paths
from .._calling.threads import run_internal
from .._messages.framing import declared_length
from ..datastructures import MutableHeaders

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send
    from .._messages.header_fields import RawHeaders
    from ..requests import Request
    from ..responses import Response
    from .base import DispatchFunction

__all__ = ["DEFAULT_EXCLUDED_CONTENT_TYPES", "CompressionMiddleware"]

# Types that are compressed already, or have to arrive piece by piece.
DEFAULT_EXCLUDED_CONTENT_TYPES = (
    "application/grpc",
    "application/gzip",
    "application/x-gzip",
    "application/zip",
    "audio/*",
    "font/woff",
    "font/woff2",
    "image/avif",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/event-stream",
    "video/*",
)
_PREFERENCE = ("zstd", "br", "gzip")


class CompressionMiddleware:
    """Compresses responses of at least `minimum_size` bytes, and those that are streamed.

    `levels` has the content codings, the best one first, and how hard each tries: gzip 1 to 9, br 0
    to 11, zstd 1 to 19; by default all that Fluvial was compiled with. Pieces of at least
    `thread_minimum_size` bytes are compressed in the thread pool. Responses with a
    Content-Encoding, with `no-transform` in Cache-Control, parts of files, and the types in
    `exclude_content_types` ("image/*" for all images) stay as they are.

    Raises: ValueError for a coding or level that there isn't.
    """

    def __init__(
        self,
        app: Asgi3,
        minimum_size: int = 500,
        levels: Mapping[str, int] | None = None,
        thread_minimum_size: int = 128 * 1024,
        *,
        exclude_content_types: Collection[str] = DEFAULT_EXCLUDED_CONTENT_TYPES,
    ) -> None:
        self.app = app
        self.minimum_size = minimum_size
        if levels is None:
            built = _core.CODINGS
            levels = {name: built[name][2] for name in _PREFERENCE if name in built}
        for name, level in levels.items():
            _core.Encoder(name, level)  # or it raises ValueError
        self.levels = dict(levels)
        self.thread_minimum_size = thread_minimum_size
        kinds = [each.partition(";")[0].strip().lower() for each in exclude_content_types]
        self.exclude_content_types = frozenset(kinds)

    def choose(self, accept_encoding: str | None) -> str | None:
        """The coding that a client likes best; None if it accepts none of them."""
        if not accept_encoding:
            return None
        return _core.choose_coding(accept_encoding, tuple(self.levels))

    def _keeps(self, headers: RawHeaders) -> bool:
        """Whether a whole response stays as it is for every client, whatever its length."""
        for name, value in headers:
            if name == b"content-encoding" or (name == b"content-type" and self._excludes(value)):
                return True
            if name == b"cache-control" and b"no-transform" in value.lower():
                return True
        return False

    def _change_part(self, status: int, headers: RawHeaders, coding: str | None, tags: str) -> bool:
        """Whether the response is a 304 or a 206, which stays as it is but for its fields: they say
        what the 200 would (RFC 9110 sections 15.3.7 and 15.4.5)."""
        if status not in (206, 304):
            return False
        if not self._keeps(headers):
            mark(headers, None)
            if status == 304 and coding is not None:
                _weaken_known(headers, tags)
        return True

    def _excludes(self, content_type: bytes) -> bool:
        kind = content_type.decode("latin-1").partition(";")[0].strip().lower()
        excluded = self.exclude_content_types
        return (
            kind in excluded
            or f"{kind.partition('/')[0]}/*" in excluded
            or (kind.startswith("application/grpc+") and "application/grpc" in excluded)
        )

    def new_compressor(self, coding: str) -> Compressor:
        """For one response."""
        return Compressor(_core.Encoder(coding, self.levels[coding]), self.thread_minimum_size)

    def as_function(self) -> DispatchFunction:
        """The middleware without ASGI."""
        return self._dispatch

    async def _dispatch(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        body, headers = response.body, response.raw_headers
        coding = self.choose(request.header("accept-encoding"))
        if body is None:
            _Compressing(self, coding).take(response)
            return response
        tags = request.header("if-none-match") or ""
        if self._change_part(response.status_code, headers, coding, tags):
            return response
        if len(body) >= self.minimum_size and not self._keeps(headers):
            mark(headers, coding)
            if coding is not None:
                response.body = await self.new_compressor(coding).last(body)
        return response

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        coding = self.choose(_list_in(scope, b"accept-encoding"))
        if coding is not None:
            offer_no_paths(scope)
        tags = _list_in(scope, b"if-none-match")
        await self.app(scope, receive, _Messages(self, coding, tags, send).send)


def mark(headers: RawHeaders, coding: str | None) -> None:
    """Changes the fields of a response that depends on Accept-Encoding; None: it stays as it is."""
    fields = MutableHeaders(raw=headers)
    varies = {name.strip().lower() for each in fields.getlist("vary") for name in each.split(",")}
    if varies.isdisjoint(("accept-encoding", "*")):
        fields.add_vary_header("Accept-Encoding")
    if coding is not None:
        fields["content-encoding"] = coding
        if "content-length" in fields:  # set anew by what frames the response
            del fields["content-length"]
        if fields.get("etag", "").startswith('"'):
            fields["etag"] = f"W/{fields['etag']}"  # other bytes, the same meaning


def _weaken_known(headers: RawHeaders, tags: str) -> None:
    """Changes the ETag of a 304 to the weak one if `tags`, which the client sent, say that it has
    the compressed response."""
    fields = MutableHeaders(raw=headers)
    weak = f"W/{fields.get('etag', '')}"
    if weak.startswith('W/"') and weak in (each.strip() for each in tags.split(",")):
        fields["etag"] = weak


def _list_in(scope: Message, field: bytes) -> str:
    return b",".join(value for name, value in scope["headers"] if name == field).decode("latin-1")


class Compressor:
    """Compresses one body."""

    def __init__(self, encoder: _core.Encoder, thread_minimum_size: int) -> None:
        self.piece_here = encoder.piece
        self.last_here = encoder.finish
        self._in_thread = thread_minimum_size

    def end(self) -> bytes:
        """The end of the compressed body."""
        return self.last_here(b"")

    async def piece(self, data: bytes) -> bytes:
        """A piece that the client can decompress as soon as it has it."""
        if len(data) < self._in_thread:
            return self.piece_here(data)
        return await run_internal(self.piece_here, data)

    async def last(self, data: bytes) -> bytes:
        """The last piece."""
        if len(data) < self._in_thread:
            return self.last_here(data)
        return await run_internal(self.last_here, data)


class _Compressing:
    """Between a response that writes itself and its sender, whose methods this has."""

    def __init__(self, settings: CompressionMiddleware, coding: str | None) -> None:
        self._settings = settings
        self._coding = coding
        self._tags = ""  # what If-None-Match says
        self._sender: Any = None
        self._compressor: Compressor | None = None

    def take(self, response: Response) -> None:
        """Makes the response write to this object."""
        respond = response.respond

        async def respond_compressed(request: Request, sender: Any) -> None:
            self._sender = sender
            self._tags = request.header("if-none-match") or ""
            await respond(request, self)  # type: ignore[arg-type]  # it has the same methods

        response.respond = respond_compressed  # type: ignore[method-assign]

    @property
    def started(self) -> bool:
        return bool(self._sender.started)

    def _begin(self, status: int, headers: RawHeaders, length: int) -> RawHeaders:
        """The fields of the head; afterwards there is a compressor if the body is compressed."""
        settings = self._settings
        headers = list(headers)
        if settings._change_part(status, headers, self._coding, self._tags):
            return headers
        length = declared_length(headers) if length < 0 else length
        if 0 <= length < settings.minimum_size or settings._keeps(headers):
            return headers
        mark(headers, self._coding)
        if self._coding is not None:
            self._compressor = settings.new_compressor(self._coding)
        return headers

    def start(self, status_code: int, headers: RawHeaders, length: int = -1) -> None:
        headers = self._begin(status_code, headers, length)
        self._sender.start(status_code, headers, length if self._compressor is None else -1)

    async def send(self, data: bytes) -> None:
        if self._compressor is not None:
            data = await self._compressor.piece(data)
        await self._sender.send(data)

    async def send_file(self, fd: int, offset: int, size: int) -> int:
        if self._compressor is not None:
            return 0  # so that the caller reads the file instead
        return await self._sender.send_file(fd, offset, size)  # type: ignore[no-any-return]

    def whole(self, status_code: int, headers: RawHeaders, body: bytes) -> None:
        headers = self._begin(status_code, headers, len(body))
        if self._compressor is not None:
            compressor, self._compressor = self._compressor, None
            body = compressor.last_here(body)
        self._sender.whole(status_code, headers, body)

    def end(self) -> None:
        compressor, self._compressor = self._compressor, None
        self._sender.end(*(() if compressor is None else (compressor.end(),)))


class _Messages:
    """What `send` does for the app inside."""

    def __init__(
        self, settings: CompressionMiddleware, coding: str | None, tags: str, send: Send
    ) -> None:
        self._settings = settings
        self._coding = coding
        self._tags = tags
        self._send = send
        self._start: Message | None = None  # held until the length is known
        self._compressor: Compressor | None = None

    async def send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            headers = message["headers"] = list(message.get("headers", ()))
            settings, status = self._settings, message["status"]
            part = settings._change_part(status, headers, self._coding, self._tags)
            if part or settings._keeps(headers):
                await self._send(message)
            else:
                self._start = message
        elif kind == "http.response.body":
            await self._send_body(message)
        else:
            if kind == "http.response.pathsend":
                await self._flush_start()
            await self._send(message)

    def _is_large(self, start: Message, body: bytes, more: bool) -> bool:
        """Whether the content has the least size. A response to HEAD says which, and has none."""
        length = declared_length(start["headers"])
        if length < 0:
            return more or len(body) >= self._settings.minimum_size
        return length >= self._settings.minimum_size

    async def _send_body(self, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        start = self._start
        if start is not None and self._is_large(start, body, more):
            mark(start["headers"], self._coding)
            if self._coding is not None:
                self._compressor = self._settings.new_compressor(self._coding)
        compressor = self._compressor
        if compressor is not None:
            body = await (compressor.piece(body) if more else compressor.last(body))
            if start is not None and not more and not start.get("trailers"):
                start["headers"].append((b"content-length", b"%d" % len(body)))
        await self._flush_start()
        await self._send({**message, "body": body})

    async def _flush_start(self) -> None:
        start, self._start = self._start, None
        if start is not None:
            await self._send(start)
