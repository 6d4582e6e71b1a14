"""The default exception handlers, as coroutine functions: programs await them from their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._application import exception_handlers as ours

if TYPE_CHECKING:
    from .exceptions import (
        HTTPException,
        RequestValidationError,
        WebSocketRequestValidationError,
    )
    from .requests import Request
    from .responses import Response
    from .websockets import WebSocket

__all__ = [
    "http_exception_handler",
    "request_validation_exception_handler",
    "websocket_request_validation_exception_handler",
]


async def http_exception_handler(request: Request, exc: HTTPException) -> Response:
    """The response to an HTTPException."""
    return ours.http_exception_handler(request, exc)


async def request_validation_exception_handler(
    request: Request, exc: RequestValidationError
) -> Response:
    """The response to a request that doesn't fit: status 422."""
    return ours.validation_exception_handler(request, exc)


async def websocket_request_validation_exception_handler(
    websocket: WebSocket, exc: WebSocketRequestValidationError
) -> None:
    """Closes a WebSocket whose opening handshake doesn't fit."""
    await ours.close_unfit(websocket, exc)
