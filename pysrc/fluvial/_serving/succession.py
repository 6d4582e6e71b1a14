"""A new process of the same command that takes over the listening sockets, after SIGUSR2.

The old parent starts it with the sockets' descriptors, whose numbers and its own id stand in a
variable of the environment. Both serve until one of them is told to stop. The queues are those of
the sockets, so nothing that waits in them is lost with either.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .sockets import UnixSocket, take_over

if TYPE_CHECKING:
    import socket
    from collections.abc import Collection, Sequence

log = logging.getLogger("fluvial")
_VARIABLE = "_FLUVIAL_TAKES_OVER"  # "PID FD FD ..."


def _folder() -> str:
    """The current folder as the shell names it: a symbolic link may lead elsewhere later."""
    try:
        named, here = os.environ.get("PWD", ""), os.getcwd()
        return named if named and os.path.samefile(named, here) else here
    except OSError:
        return ""


_FOLDER = _folder()  # before the app can change it


@dataclass(frozen=True)
class Predecessor:
    """The process whose sockets this one has; `pid` 0: there is none."""

    pid: int = 0
    fds: tuple[int, ...] = ()

    @classmethod
    def from_environment(cls) -> Predecessor:
        """What the environment says, which is removed from it."""
        numbers = os.environ.pop(_VARIABLE, "").split()
        if not numbers:  # the predecessor may have ended already: the sockets are ours all the same
            return cls()
        pid, *fds = map(int, numbers)
        return cls(pid, tuple(fds))

    def runs(self) -> bool:
        """Whether it has not ended yet: this process is its child."""
        return self.pid != 0 and os.getppid() == self.pid

    def sockets(self) -> list[socket.socket]:
        """The sockets that it has passed. Raises: BindError when one can't be listened on."""
        return [take_over(fd) for fd in self.fds]


def start_successor(sockets: Sequence[socket.socket], mask: Collection[int]) -> int:
    """Starts the command again, with these sockets; returns its process id.

    `mask` is the set of signals that are blocked in it. Raises: OSError when there can't be another
    process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    fds = [sock.fileno() for sock in sockets]
    environment = _first_environment()
    environment.pop("WATCHDOG_PID", None)  # the watchdog will be the successor's
    environment[_VARIABLE] = " ".join(map(str, (os.getpid(), *fds)))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _execute(environment, fds, mask)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return pid


def _execute(environment: dict[str, str], fds: list[int], mask: Collection[int]) -> None:
    """Runs in the child, and never returns."""
    try:
        for fd in fds:
            os.set_inheritable(fd, True)
        if _FOLDER and os.path.isdir(_FOLDER):
            os.chdir(_FOLDER)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
            signal.signal(number, signal.SIG_DFL)
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)  # a pending one must not run our handler
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.execve(sys.executable, sys.orig_argv, environment)
    except BaseException:
        log.exception("%s can't be started again", sys.executable)
    os._exit(127)


def _first_environment() -> dict[str, str]:
    """The environment with which this process was started, where the system tells.

    The command may have changed it: it takes out what is meant for one process only.
    """
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = [os.fsdecode(each).partition("=") for each in file.read().split(b"\0") if each]
    except OSError:
        return dict(os.environ)
    return {name: value for name, _, value in pairs}


def leave_files(sockets: Sequence[socket.socket]) -> None:
    """Leaves the files of Unix sockets to the successor."""
    for sock in sockets:
        if isinstance(sock, UnixSocket):
            sock.leave_file()


def own_files(sockets: Sequence[socket.socket]) -> None:
    """Makes the files of Unix sockets those of this process, which removes them at its end."""
    for sock in sockets:
        if isinstance(sock, UnixSocket):
            sock.own_file()
