"""Parts of Starlette's middleware that programs name."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from .._wsgi.as_asgi import make_environ
from .._wsgi.bridge import base_environ
from ..middleware.gzip import GZipMiddleware

if TYPE_CHECKING:
    from .._asgi.protocol import Message

__all__ = ["GZipResponder", "build_environ"]


class GZipResponder(GZipMiddleware):
    """What compresses one app's responses for clients that accept it: here, the middleware."""


def build_environ(scope: Message, body: bytes) -> dict[str, Any]:
    """The variables of a WSGI app (PEP 3333) for a request of an ASGI scope."""
    defaults = {"SERVER_NAME": "localhost", "SERVER_PORT": "80"}
    environ = base_environ("", multithread=True, multiprocess=True) | defaults
    return environ | make_environ(scope) | {"wsgi.input": io.BytesIO(body)}
