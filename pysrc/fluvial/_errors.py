"""From exceptions to responses: the user's handlers, and what happens without one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ._callables import callable_name, is_async
from ._encode import encode_leniently, plain
from ._exceptions import ClientDisconnect, HTTPException, RequestValidationError
from ._foreign import check_callback
from ._request import Request
from ._responses import JSONResponse, PlainTextResponse, Response
from ._threads import call_in_pool

Handler = Callable[[Request, Any], Any]
log = logging.getLogger("fluvial.error")

# RFC 9110 sections 15.2, 15.3.5, 15.4.5: no content.
_WITHOUT_CONTENT = frozenset({100, 101, 102, 103, 204, 205, 304})


def check_key(key: Any) -> None:
    """Refuses what no exception handler can be for. Raises: TypeError."""
    if isinstance(key, type) and issubclass(key, BaseException):
        if key.__module__ == "fastapi.exceptions" and key.__name__.endswith("ValidationError"):
            name = key.__name__.removeprefix("WebSocket")
            raise TypeError(f"nothing here raises fastapi's {key.__name__}; write fluvial.{name}")
        return
    if isinstance(key, int):
        return
    if callable(key):
        name = callable_name(key)
        raise TypeError(f"write @app.exception_handler(…), with parentheses, above {name}")
    raise TypeError(f"an exception handler is for a status or a class, not {key!r}")


class ErrorHandlers:
    """The handlers of one app, by status and by class of the exception."""

    def __init__(self) -> None:
        self._by_status: dict[int, Handler] = {}
        self._by_class: dict[type[BaseException], Handler] = {
            HTTPException: http_exception_handler,
            RequestValidationError: validation_exception_handler,
            ClientDisconnect: client_disconnect_handler,
        }

    def add(self, key: int | type[BaseException], handler: Handler) -> None:
        """Makes `handler` the one for a status or a class.

        Raises: TypeError for another key, or a handler that can't be called with (request, exc).
        """
        check_key(key)
        check_callback(handler, "exception handler", ("request", "exc"))
        if isinstance(key, int):
            self._by_status[key] = handler
        else:
            self._by_class[key] = handler

    @property
    def customised(self) -> bool:
        """Whether answers that the core gives by itself (404, 405) have handlers of the user's."""
        own = self._by_class[HTTPException] is not http_exception_handler
        return own or bool(self._by_status)

    def find(self, exc: BaseException) -> Handler | None:
        """The handler for `exc`; those for 500 and Exception are the last resort, see `answer`."""
        if isinstance(exc, HTTPException) and exc.status_code in self._by_status:
            return self._by_status[exc.status_code]
        for cls in type(exc).__mro__:
            if cls is not Exception and cls in self._by_class:
                return self._by_class[cls]
        return None

    async def tell(self, connection: Any, exc: Exception) -> bool:
        """Calls the user's handler for what an accepted WebSocket raised; False without one."""
        handler = self.find(exc)
        if handler is None or handler in _OWN:
            return False
        await _call(handler, connection, exc)
        return True

    def _last_resort(self) -> Handler | None:
        return self._by_status.get(500) or self._by_class.get(Exception)

    async def answer(self, request: Request, exc: BaseException) -> Any:
        """The Response for `exc`; its traceback is logged when nobody handles it."""
        handler = self.find(exc)
        if handler is not None:
            try:
                return await _call(handler, request, exc)
            except Exception as error:
                exc = error
        log_failure(request, exc)
        last = self._last_resort()
        return server_error() if last is None else await _answer_last(last, request, exc)

    def answer_now(self, request: Request, exc: BaseException) -> Response | Awaitable[Any]:
        """As `answer`, but without a coroutine where no handler of the user's has a say."""
        handler = self.find(exc)
        if handler in _OWN:
            return handler(request, exc)  # type: ignore[misc, no-any-return]
        if handler is not None:
            return self.answer(request, exc)
        log_failure(request, exc)
        last = self._last_resort()
        return server_error() if last is None else _answer_last(last, request, exc)


async def _answer_last(last: Handler, request: Request, exc: BaseException) -> Any:
    try:
        return await _call(last, request, exc)
    except Exception as error:
        log_failure(request, error)
        return server_error()


async def _call(handler: Handler, request: Request, exc: BaseException) -> Any:
    if is_async(handler):
        return await handler(request, exc)
    if handler in _OWN:
        return handler(request, exc)
    return await call_in_pool(handler, request, exc)


def log_failure(request: Request, exc: BaseException) -> None:
    """Logs an exception that nobody handled."""
    if request.disconnected and isinstance(exc, (asyncio.CancelledError, OSError)):
        return  # nobody to answer to is no failure
    log.error("%s %s failed", request.method, request.path, exc_info=exc)


def server_error() -> Response:
    """The answer to what nobody handled."""
    return PlainTextResponse("Internal Server Error", 500)


def http_exception_handler(request: Request, exc: HTTPException) -> Response:
    """`{"detail": …}` with the exception's status and headers."""
    if exc.status_code in _WITHOUT_CONTENT:
        return Response(status_code=exc.status_code, headers=exc.headers)
    return JSONResponse({"detail": exc.detail}, exc.status_code, exc.headers)


def validation_exception_handler(request: Request, exc: RequestValidationError) -> Response:
    """422 with what is wrong with each parameter."""
    content = {"detail": exc.errors()}
    try:
        body = _problem_encoder.encode(content)
    except Exception:  # whatever a client sent must not make this fail
        body = encode_leniently(content, _plain_problem)
    return Response(body, 422, media_type="application/json")


def client_disconnect_handler(request: Request, exc: ClientDisconnect) -> Response:
    """Nobody is there to read the answer."""
    return Response(status_code=400)


def _plain_problem(value: Any) -> Any:
    """Problems may have exceptions in `ctx` and anything in `input`."""
    if isinstance(value, BaseException):
        return {}
    try:
        return plain(value)
    except Exception:
        return repr(value)


_problem_encoder = msgspec.json.Encoder(enc_hook=_plain_problem, decimal_format="number")
_OWN: tuple[Any, ...] = (
    http_exception_handler,
    validation_exception_handler,
    client_disconnect_handler,
)
