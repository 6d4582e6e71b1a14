"""Cross-origin resource sharing (https://fetch.spec.whatwg.org/#http-cors-protocol).

Responses to unhandled exceptions have the header fields, too. Without them a browser hides the
response and reports a CORS error instead.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from .._messages.header_fields import RawHeaders, header_field
from ..datastructures import Headers, MutableHeaders
from ..exceptions import note_headers
from ..responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send
    from ..requests import Request
    from .base import DispatchFunction

__all__ = ["ALL_METHODS", "SAFELISTED_HEADERS", "CORSMiddleware"]

ALL_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY")
SAFELISTED_HEADERS = {"Accept", "Accept-Language", "Content-Language", "Content-Type"}

_ALLOW_ORIGIN = b"access-control-allow-origin"
_ASKS = "access-control-request-method"  # a preflight request has this field
_PREFLIGHT_VARY = ", ".join(
    (
        "Origin",
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
        "Access-Control-Request-Private-Network",
    )
)


def _listed(values: Collection[str] | str) -> tuple[str, ...]:
    """A str counts as a list of one. Taken as a collection, its parts would be allowed as well."""
    return (values,) if isinstance(values, str) else tuple(values)


class CORSMiddleware:
    """Lets pages of other origins read responses.

    `allow_origins`, `allow_methods` and `allow_headers` are lists, where "*" stands for all;
    `allow_origin_regex` must match an origin as a whole. `expose_headers` are those that scripts
    may read. Browsers may cache the response to a preflight request for `max_age` seconds.
    """

    def __init__(
        self,
        app: Asgi3,
        allow_origins: Collection[str] = (),
        allow_methods: Collection[str] = ("GET",),
        allow_headers: Collection[str] = (),
        allow_credentials: bool = False,
        allow_origin_regex: str | re.Pattern[str] | None = None,
        allow_private_network: bool = False,
        expose_headers: Collection[str] = (),
        max_age: int = 600,
    ) -> None:
        self.app = app
        origins, methods, headers = map(_listed, (allow_origins, allow_methods, allow_headers))
        self.allow_origins = frozenset(origins)
        self.allow_all_origins = "*" in origins
        self.allow_methods = ALL_METHODS if "*" in methods else methods
        self.allow_all_headers = "*" in headers
        self.allow_credentials = allow_credentials
        self.allow_origin_regex = (
            None if allow_origin_regex is None else re.compile(allow_origin_regex)
        )
        self.allow_private_network = allow_private_network
        named = sorted(SAFELISTED_HEADERS | set(headers))
        self.allow_headers = frozenset(name.lower() for name in named)
        self._preflight = {
            "Vary": _PREFLIGHT_VARY,
            "Access-Control-Allow-Methods": ", ".join(self.allow_methods),
            "Access-Control-Max-Age": str(max_age),
        }
        if not self.allow_all_headers:
            self._preflight["Access-Control-Allow-Headers"] = ", ".join(named)
        self._simple: RawHeaders = []  # what each response has but the allowed origin
        if allow_credentials:
            self._preflight["Access-Control-Allow-Credentials"] = "true"
            self._simple.append(header_field("access-control-allow-credentials", "true"))
        if exposed := _listed(expose_headers):
            self._simple.append(header_field("access-control-expose-headers", ", ".join(exposed)))

    def is_allowed_origin(self, origin: str) -> bool:
        """Whether pages of the origin may read responses."""
        if self.allow_all_origins or origin in self.allow_origins:
            return True
        regex = self.allow_origin_regex
        return regex is not None and regex.fullmatch(origin) is not None

    def preflight_response(self, request_headers: Headers) -> Response:
        """The response to a preflight request, which asks what a page may do."""
        origin = request_headers["origin"]
        headers = dict(self._preflight)
        failures = []
        if allowed := self._allowed(origin):
            headers["Access-Control-Allow-Origin"] = allowed[0][1].decode("latin-1")
        else:
            failures.append("origin")
        if request_headers[_ASKS] not in self.allow_methods:
            failures.append("method")
        wanted = request_headers.get("access-control-request-headers")
        if wanted is not None and self.allow_all_headers:
            headers["Access-Control-Allow-Headers"] = wanted
        elif wanted is not None and not self._allows_headers(wanted):
            failures.append("headers")
        if "access-control-request-private-network" in request_headers:
            if self.allow_private_network:
                headers["Access-Control-Allow-Private-Network"] = "true"
            else:
                failures.append("private-network")
        if failures:  # for people to read: a browser looks at the header fields
            return PlainTextResponse(f"Disallowed CORS {', '.join(failures)}", 400, headers)
        return PlainTextResponse("OK", 200, headers)

    def _allows_headers(self, wanted: str) -> bool:
        return all(name.strip() in self.allow_headers for name in wanted.lower().split(","))

    def _mark(self, raw: RawHeaders, origin: str | None) -> None:
        """Adds the fields of a response to a request of `origin`."""
        headers = MutableHeaders(raw=raw)
        if origin is not None:
            present = {name for name, _ in raw}
            for name, value in (*self._simple, *self._allowed(origin)):
                if name in present:
                    headers[name.decode()] = value.decode("latin-1")
                else:
                    raw.append((name, value))
        vary = headers.getlist("vary")
        if vary:
            headers["vary"] = ", ".join((*vary, "Origin"))
        else:
            raw.append((b"vary", b"Origin"))

    def _allowed(self, origin: str) -> RawHeaders:
        if self.allow_all_origins and not self.allow_credentials:
            return [(_ALLOW_ORIGIN, b"*")]
        return [(_ALLOW_ORIGIN, origin.encode("latin-1"))] if self.is_allowed_origin(origin) else []

    def _note(self, exc: Exception, origin: str | None) -> None:
        fields: RawHeaders = []
        self._mark(fields, origin)
        note_headers(exc, fields)

    def as_function(self) -> DispatchFunction:
        """The middleware without ASGI."""
        return self._dispatch

    async def _dispatch(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        origin = request.header("origin")
        if origin is not None and request.method == "OPTIONS" and _ASKS in request.headers:
            return self.preflight_response(request.headers)
        try:
            response = await call_next(request)
        except Exception as exc:
            self._note(exc, origin)
            raise
        self._mark(response.raw_headers, origin)
        return response

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(raw=list(scope["headers"]))
        origin = headers.get("origin")
        if origin is not None and scope["method"] == "OPTIONS" and _ASKS in headers:
            await self.preflight_response(headers)(scope, receive, send)
            return

        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = list(message.get("headers", ()))
                self._mark(message["headers"], origin)
            await send(message)

        try:
            await self.app(scope, receive, send_marked)
        except Exception as exc:
            self._note(exc, origin)
            raise
