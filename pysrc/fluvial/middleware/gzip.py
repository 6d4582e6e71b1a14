"""Responses compressed with gzip (RFC 1952), for clients that accept it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from .compression import DEFAULT_EXCLUDED_CONTENT_TYPES, CompressionMiddleware

if TYPE_CHECKING:
    from .._asgi.protocol import Asgi3

__all__ = ["DEFAULT_EXCLUDED_CONTENT_TYPES", "GZipMiddleware"]


class GZipMiddleware(CompressionMiddleware):
    """CompressionMiddleware with gzip alone, and the options of Starlette's.

    `compresslevel` is 1, the fastest, to 9, the smallest; 0 doesn't compress.
    """

    def __init__(
        self,
        app: Asgi3,
        minimum_size: int = 500,
        compresslevel: int = 9,
        thread_minimum_size: int = 128 * 1024,
        *,
        exclude_content_types: Collection[str] = DEFAULT_EXCLUDED_CONTENT_TYPES,
    ) -> None:
        super().__init__(
            app,
            minimum_size,
            {"gzip": compresslevel},
            thread_minimum_size,
            exclude_content_types=exclude_content_types,
        )
        self.compresslevel = compresslevel
