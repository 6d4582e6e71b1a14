"""OpenID Connect: the Authorization field, and where clients discover how to get one."""

from __future__ import annotations

from ..requests import HTTPConnection  # noqa: TC001 - the signature is read at run time
from .base import SecurityBase

__all__ = ["OpenIdConnect"]


class OpenIdConnect(SecurityBase[str]):
    """The Authorization field as it was sent; `openIdConnectUrl` is for the documentation."""

    def __init__(
        self,
        *,
        openIdConnectUrl: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        model = {"type": "openIdConnect", "openIdConnectUrl": openIdConnectUrl}
        super().__init__(model, scheme_name, description, auto_error)

    def challenge(self) -> str:
        """As in SecurityBase."""
        return "Bearer"

    async def __call__(self, connection: HTTPConnection) -> str | None:
        """The field. Raises: HTTPException 401 without one when `auto_error` is true."""
        return self.checked(connection.headers.get("authorization") or None)
