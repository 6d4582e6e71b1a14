"""Running a WebSocket's handler, and closing the connection according to how the handler ends."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from .._calling.failures import is_taken, log_unhandled
from ..exceptions import InvalidJSON, WebSocketDisconnect, WebSocketException
from ..websockets import (
    CLOSED,
    INTERNAL_ERROR,
    INVALID_DATA,
    NORMAL,
    SERVICE_RESTART,
    WAITING,
    WebSocket,
)

if TYPE_CHECKING:
    from ..responses import Response
    from .exception_handlers import ErrorHandlers


async def _give_up(websocket: WebSocket, exc: BaseException) -> None:
    """Closes the WebSocket of a handler that was cancelled or destroyed."""
    closing = websocket.close(SERVICE_RESTART)
    if isinstance(exc, GeneratorExit):
        closing.close()  # nothing can be awaited in a coroutine that is destroyed
    else:
        await closing


class Runner:
    """Runs the handlers of one app's WebSockets; C calls `run`."""

    def __init__(self, errors: ErrorHandlers) -> None:
        self._errors = errors

    async def run(self, websocket: WebSocket, handler: Coroutine[Any, Any, Any]) -> Response | None:
        """Awaits the handler and closes the connection.

        Returns the response that the handler has rejected the WebSocket with, if there is one.
        Raises: what the handler raises before it has accepted the WebSocket; the exception handlers
        make the response to the request then.
        """
        try:
            await handler
        except WebSocketDisconnect as exc:
            is_taken(exc)  # an end like any other, but tests want to see it
        except WebSocketException as exc:
            await self._close_as(websocket, exc)
        except Exception as exc:
            if websocket.session_state == WAITING:
                raise
            await self._fail(websocket, exc)
        except BaseException as exc:
            await _give_up(websocket, exc)
            raise
        if websocket.session_state == WAITING and websocket._denial is not None:
            return websocket._denial
        if websocket.session_state != CLOSED:  # otherwise the connection is over already
            await websocket.close(NORMAL)
        return None

    async def _close_as(self, websocket: WebSocket, exc: WebSocketException) -> None:
        if websocket._denial is None:
            try:
                await websocket.close(exc.code, exc.reason)
            except ValueError as error:  # a close frame can't have this code or reason
                await self._fail(websocket, error)

    async def _fail(self, websocket: WebSocket, exc: Exception) -> None:
        """Calls the user's handler for the exception or logs it, then closes the connection."""
        try:
            try:
                if not await self._errors.tell(websocket, exc):
                    if isinstance(exc, InvalidJSON):  # the client's mistake
                        await websocket.close(INVALID_DATA, "Invalid JSON")
                        return
                    log_unhandled(f"WebSocket {websocket.path} failed", exc)
            except WebSocketException as error:  # raised by the exception handler
                await websocket.close(error.code, error.reason)
        except WebSocketDisconnect:
            pass
        except Exception as error:
            log_unhandled(f"WebSocket {websocket.path} failed", error)
        await websocket.close(INTERNAL_ERROR)
