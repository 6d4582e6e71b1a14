"""Extended CONNECT (RFC 8441) on a stream of H2Client, as a socket for ws_client.Client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.h2_client import CANCEL, DATA, END_STREAM, frame
from support.ws_client import Client

if TYPE_CHECKING:
    from support.h2_client import Answer, H2Client


class Tunnel:
    """A stream whose bytes are another protocol's."""

    def __init__(
        self,
        client: H2Client,
        path: str = "/",
        *fields: tuple[str, str],
        protocol: str = "websocket",
    ) -> None:
        self.client = client
        self.taken = 0
        self.stream = client.next_stream
        client.next_stream += 2
        first = {"method": "CONNECT", "protocol": protocol, "scheme": "http", "path": path}
        pairs = [(f":{name}", value) for name, value in first.items()]
        pairs += [(":authority", "h"), ("sec-websocket-version", "13"), *fields]
        client.send(frame(1, 4, self.stream, bytes(client.encoder.encode(pairs))))

    @property
    def answer(self) -> Answer:
        """The response, once its head has come."""
        while not (found := self.client.answers.get(self.stream)) or not found.heads:
            if found is not None and found.reset is not None:
                return found
            if self.client.read() is None:
                raise EOFError
        return found

    def sendall(self, data: bytes) -> None:
        """Sends as the server's windows allow."""
        client = self.client
        while data:
            windows = client.windows
            room = min(windows.get(0, 65535), windows.get(self.stream, client.initial), 16384)
            if room <= 0:
                assert client.read() is not None
                continue
            piece, data = data[:room], data[room:]
            client.send(frame(DATA, 0, self.stream, piece))
            client.spend(self.stream, len(piece))

    def recv(self, size: int) -> bytes:
        """Bytes of the stream; none at its end. Raises: ConnectionResetError."""
        while True:
            answer = self.answer
            found = answer.body[self.taken : self.taken + size]
            self.taken += len(found)
            if found or answer.ended:
                return found
            if answer.reset is not None:
                raise ConnectionResetError
            if self.client.read() is None:
                raise EOFError

    def end(self) -> None:
        """END_STREAM."""
        self.client.send(frame(DATA, END_STREAM, self.stream))

    def close(self) -> None:
        """Gives the stream up."""
        self.client.reset(self.stream, CANCEL)


def opened(client: H2Client, path: str = "/", *fields: tuple[str, str]) -> Client:
    """A WebSocket that was accepted."""
    tunnel = Tunnel(client, path, *fields)
    assert tunnel.answer.status == 200, tunnel.answer
    return Client(tunnel)
