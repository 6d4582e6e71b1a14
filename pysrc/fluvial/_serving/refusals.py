"""What the core refuses clients without asking the app, for the log at debug level: scanners and
lost clients cause it all day.
"""

from __future__ import annotations

import logging

from .config import LIMITS

log = logging.getLogger("fluvial")

_FLAGS = {limit.name: limit.flag for limit in LIMITS} | {"thread_queue": "--thread-queue"}
_LEAST_CLOSE_CODE = 1000  # RFC 6455 section 7.4; what is less is a status of HTTP


def log_refused(host: str, status: int, reason: str, limit: str | None) -> None:
    """Notes a refusal and, where a limit was exceeded, its flag.

    `status` is that of the response, or the close code of a WebSocket; 0: a TLS handshake failed.
    """
    client = host or "a client"
    flag = "" if limit is None else f" ({_FLAGS[limit]})"
    if status == 0:
        log.debug("TLS handshake with %s failed: %s%s", client, reason, flag)
    elif status < _LEAST_CLOSE_CODE:
        log.debug("Refused a request from %s with %d: %s%s", client, status, reason, flag)
    else:
        log.debug("Closed a WebSocket of %s with %d: %s%s", client, status, reason, flag)
