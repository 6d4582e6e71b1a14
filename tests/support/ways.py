"""The same app on each of the ways that a response can take to a client."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import fluvial._core
import httpx

from .middleware import pass_on
from .serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fluvial import App

    from .certificate import Certificate

H2 = ("h2",) if fluvial._core.nghttp2_version else ()
WAYS = ("native", "middleware", "adopted", "tls", *H2)


@contextlib.contextmanager
def served_by(
    way: str, app: App, certificate: Certificate, **options: Any
) -> Iterator[httpx.Client]:
    """A client of the app, which is served on one of WAYS; `certificate` is for "tls"."""

    async def adopted(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    if way == "middleware":
        app.middleware("http")(pass_on)
    files = {"ssl_certfile": str(certificate.cert), "ssl_keyfile": str(certificate.key)}
    if way == "tls":
        options |= files
    if way == "h2":
        options |= {"http": "auto"}
    with serving(adopted if way == "adopted" else app, **options) as served:
        if way != "h2":
            yield served.client
        else:
            yield served.new_client(transport=httpx.HTTPTransport(http1=False, http2=True))
