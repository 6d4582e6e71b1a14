"""Bearer tokens of OAuth 2.0 (RFC 6749, RFC 6750).

The dependencies read a token from the request. The URLs say where a client gets one; they are for
the OpenAPI document only.
"""

from __future__ import annotations

from typing import Annotated, Any

from ..params import Form
from ..requests import HTTPConnection  # noqa: TC001 - the signature is read at run time
from .base import AuthorizationField
from .utils import get_authorization_scheme_param

__all__ = [
    "OAuth2",
    "OAuth2AuthorizationCodeBearer",
    "OAuth2PasswordBearer",
    "OAuth2PasswordRequestForm",
    "OAuth2PasswordRequestFormStrict",
]

_GRANT = Form(pattern="^password$")
_SECRET = Form(json_schema_extra={"format": "password"})


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
    async def __call__(self, request: HTTPConnection) -> str | None:
        """The token. Raises: HTTPException 401 without one when `auto_error` is true."""
        field = request.headers.get("authorization")
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


class OAuth2PasswordRequestForm:
    """What a client sends for a token (RFC 6749 section 4.3.2), for `Depends()`.

    `scopes` are the names in the field `scope`, which has spaces between them. The RFC demands that
    `grant_type` is "password"; here it may be left out.
    """

    def __init__(
        self,
        *,
        grant_type: Annotated[str | None, _GRANT] = None,
        username: Annotated[str, Form()],
        password: Annotated[str, _SECRET],
        scope: Annotated[str, Form()] = "",
        client_id: Annotated[str | None, Form()] = None,
        client_secret: Annotated[str | None, _SECRET] = None,
    ) -> None:
        self.grant_type = grant_type
        self.username = username
        self.password = password
        self.scopes = scope.split()
        self.client_id = client_id
        self.client_secret = client_secret


class OAuth2PasswordRequestFormStrict(OAuth2PasswordRequestForm):
    """The same for clients that send `grant_type`, as the RFC demands."""

    def __init__(
        self,
        grant_type: Annotated[str, _GRANT],
        username: Annotated[str, Form()],
        password: Annotated[str, Form()],
        scope: Annotated[str, Form()] = "",
        client_id: Annotated[str | None, Form()] = None,
        client_secret: Annotated[str | None, Form()] = None,
    ) -> None:
        super().__init__(
            grant_type=grant_type,
            username=username,
            password=password,
            scope=scope,
            client_id=client_id,
            client_secret=client_secret,
        )


def _without_none(flow: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flow.items() if value is not None}
