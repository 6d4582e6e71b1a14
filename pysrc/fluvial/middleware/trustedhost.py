"""Requests for other hosts than the app's own are refused."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from .._messages.hosts import split_host
from ..datastructures import URL, Headers
from ..responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3, Message, Receive, Send

__all__ = ["TrustedHostMiddleware"]


class TrustedHostMiddleware:
    """Responds with 400 to requests and WebSockets whose Host isn't one of `allowed_hosts`.

    These are names, without ports, such as "example.com"; "*.example.com" stands for all names
    below, "*" for all. They are compared as text, without regard to case. If only "www." is
    missing, the client is redirected, unless `www_redirect` is false.

    Raises: ValueError for a "*" elsewhere.
    """

    def __init__(
        self, app: Asgi3, allowed_hosts: Collection[str] | None = None, www_redirect: bool = True
    ) -> None:
        if isinstance(allowed_hosts, str):
            raise TypeError(f"allowed_hosts is a list, not {allowed_hosts!r}")
        hosts = ["*"] if allowed_hosts is None else [each.lower() for each in allowed_hosts]
        for host in hosts:
            if host != "*" and "*" in host.removeprefix("*."):
                raise ValueError(f"an allowed host is like '*.example.com', not {host!r}")
        self.app = app
        self.allowed_hosts = hosts
        self.allow_any = "*" in hosts
        self.www_redirect = www_redirect
        self._names = frozenset(hosts)
        self._endings = tuple(host[1:] for host in hosts if host.startswith("*."))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """The middleware as an ASGI app."""
        if self.allow_any or scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        found = split_host(Headers(raw=scope["headers"]).get("host"))
        host = "" if found is None else found[0].lower()
        if host and (host in self._names or host.endswith(self._endings)):
            await self.app(scope, receive, send)
            return
        response: Response = PlainTextResponse("Invalid host header", 400)
        if host and self.www_redirect and f"www.{host}" in self._names:
            url = URL(scope=scope)
            response = RedirectResponse(url.replace(netloc=f"www.{url.netloc}"))
        await response(scope, receive, send)
