"""HTTP authentication: Basic (RFC 7617), Bearer (RFC 6750) and Digest (RFC 7616).

Only the credentials are read. Whether they are right is for the app to say, with a comparison that
takes the same time for every wrong value (`secrets.compare_digest`).
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass
from typing import Any

from ..requests import HTTPConnection  # noqa: TC001 - the signature is read at run time
from .base import SecurityBase
from .utils import get_authorization_scheme_param

__all__ = [
    "HTTPAuthorizationCredentials",
    "HTTPBase",
    "HTTPBasic",
    "HTTPBasicCredentials",
    "HTTPBearer",
    "HTTPDigest",
]


@dataclass(slots=True)
class HTTPBasicCredentials:
    """A user's name and password, as they were sent."""

    username: str
    password: str

    def model_dump(self) -> dict[str, str]:
        """The parts, as a model of pydantic's gives them."""
        return asdict(self)


@dataclass(slots=True)
class HTTPAuthorizationCredentials:
    """The two parts of the Authorization field."""

    scheme: str
    credentials: str

    def model_dump(self) -> dict[str, str]:
        """The parts, as a model of pydantic's gives them."""
        return asdict(self)


class HTTPBase(SecurityBase[HTTPAuthorizationCredentials]):
    """Credentials of any scheme of HTTP authentication."""

    _accepts: str | None = None  # the scheme, in lower case; None: any

    def __init__(
        self,
        *,
        scheme: str,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        model: dict[str, Any] = {"type": "http", "scheme": scheme}
        super().__init__(model, scheme.title(), scheme_name, description, auto_error)

    async def __call__(self, request: HTTPConnection) -> HTTPAuthorizationCredentials | None:
        """The credentials of the request or of the WebSocket's handshake.

        Raises: HTTPException 401 when there are none and `auto_error` is true.
        """
        field = request.headers.get("authorization")
        scheme, credentials = get_authorization_scheme_param(field)
        accepted = scheme and credentials and self._accepts in (None, scheme.lower())
        found = HTTPAuthorizationCredentials(scheme, credentials) if accepted else None
        return self.checked(found)


class HTTPBearer(HTTPBase):
    """A bearer token (RFC 6750)."""

    _accepts = "bearer"

    def __init__(
        self,
        *,
        bearerFormat: str | None = None,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(
            scheme="bearer", scheme_name=scheme_name, description=description, auto_error=auto_error
        )
        if bearerFormat is not None:
            self.model["bearerFormat"] = bearerFormat


class HTTPDigest(HTTPBase):
    """Digest authentication (RFC 7616); the credentials are not taken apart."""

    _accepts = "digest"

    def __init__(
        self,
        *,
        scheme_name: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        super().__init__(
            scheme="digest", scheme_name=scheme_name, description=description, auto_error=auto_error
        )


class HTTPBasic(SecurityBase[HTTPBasicCredentials]):
    """A user's name and password (RFC 7617). `realm` is what a browser shows when it asks."""

    def __init__(
        self,
        *,
        scheme_name: str | None = None,
        realm: str | None = None,
        description: str | None = None,
        auto_error: bool = True,
    ) -> None:
        model = {"type": "http", "scheme": "basic"}
        super().__init__(model, _basic_challenge(realm), scheme_name, description, auto_error)
        self.realm = realm

    async def __call__(self, request: HTTPConnection) -> HTTPBasicCredentials | None:
        """The name and the password.

        Raises: HTTPException 401 when there are none and `auto_error` is true, and always when they
        are malformed.
        """
        field = request.headers.get("authorization")
        scheme, param = get_authorization_scheme_param(field)
        if scheme.lower() != "basic":
            return self.checked(None)
        try:
            decoded = base64.b64decode(param, validate=True).decode()
        except ValueError:  # no Base64, or no UTF-8
            raise self.make_not_authenticated_error() from None
        username, colon, password = decoded.partition(":")
        if not colon:
            raise self.make_not_authenticated_error()
        return HTTPBasicCredentials(username, password)


def _basic_challenge(realm: str | None) -> str:
    if not realm:
        return "Basic"
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
    return f'Basic realm="{quoted}"'
