"""Exceptions that users raise and catch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

__all__ = [
    "ClientDisconnect",
    "HTTPException",
    "RequestValidationError",
    "ResponseValidationError",
    "RouteWarning",
    "WebSocketDisconnect",
    "WebSocketException",
]


class HTTPException(Exception):
    """Answers the request with a status instead of a result.

    `detail` may be anything that has a JSON form; it defaults to the status's phrase. `headers`
    go with the response.
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
        return f"HTTPException(status_code={self.status_code!r}, detail={self.detail!r})"


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


class RequestValidationError(Exception):
    """The request doesn't fit the handler's parameters: answered with 422.

    `errors()` are dicts with `type`, `loc`, `msg`, `input` and sometimes `ctx`; `body` is the
    decoded body where it was at fault.
    """

    def __init__(self, errors: Sequence[dict[str, Any]], *, body: Any = None) -> None:
        super().__init__(errors)
        self._errors = errors
        self.body = body

    def errors(self) -> Sequence[dict[str, Any]]:
        """What is wrong, one dict for each place."""
        return self._errors

    def __str__(self) -> str:
        places = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in self._errors)
        return "; ".join(places)


class InvalidJSON(json.JSONDecodeError, RequestValidationError):
    """What was to be JSON isn't, or has what can't be accepted: answered with 422.

    A `json.JSONDecodeError`, which is a ValueError: `msg`, `doc` and `pos` tell what is wrong and
    where.
    """

    def __init__(self, msg: str, doc: str, pos: int) -> None:
        super().__init__(msg, doc, pos)
        self._errors = [_json_problem(("body", pos), msg)]
        self.body = doc

    def __str__(self) -> str:
        return str(self.args[0])

    def at(self, loc: tuple[str | int, ...]) -> RequestValidationError:
        """The same of the value at `loc`, for who declared it as a parameter."""
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


class ResponseValidationError(Exception):
    """A handler's result doesn't fit the route's response model: answered with 500."""


class ClientDisconnect(Exception):
    """The client went away before its request was read or answered."""


class WebSocketDisconnect(Exception):
    """The WebSocket is closed, by the client or because the connection was lost.

    `code` is that of the close frame (RFC 6455 section 7.4); 1005 stands for a frame without one,
    1006 for a connection that was lost.
    """

    def __init__(self, code: int = 1000, reason: str | None = None) -> None:
        super().__init__(code, reason or "")
        self.code = code
        self.reason = reason or ""


class WebSocketException(Exception):
    """Closes the WebSocket with a code and a reason; declines it when it isn't accepted yet."""

    def __init__(self, code: int, reason: str | None = None) -> None:
        super().__init__(code, reason or "")
        self.code = code
        self.reason = reason or ""


class RouteWarning(UserWarning):
    """Something about a route that is legal and hardly meant, such as a second handler for it."""


def status_phrase(status_code: int) -> str:
    """The phrase of a status code (RFC 9110 section 15), empty when it has none."""
    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return ""
