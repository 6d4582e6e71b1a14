"""Logs requests that C refuses without calling the app. This is done at debug level, because
scanners and lost clients cause such refusals all the time. A response that takes too long is a
warning, and so is a connection that no proxy has opened where only proxies may.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from .limits import LIMITS

log = logging.getLogger("fluvial")

_FLAGS = {limit.name: limit.flag for limit in LIMITS} | {"thread_queue": "--thread-queue"}
_FORBIDDEN = -1
_HTTP_2 = -2
_TOO_SLOW = 504  # the app's fault, not the client's: `reason` is the request
_QUIET = 10.0  # seconds; anybody may open connections, and fill the log
_LEAST_CLOSE_CODE = 1000  # RFC 6455 section 7.4; smaller numbers are HTTP statuses


class Refusals:
    """What is logged of one server's refusals. `clock` returns seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._quiet_until = -math.inf
        self._untold = 0

    def log(self, host: str, status: int, reason: str, limit: str | None) -> None:
        """Logs a refusal and, if a limit was exceeded, the limit's flag.

        `status` is the status of the response, the close code of a WebSocket, or 0 for a failed TLS
        handshake, or -1 for a connection that the rules of the PROXY protocol forbid, or -2 for one
        that has exceeded a bound of HTTP/2. Of those with -1 only one in ten seconds is logged,
        with the number of the others.
        """
        client = host or "a client"
        flag = "" if limit is None else f" ({_FLAGS[limit]})"
        if status == _FORBIDDEN:
            self._log_forbidden(client, reason + flag)
        else:
            _log_refused(client, status, reason, flag)

    def _log_forbidden(self, client: str, reason: str) -> None:
        now = self._clock()
        if now < self._quiet_until:
            self._untold += 1
            return
        more = f" (and {self._untold} others since the last line)" if self._untold else ""
        log.warning(
            "Closed a connection from %s to a --proxy-protocol listener: %s%s", client, reason, more
        )
        self._quiet_until, self._untold = now + _QUIET, 0


def _log_refused(client: str, status: int, reason: str, flag: str) -> None:
    if status == _HTTP_2:
        log.debug("Closed an HTTP/2 connection of %s: %s%s", client, reason, flag)
    elif status == 0:
        log.debug("TLS handshake with %s failed: %s%s", client, reason, flag)
    elif status == _TOO_SLOW:
        log.warning("The response to %s for %s took too long%s", reason, client, flag)
    elif status < _LEAST_CLOSE_CODE:
        log.debug("Refused a request from %s with %d: %s%s", client, status, reason, flag)
    else:
        log.debug("Closed a WebSocket of %s with %d: %s%s", client, status, reason, flag)
