"""Bearer tokens of OAuth 2.0 (RFC 6749, RFC 6750).

The dependencies read a token from the request. The URLs say where a client gets one; they are for
the OpenAPI document only.
"""

from __future__ import annotations

from typing import Any

from ..requests import HTTPConnection  # noqa: TC001 - the signature is read at run time
from .base import AuthorizationField
from .utils import get_authorization_scheme_param

__all__ = ["OAuth2", "OAuth2AuthorizationCodeBearer", "OAuth2PasswordBearer"]


class OAuth2(AuthorizationField):
    """The Authorization field as it was sent, for flows that the subclasses don't cover.

    `flows` is the OAuth Flows Object of OpenAPI 3.1 (section 4.8.28).
    """

    def __init__(
        self,
        *,
        flows: dict[str, Any] | None = None,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        model: dict[str, Any] = {"type": "oauth2", "flows": flows or {}}
        super().__init__(model, "Bearer", scheme_name, description, auto_error)


class _Bearer(OAuth2):
    async def __call__(self, connection: HTTPConnection) -> str | None:
        """The token. Raises: HTTPException 401 without one when `auto_error` is true."""
        field = connection.headers.get("authorization")
        scheme, token = get_authorization_scheme_param(field)
        return self.checked(token if scheme.lower() == "bearer" else None)


class OAuth2PasswordBearer(_Bearer):
    """A token that was given for a password at `tokenUrl`, relative to the app."""

    def __init__(
        self,
        tokenUrl: str,
        scheme_name: str | None = None,
        scopes: dict[str, str] | None = None,
        description: str | None = None,
        auto_error: bool = True,
        refreshUrl: str | None = None,
    ) -> None:
        flow = {"tokenUrl": tokenUrl, "scopes": scopes or {}, "refreshUrl": refreshUrl}
        super().__init__(
            flows={"password": _without_none(flow)},
            scheme_name=scheme_name,
            description=description,
            auto_error=auto_error,
        )


class OAuth2AuthorizationCodeBearer(_Bearer):
    """A token that was given at `tokenUrl` for a code from `authorizationUrl`."""

    def __init__(
        self,
        authorizationUrl: str,
        tokenUrl: str,
        refreshUrl: str | None = None,
        scheme_name: str | None = None,
        scopes: dict[str, str] | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        flow = {
            "authorizationUrl": authorizationUrl,
            "tokenUrl": tokenUrl,
            "scopes": scopes or {},
            "refreshUrl": refreshUrl,
        }
        super().__init__(
            flows={"authorizationCode": _without_none(flow)},
            scheme_name=scheme_name,
            description=description,
            auto_error=auto_error,
        )


def _without_none(flow: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flow.items() if value is not None}
