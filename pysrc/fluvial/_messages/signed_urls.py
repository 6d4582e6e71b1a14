"""Queries of URLs that grant access by themselves: spans have them without their secrets."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

# Parameters whose values OpenTelemetry's semantic conventions hide.
_HIDDEN = frozenset(
    {"X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "sig", "X-Goog-Signature"}
)


def without_signatures(query: str) -> str:
    """The query with "REDACTED" for the values that give access to what the URL names."""
    pairs = parse_qsl(query, keep_blank_values=True)
    if not any(name in _HIDDEN for name, _ in pairs):
        return query
    return urlencode([(name, "REDACTED" if name in _HIDDEN else value) for name, value in pairs])
