"""What all security schemes have in common."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from ..exceptions import HTTPException
from ..requests import HTTPConnection  # noqa: TC001 - the signature is read at run time

__all__ = ["AuthorizationField", "SecurityBase"]

T = TypeVar("T")


class SecurityBase(Generic[T]):
    """A dependency that reads credentials from a request.

    `model` is the Security Scheme Object of OpenAPI 3.1 (section 4.8.27), `scheme_name` its name in
    the document. With `auto_error`, a request without the credentials is refused with 401, and
    `challenge` is its WWW-Authenticate field (RFC 9110 section 11.6.1). Otherwise the dependency is
    None.
    """

    def __init__(
        self,
        model: dict[str, Any],
        challenge: str,
        scheme_name: str | None,
        description: str | None,
        auto_error: bool,
    ) -> None:
        if description is not None:
            model["description"] = description
        self.model = model
        self.challenge = challenge
        self.scheme_name = scheme_name or type(self).__name__
        self.auto_error = auto_error

    def make_not_authenticated_error(self) -> HTTPException:
        """What is raised without credentials; a subclass may return another error."""
        headers = {"WWW-Authenticate": self.challenge}
        return HTTPException(401, "Not authenticated", headers)

    def checked(self, credentials: T | None) -> T | None:
        """The credentials. Raises: HTTPException when there are none and `auto_error` is true."""
        if credentials is None and self.auto_error:
            raise self.make_not_authenticated_error()
        return credentials


class AuthorizationField(SecurityBase[str]):
    """The Authorization field as it was sent."""

    async def __call__(self, request: HTTPConnection) -> str | None:
        """The field. Raises: HTTPException 401 without one when `auto_error` is true."""
        return self.checked(request.headers.get("authorization") or None)
