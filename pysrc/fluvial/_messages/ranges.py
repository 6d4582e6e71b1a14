"""Which bytes of a file a Range field requests, and how they are sent (RFC 9110 section 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .. import _core

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..requests import Request


class Piece(NamedTuple):
    """`length` bytes of the file from `start`, and what is sent before them."""

    lead: bytes
    start: int
    length: int


class Selected(NamedTuple):
    """What is sent of a file: the pieces, and what follows the last one.

    `fields` replace those of the response. `partial` says that the status is 206.
    """

    pieces: tuple[Piece, ...]
    end: bytes = b""
    fields: tuple[tuple[str, str], ...] = ()
    partial: bool = False

    @property
    def length(self) -> int:
        """The size of the body in bytes."""
        return sum(len(each.lead) + each.length for each in self.pieces) + len(self.end)

    def cut(self, content: bytes) -> bytes:
        """The body, of the file's whole content."""
        if len(self.pieces) == 1:
            _, start, length = self.pieces[0]
            return content[start : start + length]
        parts = [lead + content[start : start + length] for lead, start, length in self.pieces]
        return b"".join(parts) + self.end


def whole(size: int) -> Selected:
    """The whole file."""
    return Selected((Piece(b"", 0, size),))


def select(request: Request, headers: Mapping[str, str], size: int) -> Selected | None:
    """What the Range field requests; None when it can't be satisfied.

    It is the whole file when there is no Range field, or one that is to be ignored. `headers` are
    those of the response.
    """
    fields = request.headers.getlist("range")
    if len(fields) != 1 or not _if_range_holds(request, headers):
        return whole(size)
    ranges = _core.select_ranges(fields[0], size)
    if ranges is None:
        return whole(size)
    if not ranges:
        return None
    if len(ranges) == 1:
        return _one(*ranges[0], size)
    return _several(ranges, size, headers.get("content-type"))


def _one(start: int, end: int, size: int) -> Selected:
    fields = (("content-range", _content_range(start, end, size)),)
    return Selected((Piece(b"", start, end - start),), fields=fields, partial=True)


def _several(ranges: list[tuple[int, int]], size: int, media_type: str | None) -> Selected:
    """A body of multipart/byteranges (RFC 9110 section 14.6)."""
    from secrets import token_hex

    boundary = token_hex(13)  # nobody can write a file that has it
    stated = f"Content-Type: {media_type}\r\n" if media_type else ""
    pieces: list[Piece] = []
    for start, end in ranges:
        lead = f"\r\n--{boundary}\r\n{stated}"
        lead += f"Content-Range: {_content_range(start, end, size)}\r\n\r\n"
        lead = lead if pieces else lead.removeprefix("\r\n")
        pieces.append(Piece(lead.encode("latin-1"), start, end - start))
    fields = (("content-type", f"multipart/byteranges; boundary={boundary}"),)
    return Selected(tuple(pieces), f"\r\n--{boundary}--".encode(), fields, partial=True)


def _content_range(start: int, end: int, size: int) -> str:
    return f"bytes {start}-{end - 1}/{size}"


def _if_range_holds(request: Request, headers: Mapping[str, str]) -> bool:
    """Whether If-Range matches: a strong entity tag or the exact date (RFC 9110, 13.1.5)."""
    header = request.header("if-range")
    if header is None:
        return True
    return header in (headers["etag"], headers["last-modified"]) and not header.startswith("W/")
