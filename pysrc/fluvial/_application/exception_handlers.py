"""From exceptions to responses: the user's handlers, and the defaults."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from .._calling.callables import callable_name, is_async
from .._calling.failures import log, log_unhandled
from .._calling.threads import call_in_pool
from .._messages.framing import WITHOUT_CONTENT
from .._signature.foreign import check_callback
from .._validation.write_json import encode_leniently, plain
from ..exceptions import (
    ClientDisconnect,
    HTTPException,
    RequestValidationError,
    ValidationException,
    WebSocketRequestValidationError,
    is_http_exception,
    noted_headers,
)
from ..responses import JSONResponse, PlainTextResponse, Response, checked
from ..websockets import POLICY_VIOLATION, WAITING, WebSocket

if TYPE_CHECKING:
    from ..requests import Request

Handler = Callable[[Any, Any], Any]

# How many handlers are called for one request, each for what the previous one raised.
_ATTEMPTS = 8
_REASON_MAX = 123  # bytes of a close frame's reason
_GAVE_UP = f"gave up after {_ATTEMPTS} exception handlers, each of which raised an exception"


def check_key(key: Any) -> None:
    """Checks what an exception handler is registered for.

    Raises: TypeError when `key` is neither an exception class nor a status, ValueError for a status
    that no response has.
    """
    if isinstance(key, type) and issubclass(key, BaseException):
        if key.__module__ == "fastapi.exceptions" and key.__name__.endswith("ValidationError"):
            name = key.__name__
            raise TypeError(f"nothing here raises fastapi's {name}; write fluvial.{name}")
        return
    if isinstance(key, int):
        if not 100 <= key <= 599:
            raise ValueError(f"an exception handler is for a status of 100 to 599, not {key}")
        return
    if callable(key):
        name = callable_name(key)
        raise TypeError(f"write @app.exception_handler(…), with parentheses, above {name}")
    raise TypeError(f"an exception handler is for a status or a class, not {key!r}")


class ErrorHandlers:
    """The handlers of one app, by status and by exception class.

    `debug` is called for what no handler but those for 500 and Exception is for, instead of these.
    """

    debug: Handler | None = None

    def __init__(self, *, closes_unfit: bool = False) -> None:
        self._by_status: dict[int, Handler] = {}
        self._by_class: dict[type[BaseException], Handler] = {
            HTTPException: http_exception_handler,
            RequestValidationError: validation_exception_handler,
            WebSocketRequestValidationError: (
                close_unfit if closes_unfit else validation_exception_handler
            ),
            ClientDisconnect: client_disconnect_handler,
        }

    def add(self, key: int | type[BaseException], handler: Handler) -> None:
        """Registers `handler` for a status or a class, in place of an earlier one.

        Raises: TypeError for any other key, or a handler that can't be called with (request, exc).
        """
        check_key(key)
        check_callback(handler, "exception handler", ("request", "exc"))
        if isinstance(key, int):
            self._by_status[key] = handler
        else:
            self._by_class[key] = handler

    @property
    def customised(self) -> bool:
        """Whether the user may have handlers for responses that C otherwise makes (404, 405)."""
        own = self._by_class[HTTPException] is not http_exception_handler
        return own or bool(self._by_status)

    def find(self, exc: BaseException) -> Handler | None:
        """The handler for `exc`, except those for 500 and Exception: see `respond`."""
        status = getattr(exc, "status_code", None) if is_http_exception(exc) else None
        if isinstance(status, int) and (handler := self._by_status.get(status)) is not None:
            return handler
        for cls in type(exc).__mro__:
            if cls is not Exception and cls in self._by_class:
                return self._by_class[cls]
        return self._by_class[HTTPException] if is_http_exception(exc) else None

    async def tell(self, connection: Any, exc: Exception) -> bool:
        """Calls the user's handler for an exception from an accepted WebSocket's handler.

        Returns False if there is no such handler. Raises: what the handler raises, unless another
        one handles it.
        """
        exc = of_connection(connection, exc)
        for _ in range(_ATTEMPTS):
            handler = self.find(exc)
            if isinstance(exc, WebSocketRequestValidationError) and handler in _OWN:
                handler = close_unfit  # an accepted WebSocket gets no response
            if handler is None or handler in _OWN:
                return False
            try:
                await _call(handler, connection, exc)
            except Exception as error:
                if error is exc or self.find(error) in (None, *_OWN):
                    raise
                exc = error
            else:
                return True
        raise RuntimeError(_GAVE_UP) from exc

    @property
    def handles_everything(self) -> bool:
        """Whether the user has a handler for 500 or Exception."""
        return self.last_resort() is not None

    def last_resort(self) -> Handler | None:
        """What responds to exceptions that nothing else handles."""
        return self.debug or self._by_status.get(500) or self._by_class.get(Exception)

    async def respond(self, request: Request, exc: BaseException) -> Any:
        """The Response for `exc`; its traceback is logged if no handler is registered for it.

        If a handler raises an exception, the handler for that exception is called. The handlers for
        500 and Exception are called only when there is no other.
        """
        exc = of_connection(request, exc)
        if has_responded(request):
            log_failure(request, exc)
            await self.tell_last(request, exc)
            return server_error(exc)
        raised: BaseException | None = None
        for _ in range(_ATTEMPTS):
            handler = None if exc is raised else self.find(exc)
            if handler is None:
                return await self._respond_last(request, exc)
            try:
                return _checked(request, await _call(handler, request, exc))
            except Exception as error:
                raised, exc = exc, error
        log.error("%s %s: %s", request.method, request.path, _GAVE_UP)
        return await self._respond_last(request, exc)

    async def tell_last(self, request: Request, exc: BaseException) -> None:
        """Calls the handler for 500 or Exception after the response has begun: what it returns
        comes too late to be sent. Logs what the handler raises."""
        last = self._by_status.get(500) or self._by_class.get(Exception)
        if last is None or (request.disconnected and _is_absence(exc)):
            return
        try:
            await _call(last, request, exc)
        except Exception as error:
            if error is not exc:
                log_failure(request, error)

    async def _respond_last(self, request: Request, exc: BaseException) -> Any:
        """The response for an exception without a handler, or whose handler raised it again."""
        log_failure(request, exc)
        last = self.last_resort()
        if last is None:
            return server_error(exc)
        try:
            response = checked(await _call(last, request, exc))
            response.raw_headers.extend(noted_headers(exc))
            return response
        except Exception as error:
            handler = None if error is exc else self.find(error)
            if handler is not None and handler is not last:
                with suppress(Exception):
                    return checked(await _call(handler, request, error))
            log_failure(request, error)
            return server_error(exc)

    def respond_now(self, request: Request, exc: BaseException) -> Response | Awaitable[Any]:
        """Like `respond`, but returns the Response itself if no handler of the user is involved."""
        exc = of_connection(request, exc)
        handler = self.find(exc)
        unhandled = handler is None and self.last_resort() is None
        if unhandled or has_responded(request):
            log_failure(request, exc)
            if not unhandled:
                _run_soon(self.tell_last(request, exc))
            return server_error(exc)
        if handler not in _OWN:
            return self.respond(request, exc)
        try:
            response: Response = handler(request, exc)  # type: ignore[misc]
            return checked(response) if is_http_exception(exc) else response
        except Exception as error:
            error.__cause__ = exc
            return self.respond(request, error)


def _run_soon(telling: Coroutine[Any, Any, None]) -> None:
    """Runs it as a task of its own: C waits for nothing after the response."""
    task = asyncio.get_running_loop().create_task(telling)
    _telling.add(task)
    task.add_done_callback(_telling.discard)


_telling: set[asyncio.Task[None]] = set()


def of_connection(connection: Any, exc: Any) -> Any:
    """The error that handlers get: one of parameters or a result knows of which route it is, and
    a WebSocket's has a class of its own."""
    if isinstance(exc, ValidationException):
        _locate(connection, exc)
        if type(exc) is RequestValidationError and isinstance(connection, WebSocket):
            unfit = WebSocketRequestValidationError(exc.errors(), endpoint_ctx=exc.endpoint_ctx)
            return unfit.with_traceback(exc.__traceback__)
    return exc


def _checked(connection: Any, response: Any) -> Any:
    """What a handler has returned, as a response: for a WebSocket that may be nothing."""
    if response is None and isinstance(connection, WebSocket):
        return Response(status_code=403)
    return checked(response)


def _locate(request: Any, exc: ValidationException) -> None:
    """Tells an error of which route it is."""
    if exc.endpoint_ctx:
        return
    route: Any = getattr(request.plan, "info", None)
    endpoint = getattr(route, "endpoint", None)
    if endpoint is None:
        return
    kind = "WS" if isinstance(request, WebSocket) else request.method
    where = {"path": f"{kind} {request._root_path}{route.path}"}
    where["function"] = callable_name(endpoint)
    code = getattr(inspect.unwrap(endpoint), "__code__", None)
    if code is not None:
        where |= {"file": code.co_filename, "line": code.co_firstlineno}
    exc.endpoint_ctx = where


def has_responded(request: Request) -> bool:
    """Whether the response has started, so that an exception can only be logged."""
    return bool(request._cache and request._cache.get("responded"))


async def _call(handler: Handler, request: Request, exc: BaseException) -> Any:
    if is_async(handler):
        return await handler(request, exc)
    if handler in _OWN:
        return handler(request, exc)
    return await call_in_pool(_call_here, handler, request, exc)


def _call_here(handler: Handler, request: Request, exc: BaseException) -> Any:
    try:
        return handler(request, exc)
    except StopIteration as error:  # a future can't hold a StopIteration
        raise RuntimeError("an exception handler raised StopIteration") from error


def _is_absence(exc: BaseException) -> bool:
    """Whether `exc` may only mean that the client has disconnected.

    This holds for a group if it holds for each exception in it.
    """
    if isinstance(exc, BaseExceptionGroup):
        return all(map(_is_absence, exc.exceptions))
    return isinstance(exc, (asyncio.CancelledError, OSError))


def log_failure(request: Request, exc: BaseException) -> None:
    """Logs an exception that no handler handled."""
    if request.disconnected and _is_absence(exc):
        return  # a client that disconnects is not a failure
    log_unhandled(f"{request.method} {request.path} failed", exc)


def server_error(exc: BaseException) -> Response:
    """The response for an exception that no handler handled."""
    response = PlainTextResponse("Internal Server Error", 500)
    response.raw_headers.extend(noted_headers(exc))
    return response


def http_exception_handler(request: Request, exc: HTTPException) -> Response:
    """A response with `{"detail": …}` and the exception's status and headers."""
    if exc.status_code in WITHOUT_CONTENT:
        return Response(status_code=exc.status_code, headers=exc.headers)
    return JSONResponse({"detail": exc.detail}, exc.status_code, exc.headers)


def validation_exception_handler(request: Request, exc: ValidationException) -> Response:
    """A response with status 422 that says what is wrong with each parameter."""
    content = {"detail": [_shown(each) for each in exc.errors()]}
    try:
        body = _problem_encoder.encode(content)
    except Exception:  # no value that a client sends may make this fail
        body = encode_leniently(content, _plain_problem)
    return Response(body, 422, media_type="application/json")


def _shown(error: Any) -> Any:
    """An error with its bytes, such as a file's, as text, since Base64 would be unreadable."""
    found = error.get("input") if isinstance(error, dict) else None
    if type(found) is bytes:
        return {**error, "input": found.decode(errors="replace")}
    if type(found) is list and any(type(each) is bytes for each in found):
        texts = [x.decode(errors="replace") if type(x) is bytes else x for x in found]
        return {**error, "input": texts}
    return error


async def close_unfit(websocket: WebSocket, exc: WebSocketRequestValidationError) -> None:
    """Closes a WebSocket that doesn't fit its handler's parameters, with 1008 and what is wrong.

    Before the acceptance there is no close frame: the response is a 403.
    """
    reason = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
    if websocket.session_state != WAITING:  # RFC 6455 section 5.5
        reason = reason.encode(errors="replace")[:_REASON_MAX].decode(errors="ignore")
    await websocket.close(POLICY_VIOLATION, reason)


def client_disconnect_handler(request: Request, exc: ClientDisconnect) -> Response:
    """A response without content, since the client has disconnected and won't read it."""
    return Response(status_code=400)


def _plain_problem(value: Any) -> Any:
    """Encodes what JSON can't hold: an error may have exceptions in `ctx`, anything in `input`."""
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
