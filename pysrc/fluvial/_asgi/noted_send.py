"""A `send` that knows whether the response has begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .protocol import Message, Send


class NotedSend:
    """Passes messages on to `send`. Once `started` is true, no other response can be sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        """As an app calls it."""
        self.started = self.started or message["type"] == "http.response.start"
        await self._send(message)
