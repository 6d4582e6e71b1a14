"""Exceptions that users raise and catch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

__all__ = [
    "ClientDisconnect",
    "DependencyScopeError",
    "FastAPIError",
    "FluvialError",
    "HTTPException",
    "NoMatchFound",
    "RequestValidationError",
    "ResponseValidationError",
    "RouteWarning",
    "ValidationException",
    "WebSocketDisconnect",
    "WebSocketException",
    "WebSocketRequestValidationError",
]


class HTTPException(Exception):
    """Makes the response an error with a status, instead of the handler's result.

    `detail` may be anything that has a JSON form; it defaults to the status's reason phrase.
    `headers` are added to the response.
    """

    def __init__(
        self, status_code: int, detail: Any = None, headers: Mapping[str, str] | None = None
    ) -> None:
        if detail is None:
            detail = status_phrase(status_code)
        super().__init__(status_code, detail)
        self.status_code = status_code
        self.detail = detail
        self.headers = None if headers is None else dict(headers)

    def __str__(self) -> str:
        return f"{self.status_code}: {self.detail}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(status_code={self.status_code!r}, detail={self.detail!r})"


def is_http_exception(exc: BaseException) -> bool:
    """Whether `exc` is an HTTPException, ours or Starlette's (and so FastAPI's).

    Both have `status_code`, `detail` and `headers`.
    """
    if isinstance(exc, HTTPException):
        return True
    return any(
        cls.__name__ == "HTTPException" and cls.__module__ == "starlette.exceptions"
        for cls in type(exc).__mro__
    )


class ValidationException(Exception):
    """An error of a route's parameters or result, which says whose it is.

    `errors()` gives dicts with `type`, `loc`, `msg`, `input` and sometimes `ctx`. `endpoint_ctx`
    may have "path" (with the method), "function", "file" and "line".
    """

    endpoint_ctx: Mapping[str, Any] = {}

    def __init__(
        self, errors: Sequence[Any], *, endpoint_ctx: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(errors)
        self._errors = errors
        if endpoint_ctx:
            self.endpoint_ctx = endpoint_ctx

    def errors(self) -> Sequence[Any]:
        """What is wrong: one dict for each error."""
        return self._errors

    @property
    def endpoint_path(self) -> str | None:
        """The method and the path of the route."""
        return self.endpoint_ctx.get("path")

    @property
    def endpoint_function(self) -> str | None:
        """The name of the route's function."""
        return self.endpoint_ctx.get("function")

    @property
    def endpoint_file(self) -> str | None:
        """The file that the function stands in."""
        return self.endpoint_ctx.get("file")

    @property
    def endpoint_line(self) -> int | None:
        """The line at which it begins."""
        return self.endpoint_ctx.get("line")

    def __str__(self) -> str:
        places = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in self._errors)
        return f"{_counted(self._errors)}: {'; '.join(places)}{self.place()}"

    def place(self) -> str:
        """The route and its function, each on a line of its own; empty if they aren't known."""
        told = self.endpoint_ctx
        lines = [f"Endpoint: {told['path']}"] if told.get("path") else []
        if told.get("file"):
            lines.append(f'File "{told["file"]}", line {told.get("line")}, in {told["function"]}')
        elif told.get("function"):
            lines.append(f"in {told['function']}")
        return "".join(f"\n  {line}" for line in lines)


class RequestValidationError(ValidationException):
    """The request doesn't fit the handler's parameters; the response has the status 422.

    `body` is the decoded body if that was at fault.
    """

    def __init__(
        self,
        errors: Sequence[dict[str, Any]],
        *,
        body: Any = None,
        endpoint_ctx: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(errors, endpoint_ctx=endpoint_ctx)
        self.body = body


class WebSocketRequestValidationError(ValidationException):
    """A WebSocket's opening handshake doesn't fit the handler's parameters.

    The handshake is refused with 422; once a dependency has accepted it, the WebSocket is closed
    with 1008.
    """


def _counted(errors: Sequence[Any]) -> str:
    return f"{len(errors)} validation error{'' if len(errors) == 1 else 's'}"


class InvalidJSON(json.JSONDecodeError, RequestValidationError):
    """Text that should be JSON isn't, or can't be accepted; the response has the status 422.

    It is a `json.JSONDecodeError`, and so a ValueError: `msg`, `doc` and `pos` say what is wrong
    and where.
    """

    def __init__(self, msg: str, doc: str, pos: int) -> None:
        super().__init__(msg, doc, pos)
        self._errors = [_json_problem(("body", pos), msg)]
        self.body = doc

    def __str__(self) -> str:
        return f"{self.args[0]}{self.place()}"

    def at(self, loc: tuple[str | int, ...]) -> RequestValidationError:
        """The same error for the parameter at `loc`, whose value this text is."""
        problem = _json_problem((*loc, self.pos), self.msg)
        return RequestValidationError([problem], body=self.doc)


def _json_problem(loc: tuple[str | int, ...], reason: str) -> dict[str, Any]:
    return {
        "type": "json_invalid",
        "loc": loc,
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": reason},
    }


class FluvialError(RuntimeError):
    """An app uses the framework in a way that can't work, which shows only when it runs."""


FastAPIError = FluvialError  # so that a program moves by changing an import


class PathError(ValueError, FluvialError):
    """A path that no request can have."""


class DependencyScopeError(TypeError, FluvialError):
    """A dependency needs another one, or the request, for longer than that lives."""


class ResponseValidationError(ValidationException):
    """A handler's result doesn't fit the response model; the response has the status 500.

    `body` is the result.
    """

    def __init__(
        self,
        errors: Sequence[Any] = (),
        *,
        body: Any = None,
        message: str = "",
        endpoint_ctx: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(errors, endpoint_ctx=endpoint_ctx)
        self.args = (message or _counted(errors),)
        self.body = body

    def __str__(self) -> str:
        return f"{self.args[0]}{self.place()}"


class ClientDisconnect(Exception):
    """The client disconnected before the request was read or the response was sent."""


class WebSocketDisconnect(Exception):
    """The WebSocket was closed by the client, or its connection was lost.

    `code` is that of the close frame (RFC 6455 section 7.4), 1005 for a frame without a code, or
    1006 for a lost connection.
    """

    def __init__(self, code: int = 1000, reason: str | None = None) -> None:
        super().__init__(code, reason or "")
        self.code = code
        self.reason = reason or ""


class WebSocketException(Exception):
    """Closes the WebSocket with a code and a reason; rejects one that isn't accepted yet."""

    def __init__(self, code: int, reason: str | None = None) -> None:
        super().__init__(code, reason or "")
        self.code = code
        self.reason = reason or ""

    def __str__(self) -> str:
        return f"{self.code}: {self.reason}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(code={self.code!r}, reason={self.reason!r})"


class NoMatchFound(Exception):
    """No route has this name with these parameters in its path."""

    def __init__(self, name: str, path_params: dict[str, Any]) -> None:
        params = ", ".join(path_params)
        super().__init__(f'No route exists for name "{name}" and params "{params}".')


class FastAPIDeprecationWarning(UserWarning):
    """Something that FastAPI is going to drop, such as `regex` where `pattern` is meant."""


class RouteWarning(UserWarning):
    """A route is valid but probably a mistake, such as a second handler for the same requests."""


def status_phrase(status_code: int) -> str:
    """The reason phrase of a status code (RFC 9110 section 15); empty if it has none."""
    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return ""


def note_headers(exc: BaseException, headers: list[tuple[bytes, bytes]]) -> None:
    """Stores header fields for the response to an unhandled exception.

    Middleware that adds header fields to responses doesn't see that response, which is made outside
    of it.
    """
    noted: list[tuple[bytes, bytes]] = exc.__dict__.setdefault("_fluvial_headers", [])
    noted.extend(headers)


def noted_headers(exc: BaseException) -> list[tuple[bytes, bytes]]:
    """What `note_headers` has noted."""
    noted: list[tuple[bytes, bytes]] = exc.__dict__.get("_fluvial_headers", [])
    return noted
