"""A server under measurement: its processes, pinned to one core, and what the kernel says of them.

A server is started in a session of its own, so that its processes and threads are found by
session id, whichever of them forked which. Linux only: it reads /proc.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

START_SECONDS = 20.0
STOP_SECONDS = 5.0
_STAT_SESSION, _STAT_UTIME, _STAT_STIME = 3, 11, 12  # fields of /proc/PID/stat behind the name


class ServerFailed(RuntimeError):
    """A server did not start or did not survive; the message holds the end of its output."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time of a server's processes, dead threads included."""

    cpu_ns: int
    user_ticks: int  # sampled by the kernel's tick: good for a share, not for an absolute figure
    system_ticks: int

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(
            self.cpu_ns - earlier.cpu_ns,
            self.user_ticks - earlier.user_ticks,
            self.system_ticks - earlier.system_ticks,
        )

    @property
    def user_share(self) -> float:
        ticks = self.user_ticks + self.system_ticks
        return self.user_ticks / ticks if ticks else 0.0


class ServerProcess:
    """One running server. A context manager; leaving it stops every process of the server."""

    def __init__(self, name: str, proc: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.name = name
        self.port = port
        self._proc = proc
        self._log = log

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str],
        *,
        port: int,
        cpu: int | None,
        cwd: Path,
        env: Mapping[str, str],
        log: Path,
    ) -> Self:
        pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            proc = subprocess.Popen(
                [*pin, *command],
                cwd=cwd,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(name, proc, port, log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The first process, leader of the session."""
        return self._proc.pid

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Returns once the server accepts connections."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise ServerFailed(f"{self.name} does not accept connections\n{self._output()}")

    def wait_output(self, text: str, seconds: float = START_SECONDS) -> None:
        """Returns once the server has printed `text`."""
        deadline = time.monotonic() + seconds
        while text not in self._output():
            self.check()
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} does not print {text!r}\n{self._output()}")
            time.sleep(0.02)

    def check(self) -> None:
        if self._proc.poll() is not None:
            raise ServerFailed(
                f"{self.name} ended with status {self._proc.returncode}\n{self._output()}"
            )

    def pause(self) -> None:
        """Freezes the server, so that it costs the one being measured nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        self.resume()
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._proc.wait(STOP_SECONDS)
        self._signal(signal.SIGKILL)
        self._proc.wait()

    def usage(self) -> Usage:
        total = Usage(0, 0, 0)
        for pid in self._pids():
            fields = _stat(pid)
            if fields is None:
                continue
            total = Usage(
                total.cpu_ns + time.clock_gettime_ns(_cpu_clock(pid)),
                total.user_ticks + int(fields[_STAT_UTIME]),
                total.system_ticks + int(fields[_STAT_STIME]),
            )
        return total

    def resident_bytes(self) -> int:
        """RSS, summed over the server's processes (smaps_rollup counts exactly, status doesn't)."""
        total = 0
        for pid in self._pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def wakeups(self) -> int:
        """How often threads of the server went to sleep by themselves, so far."""
        total = 0
        for pid in self._pids():
            for status in Path(f"/proc/{pid}/task").glob("*/status"):
                for line in status.read_text().splitlines():
                    if line.startswith("voluntary_ctxt_switches:"):
                        total += int(line.split()[1])
        return total

    def threads(self) -> int:
        return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in self._pids())

    def _pids(self) -> Iterator[int]:
        for entry in os.listdir("/proc"):
            if entry.isdecimal():
                fields = _stat(int(entry))
                if fields is not None and int(fields[_STAT_SESSION]) == self._proc.pid:
                    yield int(entry)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._proc.pid, number)

    def _output(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat behind the name, which may hold spaces; None when it's gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def _cpu_clock(pid: int) -> int:
    """The clock of all CPU time that a process has used, as clock_getcpuclockid(3) gives it."""
    return (~pid << 3) | 2
