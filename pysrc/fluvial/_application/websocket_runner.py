"""Running a WebSocket's handler; how it ends becomes how the connection ends."""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

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

log = logging.getLogger("fluvial.error")


async def _give_up(websocket: WebSocket, exc: BaseException) -> None:
    """Closes what a handler leaves that was cancelled or thrown away."""
    closing = websocket.close(SERVICE_RESTART)
    if isinstance(exc, GeneratorExit):
        closing.close()  # nothing can be awaited any more
    else:
        await closing


class Runner:
    """Runs the handlers of one app's WebSockets; the core calls `run`."""

    def __init__(self, errors: ErrorHandlers) -> None:
        self._errors = errors

    async def run(self, websocket: WebSocket, handler: Coroutine[Any, Any, Any]) -> Response | None:
        """Awaits the handler and ends the connection; the response when it wasn't accepted.

        Raises: what the handler raises before it has accepted, for the response to the request.
        """
        try:
            await handler
        except WebSocketDisconnect:
            pass
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
        if websocket.session_state != CLOSED:  # else it isn't the handler that has closed it
            await websocket.close(NORMAL)
        return None

    async def _close_as(self, websocket: WebSocket, exc: WebSocketException) -> None:
        if websocket._denial is None:
            try:
                await websocket.close(exc.code, exc.reason)
            except ValueError as error:  # it can't be said
                await self._fail(websocket, error)

    async def _fail(self, websocket: WebSocket, exc: Exception) -> None:
        """Tells the user's own handler for the exception, or the log; then it is over."""
        try:
            try:
                if not await self._errors.tell(websocket, exc):
                    if isinstance(exc, InvalidJSON):  # the client's fault
                        await websocket.close(INVALID_DATA, "Invalid JSON")
                        return
                    log.error("WebSocket %s failed", websocket.path, exc_info=exc)
            except WebSocketException as error:  # of the exception handler
                await websocket.close(error.code, error.reason)
        except WebSocketDisconnect:
            pass
        except Exception as error:
            log.error("WebSocket %s failed", websocket.path, exc_info=error)
        await websocket.close(INTERNAL_ERROR)
