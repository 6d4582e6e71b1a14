"""A new process of the same command that takes over the listening sockets, after SIGUSR2.

The old parent starts it with the sockets' descriptors, whose numbers and its own id stand in a
variable of the environment. Another variable names what else is handed on: the memory of the
metrics, and a pipe with the keys of TLS sessions. Both serve until one of them is told to stop. The
queues are those of the sockets, so nothing that waits in them is lost with either.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .sockets import UnixSocket, take_over

if TYPE_CHECKING:
    import socket
    from collections.abc import Collection, Iterator, Sequence

log = logging.getLogger("fluvial")
_VARIABLE = "_FLUVIAL_TAKES_OVER"  # "PID FD FD ..."
_LEGACY = "_FLUVIAL_LEGACY"  # "PID metrics=FD sessions=FD passed=FD,FD", each of these or none
_MOST = 4096  # bytes of what a pipe holds: they are written before anybody reads


def _folder() -> str:
    """The current folder as the shell names it: a symbolic link may lead elsewhere later."""
    try:
        named, here = os.environ.get("PWD", ""), os.getcwd()
        return named if named and os.path.samefile(named, here) else here
    except OSError:
        return ""


_FOLDER = _folder()  # before the app can change it


@dataclass(frozen=True)
class Legacy:
    """What a process hands on beside its sockets: the descriptor of the memory in which it counts
    (-1: none), the keys of its TLS sessions, and the numbers of those of its sockets that a service
    manager has passed to it."""

    metrics: int = -1
    sessions: bytes = field(default=b"", repr=False)
    passed: tuple[int, ...] = ()

    @classmethod
    def from_environment(cls, pid: int) -> Legacy:
        """What the process `pid` has handed on; the variable is removed."""
        heir, *words = os.environ.pop(_LEGACY, "").split() or [""]
        if heir != str(pid):  # of a version before this one, which left the variable to others
            return cls()
        given = dict(word.split("=") for word in words)
        sessions = b""
        if "sessions" in given:
            with open(int(given["sessions"]), "rb") as pipe:
                sessions = pipe.read(_MOST)
        metrics = int(given.get("metrics", -1))
        if metrics >= 0:
            os.set_inheritable(metrics, False)
        return cls(metrics, sessions, tuple(map(int, given.get("passed", "").split(",")[:-1])))

    @contextlib.contextmanager
    def handing(self) -> Iterator[tuple[str, list[int]]]:
        """The variable's value and the descriptors that it names."""
        words, fds = [str(os.getpid())], []
        if self.metrics >= 0:
            words.append(f"metrics={self.metrics}")
            fds.append(self.metrics)
        if self.passed:
            words.append("passed=" + "".join(f"{fd}," for fd in self.passed))
        if not self.sessions:
            yield " ".join(words), fds
            return
        reader, writer = os.pipe()
        try:
            try:
                os.write(writer, self.sessions)
            finally:
                os.close(writer)
            yield " ".join([*words, f"sessions={reader}"]), [*fds, reader]
        finally:
            os.close(reader)


@dataclass(frozen=True)
class Predecessor:
    """The process whose sockets this one has; `pid` 0: there is none."""

    pid: int = 0
    fds: tuple[int, ...] = ()
    legacy: Legacy = Legacy()

    @classmethod
    def from_environment(cls) -> Predecessor:
        """What the environment says, which is removed from it."""
        numbers = os.environ.pop(_VARIABLE, "").split()
        if not numbers:  # the predecessor may have ended already: the sockets are ours all the same
            return cls()
        pid, *fds = map(int, numbers)
        return cls(pid, tuple(fds), Legacy.from_environment(pid))

    def runs(self) -> bool:
        """Whether it has not ended yet: this process is its child."""
        return self.pid != 0 and os.getppid() == self.pid

    def sockets(self) -> list[socket.socket]:
        """The sockets that it has passed. Raises: BindError when one can't be listened on."""
        return [take_over(fd) for fd in self.fds]


def start_successor(sockets: Sequence[socket.socket], mask: Collection[int], legacy: Legacy) -> int:
    """Starts the command again, with these sockets and `legacy`; returns its process id.

    `mask` is the set of signals that are blocked in it. Raises: OSError when there can't be another
    process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    fds = [sock.fileno() for sock in sockets]
    environment = _first_environment()
    environment.pop("WATCHDOG_PID", None)  # the watchdog will be the successor's
    environment[_VARIABLE] = " ".join(map(str, (os.getpid(), *fds)))
    with legacy.handing() as (value, others):
        environment[_LEGACY] = value
        return _fork(environment, [*fds, *others], mask)


def _fork(environment: dict[str, str], fds: list[int], mask: Collection[int]) -> int:
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
