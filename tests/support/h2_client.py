"""A client of HTTP/2 that sends whatever frames a test wants, in any order, and reads them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from typing import Self

    from support.serving import Served

hpack = pytest.importorskip("hpack")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE = range(6)
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(6, 10)
END_STREAM = ACK = 1
END_HEADERS = 4
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR) = range(4)
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
ENHANCE_YOUR_CALM = 11
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4


@dataclass
class Frame:
    """One frame of the server's."""

    type: int
    flags: int
    stream: int
    payload: bytes

    @property
    def error(self) -> int:
        """The code of RST_STREAM or GOAWAY."""
        at = 0 if self.type == RST_STREAM else 4
        return int.from_bytes(self.payload[at : at + 4], "big")


@dataclass
class Answer:
    """What has come on a stream."""

    heads: list[dict[str, str]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def head(self) -> dict[str, str]:
        """The final response's fields."""
        return next(head for head in self.heads if head.get(":status", "1")[0] != "1")

    @property
    def status(self) -> int:
        return int(self.head[":status"])


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = struct.pack("!I", len(payload))[1:] + bytes([kind, flags]) + struct.pack("!I", stream)
    return head + payload


class H2Client:
    """A connection on which the preface and SETTINGS were sent."""

    def __init__(self, sock: Any, settings: dict[int, int] | None = None) -> None:
        self.sock = sock
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.received = b""
        self.answers: dict[int, Answer] = {}
        self.goaway: Frame | None = None
        self.closed = False
        self.next_stream = 1
        self.initial = 65535
        self.windows: dict[int, int] = {}  # what may be sent
        self.window = True  # grants the server as much as it sends
        payload = b"".join(struct.pack("!HI", *item) for item in (settings or {}).items())
        self.send(PREFACE + frame(SETTINGS, 0, 0, payload))

    @classmethod
    def to(cls, served: Served, settings: dict[int, int] | None = None) -> Self:
        """A connection to the server: by ALPN where it has TLS."""
        context = served.context
        if context is not None:
            context.set_alpn_protocols(["h2"])
        return cls(served.connect(), settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    # ---- Sending ------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Bytes as they are; a server that has gone is noticed when reading."""
        try:
            self.sock.sendall(data)
        except OSError:
            self.closed = True

    def head(
        self, path: str = "/", method: str = "GET", *fields: tuple[str, str], **pseudo: str
    ) -> bytes:
        """The header block of a request."""
        first = {"method": method, "scheme": "http", "path": path, "authority": "h"} | pseudo
        if method == "CONNECT":
            first["scheme"] = first["path"] = ""
        pairs = [(f":{name}", value) for name, value in first.items() if value]
        return bytes(self.encoder.encode([*pairs, *fields]))

    def request(
        self,
        path: str = "/",
        method: str = "GET",
        *fields: tuple[str, str],
        body: bytes | None = None,
        end: bool = True,
        **pseudo: str,
    ) -> int:
        """Sends a request, its body in one go; returns the stream."""
        stream = self.next_stream
        self.next_stream += 2
        flags = END_HEADERS | (END_STREAM if end and body is None else 0)
        data = frame(HEADERS, flags, stream, self.head(path, method, *fields, **pseudo))
        if body is not None:
            pieces = [body[at : at + 16384] for at in range(0, len(body), 16384)] or [b""]
            for i, piece in enumerate(pieces):
                last = END_STREAM if end and i == len(pieces) - 1 else 0
                data += frame(DATA, last, stream, piece)
        self.send(data)
        return stream

    def grant(self, *streams: int, amount: int) -> None:
        """WINDOW_UPDATE for each; 0 is the connection."""
        self.send(b"".join(frame(WINDOW_UPDATE, 0, s, struct.pack("!I", amount)) for s in streams))

    def reset(self, stream: int, error: int = CANCEL) -> None:
        self.send(frame(RST_STREAM, 0, stream, struct.pack("!I", error)))

    def upload(self, stream: int, body: bytes) -> None:
        """Sends a body and its end, as the server's windows allow."""
        sent, closed = 0, False
        while not closed:
            window = min(self.windows.get(0, 65535), self.windows.get(stream, self.initial))
            room = min(window, 16384, len(body) - sent)
            if room > 0 or sent == len(body):
                closed = sent + room == len(body)
                self.send(frame(DATA, END_STREAM * closed, stream, body[sent : sent + room]))
                sent += room
                self.spend(stream, room)
            elif self.read() is None:
                raise AssertionError(f"closed; GOAWAY {self.goaway}")

    def spend(self, stream: int, amount: int) -> None:
        """So many bytes of DATA were sent."""
        self._widen(0, -amount)
        self._widen(stream, -amount)

    def _widen(self, stream: int, amount: int) -> None:
        before = self.windows.get(stream, self.initial if stream else 65535)
        self.windows[stream] = before + amount

    # ---- Reading ------------------------------------------------------------------------------

    def _bytes(self, count: int) -> bytes | None:
        while len(self.received) < count:
            try:
                piece = self.sock.recv(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                self.closed = True
                return None
            self.received += piece
        data, self.received = self.received[:count], self.received[count:]
        return data

    def read(self) -> Frame | None:
        """The next frame, which is also noted; None when the connection is closed."""
        head = self._bytes(9)
        if head is None:
            return None
        payload = self._bytes(int.from_bytes(head[:3], "big"))
        if payload is None:
            return None
        found = Frame(head[3], head[4], int.from_bytes(head[5:9], "big"), payload)
        self._note(found)
        return found

    def _note(self, found: Frame) -> None:
        answer = self.answers.setdefault(found.stream, Answer())
        if found.type == HEADERS:
            answer.heads.append(dict(self.decoder.decode(found.payload)))
            answer.ended |= bool(found.flags & END_STREAM)
        elif found.type == DATA:
            answer.body += found.payload
            answer.ended |= bool(found.flags & END_STREAM)
            if self.window and found.payload:
                self.grant(0, amount=len(found.payload))
                if not answer.ended:
                    self.grant(found.stream, amount=len(found.payload))
        elif found.type == RST_STREAM:
            answer.reset = found.error
        elif found.type == WINDOW_UPDATE:
            self._widen(found.stream, int.from_bytes(found.payload, "big"))
        elif found.type == SETTINGS and not found.flags & ACK:
            for name, value in struct.iter_unpack("!HI", found.payload):
                if name == INITIAL_WINDOW_SIZE:
                    self.initial = value
            self.send(frame(SETTINGS, ACK, 0))
        elif found.type == PING and not found.flags & ACK:
            self.send(frame(PING, ACK, 0, found.payload))
        elif found.type == GOAWAY:
            self.goaway = found

    def answer(self, stream: int) -> Answer:
        """Reads until the stream is over."""
        while True:
            answer = self.answers.get(stream)
            if answer is not None and (answer.ended or answer.reset is not None):
                return answer
            if self.read() is None:
                raise AssertionError(f"closed; GOAWAY {self.goaway}; {self.answers}")

    def get(self, path: str = "/", *fields: tuple[str, str]) -> Answer:
        return self.answer(self.request(path, "GET", *fields))

    def until_closed(self) -> Frame | None:
        """Reads all there is; the last GOAWAY."""
        while self.read() is not None:
            pass
        return self.goaway

    def settled(self) -> None:
        """Returns once the server has read all that was sent: it answers a ping."""
        self.send(frame(PING, 0, 0, b"settled!"))
        while (found := self.read()) is not None:
            if found.type == PING and found.flags & ACK and found.payload == b"settled!":
                return
        raise AssertionError(f"closed; GOAWAY {self.goaway}")
