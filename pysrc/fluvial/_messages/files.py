"""Files as responses: opening them, and conditions (RFC 9110, sections 8.8 and 13)."""

from __future__ import annotations

import os
import stat
from datetime import UTC
from io import FileIO
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from .. import _core

if TYPE_CHECKING:
    from contextlib import ExitStack

    from ..requests import Request

SMALL = 64 * 1024  # bytes; up to this size a file is read and sent with the head in one write
PIECE = 256 * 1024  # bytes that are read at once when the kernel doesn't copy the file


class Opened(NamedTuple):
    """An open file, with its whole content if that is small and wanted."""

    file: FileIO
    status: os.stat_result
    content: bytes | None

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self.status.st_size


def open_file(path: str | os.PathLike[str], read: bool, closing: ExitStack) -> Opened:
    """Opens a file; `closing` closes it. Reads its content if `read` is set and the file is small.

    Raises: RuntimeError when there is no regular file at `path`, or when it became shorter while
    it was read.
    """
    try:
        file = closing.enter_context(FileIO(path))
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise RuntimeError(f"the file {os.fspath(path)!r} does not exist") from exc
    except IsADirectoryError as exc:
        raise RuntimeError(f"{os.fspath(path)!r} is not a file, but a directory") from exc
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise RuntimeError(f"{os.fspath(path)!r} is not a regular file")
    content = os.pread(file.fileno(), SMALL, 0) if read and status.st_size <= SMALL else None
    if content is not None and len(content) < status.st_size:
        raise RuntimeError(shortened(path))
    return Opened(file, status, content)


def shortened(path: str | os.PathLike[str]) -> str:
    """The message for a file that ended too early."""
    return f"{os.fspath(path)} became shorter while it was being sent"


def guess_media_type(path: str | os.PathLike[str]) -> str:
    """The media type that the file's name suggests."""
    from mimetypes import guess_type

    return guess_type(os.fsdecode(path))[0] or "application/octet-stream"


def content_disposition(kind: str, filename: str) -> str:
    """The value of Content-Disposition (RFC 6266); names that need it are encoded by RFC 8187."""
    quoted = quote(filename, safe="")
    if quoted != filename:
        return f"{kind}; filename*=utf-8''{quoted}"
    return f'{kind}; filename="{filename}"'


def http_date(timestamp: float) -> str:
    """The time in the format of header fields (RFC 9110 section 5.6.7)."""
    from email.utils import formatdate

    return formatdate(timestamp, usegmt=True)


def _parse_http_date(text: str | None) -> float | None:
    """The time in seconds; None if `text` isn't a valid date, so that the field is ignored."""
    from email.utils import parsedate_to_datetime

    seconds = _core.parse_http_date(text or "")
    if seconds is not None:
        return seconds
    try:  # mail's dates, which have a zone: some clients send them
        moment = parsedate_to_datetime(text or "")
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _entity_tags(request: Request, name: str) -> str | None:
    """The list of entity tags in all fields of a name; None if there is no such field."""
    fields = request.headers.getlist(name)
    return ", ".join(fields) if fields else None


def precondition_failed(request: Request, etag: str, mtime: float) -> bool:
    """Whether the client wants another version of the file (RFC 9110, 13.2.2, steps 1 and 2)."""
    tags = _entity_tags(request, "if-match")
    if tags is not None:
        return not _core.has_etag(tags, etag, False)
    since = _parse_http_date(request.header("if-unmodified-since"))
    return since is not None and int(mtime) > since


def not_modified(request: Request, etag: str, mtime: float) -> bool:
    """Whether the client has this version of the file already (13.2.2, steps 3 and 4)."""
    tags = _entity_tags(request, "if-none-match")
    if tags is not None:
        return _core.has_etag(tags, etag, True)
    since = _parse_http_date(request.header("if-modified-since"))
    return since is not None and int(mtime) <= since
