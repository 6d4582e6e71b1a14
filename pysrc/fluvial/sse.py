"""Server-sent events: events in the `text/event-stream` format of the HTML standard, section 9.2,
and the response that sends them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ._validation.write_json import to_json
from .responses import StreamingResponse

if TYPE_CHECKING:
    from ._core import Sender
    from ._messages.after_response import Background
    from .requests import Request

__all__ = ["EventSourceResponse", "ServerSentEvent"]

PING_SECONDS = 15.0
_PING = b": ping\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSentEvent:
    """One event. `data` is sent as JSON, `raw_data` as it is; `retry` is in milliseconds.

    When clients reconnect, they send the `id` of the last event that they received in
    Last-Event-ID. They ignore `comment`.

    Raises: TypeError or ValueError, which names the field, for a value that the format can't hold.
    """

    data: Any = None
    raw_data: str | None = None
    event: str | None = None
    id: str | None = None
    retry: int | None = None
    comment: str | None = None

    def __post_init__(self) -> None:
        if self.data is not None and self.raw_data is not None:
            raise ValueError("Cannot set both data and raw_data of an event")
        for name in ("event", "id", "comment", "raw_data"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"an event's {name} is a str, not {type(value).__name__}")
        for name, value in (("event", self.event), ("id", self.id)):
            if value is not None and ("\r" in value or "\n" in value):
                raise ValueError(f"SSE '{name}' must be a single line, not {value!r}")
        if self.id is not None and "\0" in self.id:
            raise ValueError(f"an event's id must not contain NUL: {self.id!r}")
        if self.retry is not None and (not isinstance(self.retry, int) or self.retry < 0):
            raise ValueError(f"an event's retry must be milliseconds >= 0, not {self.retry!r}")

    def encode(self) -> bytes:
        """The event as bytes, with the empty line that ends it."""
        fields: list[bytes] = []
        if self.comment is not None:
            fields += _lines(b"", self.comment.encode())
        if self.event is not None:
            fields += _lines(b"event", self.event.encode())
        if self.raw_data is not None:
            fields += _lines(b"data", self.raw_data.encode())
        elif self.data is not None:
            fields += _lines(b"data", to_json(self.data))
        if self.id is not None:
            fields += _lines(b"id", self.id.encode())
        if self.retry is not None:
            fields += _lines(b"retry", b"%d" % self.retry)
        return b"\n".join((*fields, b"", b""))


def format_sse_event(
    *,
    data_str: str | None = None,
    event: str | None = None,
    id: str | None = None,
    retry: int | None = None,
    comment: str | None = None,
) -> bytes:
    """The bytes of one event.

    Raises: TypeError or ValueError when a field has another type or can't be sent, such as an id of
    two lines.
    """
    made = ServerSentEvent(raw_data=data_str, event=event, id=id, retry=retry, comment=comment)
    return made.encode()


class EventSourceResponse(StreamingResponse):
    """Sends the events of an iterator, sync (in the thread pool) or async (on the loop).

    Each piece is a ServerSentEvent, or a value that becomes an event's data as JSON; bytes are sent
    as they are. A comment is sent whenever nothing has been sent for `ping` seconds, to keep the
    connection alive; None disables this. The class can also be the `response_class` of a route
    whose handler yields.
    """

    media_type = "text/event-stream"
    # Encodes an event's data as JSON, with the route's response model if it has one.
    encode_data: Callable[[Any], bytes] = staticmethod(to_json)
    encode_event_data: Callable[[Any], bytes] | None = None  # of a ServerSentEvent, if different
    cache_control = "no-store"

    def __init__(
        self,
        content: AsyncIterable[Any] | Iterable[Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
        *,
        ping: float | None = PING_SECONDS,
    ) -> None:
        if ping is not None and not ping > 0:
            raise ValueError(f"ping must be more than 0 seconds, not {ping!r}")
        super().__init__(content, status_code, headers, media_type, background)
        self._ping_seconds = ping
        for name, value in (("cache-control", self.cache_control), ("x-accel-buffering", "no")):
            self.headers.setdefault(name, value)

    def _render_piece(self, piece: Any) -> bytes:
        if isinstance(piece, (bytes, bytearray, memoryview)):
            return bytes(piece)
        if not isinstance(piece, ServerSentEvent):
            return ServerSentEvent(raw_data=self.encode_data(piece).decode()).encode()
        event: ServerSentEvent = piece
        if event.data is not None:
            encode = self.encode_event_data or self.encode_data
            event = replace(event, data=None, raw_data=encode(event.data).decode())
        return event.encode()

    async def _write(self, request: Request, sender: Sender) -> None:
        if self._is_bodyless(request):
            await super()._write(request, sender)
            return
        pulse = _Pulse(sender, self._ping_seconds)
        try:
            await self._write_pieces(pulse)
        finally:
            pulse.stop()


class _Pulse:
    """A Sender that sends a comment whenever nothing else was sent for a while."""

    def __init__(self, sender: Sender, seconds: float | None) -> None:
        self._sender = sender
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._waiting = False
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, status_code: int, headers: list[tuple[bytes, bytes]], length: int = -1) -> None:
        self._sender.start(status_code, headers, length)
        self._last = self._loop.time()
        if self._seconds is not None:
            self._timer = self._loop.call_later(self._seconds, self._beat)

    async def send(self, data: bytes) -> None:
        self._last = self._loop.time()
        self._waiting = True
        try:
            await self._sender.send(data)
        finally:
            self._waiting = False

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        assert self._seconds is not None
        due = self._last + self._seconds
        if due <= self._loop.time():
            due = self._loop.time() + self._seconds
            if not self._waiting:
                try:
                    self._sender.send(_PING)
                except OSError:
                    return  # the client has disconnected: the next send() raises
        self._timer = self._loop.call_at(due, self._beat)


def _lines(name: bytes, value: bytes) -> list[bytes]:
    """A field for each line of `value`; lines may end with CR LF, LF or CR."""
    lines = value.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return [b"%s: %s" % (name, line) for line in lines]
