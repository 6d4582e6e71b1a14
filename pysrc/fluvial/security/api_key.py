"""Keys that are sent as a query parameter, a header field or a cookie."""

from __future__ import annotations

from ..requests import HTTPConnection  # noqa: TC001 - the signature is read at run time
from .base import SecurityBase

__all__ = ["APIKeyBase", "APIKeyCookie", "APIKeyHeader", "APIKeyQuery"]


class APIKeyBase(SecurityBase[str]):
    """A key by name; a subclass says where it is looked for."""

    _place = ""

    def __init__(
        self,
        *,
        name: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        model = {"type": "apiKey", "in": self._place, "name": name}
        # No scheme of that name is registered, but a 401 must name one.
        super().__init__(model, "APIKey", scheme_name, description, auto_error)
        self.name = name


class APIKeyQuery(APIKeyBase):
    """A key in the query string."""

    _place = "query"

    async def __call__(self, request: HTTPConnection) -> str | None:
        """The key. Raises: HTTPException 401 without one when `auto_error` is true."""
        return self.checked(request.query_params.get(self.name) or None)


class APIKeyHeader(APIKeyBase):
    """A key in a header field."""

    _place = "header"

    async def __call__(self, request: HTTPConnection) -> str | None:
        """The key. Raises: HTTPException 401 without one when `auto_error` is true."""
        return self.checked(request.headers.get(self.name) or None)


class APIKeyCookie(APIKeyBase):
    """A key in a cookie."""

    _place = "cookie"

    async def __call__(self, request: HTTPConnection) -> str | None:
        """The key. Raises: HTTPException 401 without one when `auto_error` is true."""
        return self.checked(request.cookies.get(self.name) or None)
