"""The servers that the suites talk to: each in a temporary folder, on 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.append(str(Path(__file__).resolve().parents[2]))

from support.keeper import kept
from support.postgres import find_programs, running_postgres

if TYPE_CHECKING:
    from subprocess import Popen

PATIENCE = 60  # seconds


class Unavailable(RuntimeError):
    """A server can't be had, and why."""


@contextlib.contextmanager
def redis() -> Iterator[str]:
    """A Redis server; gives its URL."""
    program = shutil.which("redis-server")
    if program is None:
        raise Unavailable("redis-server is not installed (Debian: redis-server)")
    with tempfile.TemporaryDirectory(prefix="fluvial-redis-") as folder:
        port = _free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        command += ["--save", "", "--daemonize", "no", "--enable-debug-command", "yes"]
        with kept(command, Path(folder), stop=signal.SIGTERM, env=os.environ) as keeper:
            _wait_for(port, keeper)
            yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def postgres() -> Iterator[dict[str, str]]:
    """A PostgreSQL server; gives the environment by which asyncpg's tests find it."""
    programs = find_programs()
    if programs is None:
        raise Unavailable("PostgreSQL is not installed (Debian: postgresql)")
    with running_postgres(programs) as server:
        yield {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres"}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def _wait_for(port: int, process: Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise Unavailable("redis-server did not start")
