"""What OpenTelemetry's semantic conventions say of HTTP, and the mark of a traced request."""

from __future__ import annotations

# Upper bounds of the buckets of a duration, in seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
METHODS = frozenset(
    (
        *("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY"),
        "TRACE",
    )
)
# The key of scopes whose request is traced already, or isn't to be.
TRACED = "fastapi.telemetry"
