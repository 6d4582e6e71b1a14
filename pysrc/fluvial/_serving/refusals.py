"""Logs requests that C refuses without calling the app. This is done at debug level, because
scanners and lost clients cause such refusals all the time. A response that takes too long is a
warning.
"""

from __future__ import annotations

import logging

from .limits import LIMITS

log = logging.getLogger("fluvial")

_FLAGS = {limit.name: limit.flag for limit in LIMITS} | {"thread_queue": "--thread-queue"}
_TOO_SLOW = 504  # the app's fault, not the client's: `reason` is the request
_LEAST_CLOSE_CODE = 1000  # RFC 6455 section 7.4; smaller numbers are HTTP statuses


def log_refused(host: str, status: int, reason: str, limit: str | None) -> None:
    """Logs a refusal and, if a limit was exceeded, the limit's flag.

    `status` is the status of the response, the close code of a WebSocket, or 0 for a failed TLS
    handshake, or -1 for a connection that the rules of the PROXY protocol forbid.
    """
    client = host or "a client"
    flag = "" if limit is None else f" ({_FLAGS[limit]})"
    if status < 0:
        log.warning("Closed a connection of %s to --proxy-protocol: %s%s", client, reason, flag)
    elif status == 0:
        log.debug("TLS handshake with %s failed: %s%s", client, reason, flag)
    elif status == _TOO_SLOW:
        log.warning("The response to %s for %s took too long%s", reason, client, flag)
    elif status < _LEAST_CLOSE_CODE:
        log.debug("Refused a request from %s with %d: %s%s", client, status, reason, flag)
    else:
        log.debug("Closed a WebSocket of %s with %d: %s%s", client, status, reason, flag)
