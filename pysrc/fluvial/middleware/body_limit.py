"""A limit for the size of requests' bodies, as ASGI middleware around any app."""

from __future__ import annotations

from .._asgi.body_limit import MAX_BODY_SIZE_SCOPE_KEY, RequestBodyLimitMiddleware

__all__ = ["MAX_BODY_SIZE_SCOPE_KEY", "RequestBodyLimitMiddleware"]
