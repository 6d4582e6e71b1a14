"""OpenID Connect: the Authorization field, and where clients discover how to get one."""

from __future__ import annotations

from .base import AuthorizationField

__all__ = ["OpenIdConnect"]


class OpenIdConnect(AuthorizationField):
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
        super().__init__(model, "Bearer", scheme_name, description, auto_error)
