"""The service manager that has started this process, such as systemd: the sockets that it passes
(sd_listen_fds), and what it is told (sd_notify): datagrams to the socket in NOTIFY_SOCKET.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

_MICROSECONDS = 1e6
_FIRST_PASSED = 3  # SD_LISTEN_FDS_START
_MOST_PASSED = 1024


class ServiceManager:
    """The service manager, which passed the descriptors in `passed` and gets notified of states.

    Without a manager there are none, and every method does nothing. Errors are ignored: the server
    goes on when the manager can't be reached.
    """

    def __init__(
        self, address: str = "", interval: float = 0.0, passed: tuple[int, ...] = ()
    ) -> None:
        self._address = address
        self._pid = os.getpid()
        self.passed = passed
        self.interval = interval  # seconds between two signs of life; 0: none are wanted
        self.due = time.monotonic() + interval

    @classmethod
    def from_environment(cls) -> ServiceManager:
        """The manager that the environment's variables name.

        They are removed, so that neither the app nor a child believes that they are for it.
        """
        address = os.environ.pop("NOTIFY_SOCKET", "")
        wanted = os.environ.pop("WATCHDOG_USEC", "")
        pid = os.environ.pop("WATCHDOG_PID", "")
        mine = pid in ("", str(os.getpid()))
        interval = int(wanted) / _MICROSECONDS / 2 if wanted.isdecimal() and mine else 0.0
        return cls(address, interval if address else 0.0, _take_passed())

    def send(self, *lines: str) -> None:
        """Sends lines such as "READY=1" in one datagram; not from a child of the process."""
        if not self._address or os.getpid() != self._pid:
            return
        name = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(lines).encode(), name)

    def ready(self) -> None:
        """The service has started, or has started again."""
        self.send("READY=1", "STATUS=Serving")

    def reloading(self) -> None:
        """The service starts again; `ready` follows."""
        now = int(time.clock_gettime(time.CLOCK_MONOTONIC) * _MICROSECONDS)
        self.send("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=Starting again")

    def stopping(self) -> None:
        """The service has begun to stop."""
        self.send("STOPPING=1", "STATUS=Finishing the requests under way")

    def live(self) -> None:
        """A sign of life, if one is due."""
        if self.interval and time.monotonic() >= self.due:
            self.send("WATCHDOG=1")
            self.due = time.monotonic() + self.interval

    def live_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Gives signs of life as long as the loop runs its callbacks."""
        if self.interval:
            self.live()
            loop.call_later(self.interval / 2, self.live_on, loop)


def _take_passed() -> tuple[int, ...]:
    pid, count = os.environ.get("LISTEN_PID", ""), os.environ.get("LISTEN_FDS", "")
    if not (pid.isdecimal() and count.isdecimal() and int(pid) == os.getpid()):
        return ()
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    return tuple(range(_FIRST_PASSED, _FIRST_PASSED + min(int(count), _MOST_PASSED)))
