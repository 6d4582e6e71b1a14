"""FileResponse: a file as an answer, with validators and ranges (RFC 9110, 8.8, 13 and 14)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC
from io import FileIO
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import quote

from ._calling.threads import run_internal
from ._responses import Background, Response

if TYPE_CHECKING:
    from ._core import Sender
    from ._request import Request

SMALL = 64 * 1024  # bytes: read at once, to leave with the head in one write
# An entity tag, as it should be or without its quotes; or "*".
_TAG = re.compile(r'(?:W/)?"[^"]*"|[^\s,"]+')
_MAX_DIGITS = 600
PIECE = 256 * 1024  # bytes that are read at once of what the kernel doesn't copy


class _Part(NamedTuple):
    """The bytes of the file that are asked for."""

    start: int
    length: int
    partial: bool = True  # asked for by Range, so that 206 is the answer


class _Opened(NamedTuple):
    """The file, and all of its content when that is small and wanted."""

    file: FileIO
    status: os.stat_result
    content: bytes | None

    @property
    def size(self) -> int:
        """Bytes."""
        return self.status.st_size


class FileResponse(Response):
    """The file at `path`, with ETag and Last-Modified; answers ranges, conditions and HEAD.

    `filename` sets Content-Disposition; `media_type` is guessed from the name when None.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
        filename: str | None = None,
        content_disposition_type: Literal["attachment", "inline"] = "attachment",
    ) -> None:
        os.fspath(path)  # an int would be a descriptor of somebody else's
        self.path = path
        self.filename = filename
        if media_type is None:
            media_type = _guess_type(filename or path)
        super().__init__(None, status_code, headers, media_type, background)
        self.body = None
        if filename is not None:
            disposition = _disposition(content_disposition_type, filename)
            self.headers.setdefault("content-disposition", disposition)

    async def _write(self, request: Request, sender: Sender) -> None:
        if self._iterator is not None:  # a middleware has other content for it
            await super()._write(request, sender)
            return
        with ExitStack() as closing:  # also a file that is opened while the client goes
            opened = await run_internal(_open, self.path, request.method != "HEAD", closing)
            await self._write_file(request, sender, opened)

    async def _write_file(self, request: Request, sender: Sender, opened: _Opened) -> None:
        headers = self.headers
        size, mtime = opened.size, opened.status.st_mtime
        headers.setdefault("accept-ranges", "bytes")
        headers.setdefault("last-modified", _http_date(mtime))
        headers.setdefault("etag", f'"{opened.status.st_mtime_ns:x}-{size:x}"')
        whole = _Part(0, size, False)
        if self.status_code != 200 or request.method not in ("GET", "HEAD"):
            await self._send(request, sender, opened, whole)
        elif _precondition_failed(request, headers["etag"], mtime):
            sender.start(412, self._headers_without_content(), 0)
        elif _not_modified(request, headers["etag"], mtime):
            sender.start(304, self._headers_without_content(), 0)
        elif request.method == "HEAD":  # has no ranges: section 14.2
            await self._send(request, sender, opened, whole)
        else:
            part = _requested_part(request, headers, size)
            await self._send_part(request, sender, opened, part)

    async def _send_part(
        self, request: Request, sender: Sender, opened: _Opened, part: _Part | None
    ) -> None:
        if part is None:
            self.headers["content-range"] = f"bytes */{opened.size}"
            sender.start(416, self.raw_headers, 0)
            return
        if part.partial:
            self.status_code = 206
            last = part.start + part.length - 1
            self.headers["content-range"] = f"bytes {part.start}-{last}/{opened.size}"
        await self._send(request, sender, opened, part)

    async def _send(self, request: Request, sender: Sender, opened: _Opened, part: _Part) -> None:
        if opened.content is not None:
            content = opened.content[part.start : part.start + part.length]
            sender.whole(self.status_code, self.raw_headers, content)
            return
        sender.start(self.status_code, self.raw_headers, part.length)
        if request.method == "HEAD":
            return
        sent = await sender.send_file(opened.file.fileno(), part.start, part.length)
        await self._send_by_reading(sender, opened.file, part.start + sent, part.length - sent)

    async def _send_by_reading(self, sender: Sender, file: FileIO, offset: int, left: int) -> None:
        """Sends what the kernel doesn't, as under TLS."""
        while left > 0:
            piece = await run_internal(os.pread, file.fileno(), min(PIECE, left), offset)
            if not piece:
                raise RuntimeError(_shorter(self.path))
            offset += len(piece)
            left -= len(piece)
            await sender.send(piece)

    def _headers_without_content(self) -> list[tuple[bytes, bytes]]:
        """What a 200 would have said but for the content (RFC 9110 section 15.4.5)."""
        dropped = (b"content-type", b"content-disposition", b"content-length")
        return [pair for pair in self.raw_headers if pair[0] not in dropped]


def _open(path: str | os.PathLike[str], read: bool, closing: ExitStack) -> _Opened:
    """Opens the file until `closing` and, if it is small and the content wanted, reads it.

    Raises: RuntimeError when there is no such regular file.
    """
    try:
        file = closing.enter_context(FileIO(path))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as exc:
        raise RuntimeError(f"there is no file {os.fspath(path)!r}") from exc
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise RuntimeError(f"{os.fspath(path)!r} is not a regular file")
    content = os.pread(file.fileno(), SMALL, 0) if read and status.st_size <= SMALL else None
    if content is not None and len(content) < status.st_size:
        raise RuntimeError(_shorter(path))
    return _Opened(file, status, content)


def _shorter(path: str | os.PathLike[str]) -> str:
    return f"{os.fspath(path)} became shorter while it was sent"


def _guess_type(path: str | os.PathLike[str]) -> str:
    from mimetypes import guess_type

    return guess_type(os.fsdecode(path))[0] or "application/octet-stream"


def _disposition(kind: str, filename: str) -> str:
    """RFC 6266; names that need it are encoded as RFC 8187 says."""
    quoted = quote(filename, safe="")
    if quoted != filename:
        return f"{kind}; filename*=utf-8''{quoted}"
    return f'{kind}; filename="{filename}"'


def _http_date(timestamp: float) -> str:
    from email.utils import formatdate

    return formatdate(timestamp, usegmt=True)


def _parse_http_date(text: str | None) -> float | None:
    """The time in seconds; None for what is no date of HTTP's, which is to be ignored."""
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text or "")
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _entity_tags(request: Request, name: str) -> list[str] | None:
    """The entity tags of all fields of a name, or "*"; None without a field."""
    fields = request.headers.getlist(name)
    return _TAG.findall(", ".join(fields)) if fields else None


def _precondition_failed(request: Request, etag: str, mtime: float) -> bool:
    """RFC 9110 section 13.2.2, steps 1 and 2: only for this very state of the file."""
    tags = _entity_tags(request, "if-match")
    if tags is not None:
        return "*" not in tags and (etag.startswith("W/") or etag not in tags)
    since = _parse_http_date(request.header("if-unmodified-since"))
    return since is not None and int(mtime) > since


def _not_modified(request: Request, etag: str, mtime: float) -> bool:
    """The same section, steps 3 and 4: the client has it already."""
    tags = _entity_tags(request, "if-none-match")
    if tags is not None:
        return "*" in tags or etag.removeprefix("W/") in [tag.removeprefix("W/") for tag in tags]
    since = _parse_http_date(request.header("if-modified-since"))
    return since is not None and int(mtime) <= since


def _requested_part(request: Request, headers: Mapping[str, str], size: int) -> _Part | None:
    """What Range asks for: the whole file when it may be ignored, None when it can't be had."""
    whole = _Part(0, size, False)
    header = request.header("range")
    repeated = len(request.headers.getlist("range")) > 1
    if header is None or repeated or not _if_range_holds(request, headers):
        return whole
    unit, _, ranges = header.partition("=")
    first, dash, last = (text.strip() for text in ranges.partition("-"))
    digits = all(text == "" or (text.isascii() and text.isdecimal()) for text in (first, last))
    if unit.strip().lower() != "bytes" or not dash or not digits or not (first or last):
        return whole  # several ranges, or nothing that we know: section 14.2 lets us ignore it
    if not first:
        length = min(_number(last), size)
        return _Part(size - length, length) if length else None
    start, end = _number(first), min(_number(last), size - 1) if last else size - 1
    if last and _number(last) < start:
        return whole
    return _Part(start, end - start + 1) if start < size else None


def _if_range_holds(request: Request, headers: Mapping[str, str]) -> bool:
    """RFC 9110 section 13.1.5: a strong ETag or the exact date."""
    header = request.header("if-range")
    if header is None:
        return True
    return header in (headers["etag"], headers["last-modified"]) and not header.startswith("W/")


def _number(digits: str) -> int:
    """A position; no file reaches those that Python won't convert."""
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
