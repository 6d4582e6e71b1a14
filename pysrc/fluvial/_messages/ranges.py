"""Which bytes of a file a Range field requests, and how they are sent (RFC 9110 section 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..requests import Request

# Ranges in one field; with more it is ignored, since each costs a head and a read of its own.
MAX_RANGES = 100
_MAX_DIGITS = 600


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
    unit, _, wanted = fields[0].partition("=")
    texts = wanted.split(",") if unit.strip().lower() == "bytes" else []
    if len(texts) > MAX_RANGES:
        return whole(size)
    # What isn't a range is left out: section 14.2 lets us ignore or refuse such a field as a whole.
    ranges = [found for text in texts if (found := _parse_range(text, size)) is not None]
    if not ranges:
        return whole(size)
    merged = _merge((start, end) for start, end in ranges if start < end)
    if not merged:
        return None
    if len(merged) == 1:
        return _one(*merged[0], size)
    return _several(merged, size, headers.get("content-type"))


def _parse_range(text: str, size: int) -> tuple[int, int] | None:
    """The first byte of a range and the one after its last; None for what isn't a range.

    Both are `size` where there is no such byte.
    """
    first, dash, last = (each.strip() for each in text.partition("-"))
    digits = all(each == "" or (each.isascii() and each.isdecimal()) for each in (first, last))
    if not dash or not digits or not (first or last):
        return None
    if not first:
        return max(size - _number(last), 0), size
    start, stop = _number(first), _number(last) + 1 if last else size
    if last and stop <= start:
        return None
    return min(start, size), min(stop, size)


def _merge(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """In ascending order; those that overlap or touch are one. So no byte is sent twice."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


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


def _number(digits: str) -> int:
    """A position as an int. Python refuses to convert very many digits; no file is that large."""
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
