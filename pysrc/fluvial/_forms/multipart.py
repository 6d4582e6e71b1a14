"""A multipart form (RFC 7578), parsed by python-multipart as its pieces arrive."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState, parse_options_header

from ..exceptions import HTTPException
from .limits import FLAGS, UNLIMITED, refusal

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

    from .._messages.header_fields import RawHeaders
    from .limits import FormLimits

MALFORMED = "Invalid multipart data."
_NAMELESS = 'The Content-Disposition header field "name" must be provided.'
# The parser warns of each malformed body. Clients must not be able to fill the log.
_silent = logging.Logger("fluvial.forms", logging.CRITICAL + 1)


class Head(NamedTuple):
    """The beginning of a part. `filename` is None for a field; names in `headers` are in lower
    case."""

    name: str
    filename: str | None
    headers: RawHeaders


# What a form is made of: heads, each followed by pieces of the part's content and None at its end.
Event = Head | bytes | None


class MultipartBody:
    """Makes events of the pieces of a body.

    `content_type` is the value of the header field. Its charset says how names and fields are
    encoded; latin-1 stands in for one that isn't known.

    Raises: HTTPException 400 when there is no boundary in it.
    """

    def __init__(self, content_type: str, limits: FormLimits) -> None:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if boundary is None:
            raise HTTPException(400, "Missing boundary in multipart.")
        self._charset = _known_charset(options.get(b"charset", b"utf-8"))
        self._limits = limits
        self._events: list[Event] = []
        self._parts = 0
        self._name, self._value = bytearray(), bytearray()
        self._headers: RawHeaders = []
        self._header_bytes = 0
        self._received = 0
        self._complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                self._callbacks(),
                max_header_count=UNLIMITED,  # `_count` has a limit for all of them
                max_header_size=UNLIMITED,
            )
        except FormParserError as exc:  # the boundary is too long
            raise HTTPException(400, MALFORMED) from exc
        self._parser.logger = _silent
        self._delimiter = b"\r\n--" + boundary

    def feed(self, piece: bytes) -> list[Event]:
        """The events in a piece of the body.

        Raises: HTTPException 400 when it isn't well formed; 400 or 413 when it exceeds a limit.
        """
        self._received += len(piece)
        if self._received > self._limits.size:
            detail = f"The form is larger than {self._limits.size} bytes ({FLAGS['size']})"
            raise refusal("size", 413, detail)
        if self._is_content(piece):
            return [piece]
        try:
            self._parser.write(piece)
        except FormParserError as exc:
            raise HTTPException(400, MALFORMED) from exc
        events, self._events = self._events, []
        return events

    def _is_content(self, piece: bytes) -> bool:
        """Whether the parser would pass the piece on as it is, and be in the same state afterwards:
        it is in the middle of a part, and the piece has no delimiter and no beginning of one.

        Most pieces of a large file are such, and the parser takes longer to say so.
        """
        parser = self._parser
        if parser.state != MultipartState.PART_DATA or not piece or self._delimiter in piece:
            return False
        if parser.marks.get("part_data") != 0:  # it has had the beginning of a delimiter
            return False
        return piece.find(b"\r", -len(self._delimiter)) < 0

    def finish(self) -> None:
        """To be called at the body's end. Raises: HTTPException 400 when the form isn't complete;
        otherwise the loss would go unnoticed."""
        if self._received and not self._complete:
            raise HTTPException(400, MALFORMED)

    def decode(self, text: bytes | bytearray) -> str:
        """A name or a field as text."""
        try:
            return text.decode(self._charset)
        except UnicodeError:
            return text.decode("latin-1")

    # ---- what the parser calls -------------------------------------------------------------

    def _callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._part_begins,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_part_end": lambda: self._events.append(None),
            "on_end": self._end,
        }

    def _part_begins(self) -> None:
        self._parts += 1
        most = self._limits.parts
        if self._parts > most:
            detail = f"Too many parts. Maximum number of parts is {most} ({FLAGS['parts']})."
            raise refusal("parts", 400, detail)
        self._headers = []
        self._header_bytes = 0

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _count(self, size: int) -> None:
        self._header_bytes += size
        most = self._limits.headers
        if self._header_bytes > most:
            detail = f"The header section of a part is larger than {most} bytes"
            raise refusal("headers", 400, f"{detail} ({FLAGS['headers']})")

    def _header_ends(self) -> None:
        self._count(4)  # ": " and CRLF, so that many empty fields count as well
        self._headers.append((bytes(self._name).lower(), bytes(self._value)))
        self._name, self._value = bytearray(), bytearray()

    def _headers_end(self) -> None:
        disposition = b""
        for name, value in self._headers:
            if name == b"content-disposition":
                disposition = value
        _, options = parse_options_header(disposition)
        field = options.get(b"name")
        if field is None:
            raise HTTPException(400, _NAMELESS)
        filename = options.get(b"filename")
        most = self._limits.name
        if len(field) > most or len(filename or b"") > most:
            detail = f"The name of a field or file is longer than {most} bytes ({FLAGS['name']})"
            raise refusal("name", 400, detail)
        decoded = None if filename is None else self.decode(filename)
        self._events.append(Head(self.decode(field), decoded, self._headers))

    def _data(self, data: bytes, start: int, end: int) -> None:
        whole = start == 0 and end == len(data)
        self._events.append(data if whole else data[start:end])

    def _end(self) -> None:
        self._complete = True


def _known_charset(name: bytes) -> str:
    """The charset if Python has it as an encoding of text, otherwise latin-1."""
    known = name.decode("latin-1")
    try:
        "".encode(known)
    except (LookupError, ValueError):
        return "latin-1"
    return known
