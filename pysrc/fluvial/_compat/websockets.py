"""Starlette's names of what ends a WebSocket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..exceptions import WebSocketDisconnect

if TYPE_CHECKING:
    from .._asgi.protocol import Message, Receive, Send

# What is raised where a WebSocket is used that has come to its end.
WebSocketDisconnected = WebSocketDisconnect


class WebSocketClose:
    """An ASGI app that closes a WebSocket, or refuses it."""

    def __init__(self, code: int = 1000, reason: str | None = None) -> None:
        self.code = code
        self.reason = reason or ""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The app."""
        await send({"type": "websocket.close", "code": self.code, "reason": self.reason})


__all__ = ["WebSocketClose", "WebSocketDisconnected"]
