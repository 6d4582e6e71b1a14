"""Reading the Authorization header field (RFC 9110 section 11.6.2)."""

from __future__ import annotations

__all__ = ["get_authorization_scheme_param"]


def get_authorization_scheme_param(authorization_header_value: str | None) -> tuple[str, str]:
    """(scheme, credentials); both are empty without a field, the second when there is no space."""
    scheme, _, param = (authorization_header_value or "").partition(" ")
    return scheme, param.strip()
