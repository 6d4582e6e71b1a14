"""A PostgreSQL server for the tests: a cluster of its own in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.certificate import ENVIRONMENT, make_certificate
from support.keeper import kept

# PostgreSQL's immediate shutdown.
IMMEDIATE = signal.SIGQUIT

# Nothing here must outlive the tests, so nothing waits for a disk.
SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB")


INITIALLY = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")


@dataclass(frozen=True)
class Postgres:
    """Where the server listens: on 127.0.0.1, there with TLS too, and on a Unix socket."""

    port: int
    folder: Path

    def url(self, scheme: str = "postgresql", *, query: str = "") -> str:
        return f"{scheme}://postgres@127.0.0.1:{self.port}/postgres{query}"

    @property
    def unix_url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}&port={self.port}"


def find_programs() -> Path | None:
    """The folder of `initdb` and `postgres`: the newest of Debian's, else one on the PATH."""
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(debian, key=lambda path: float(path.parts[-3]), default=None)
    if newest is None and (found := shutil.which("initdb")):
        newest = Path(found).resolve()
    return newest.parent if newest else None


@contextmanager
def running_postgres(programs: Path) -> Iterator[Postgres]:
    """A fresh cluster; stopped and removed after the block, or when this process is killed."""
    with made_cluster(programs) as folder:
        data = folder / "data"
        for _ in range(3):  # somebody may take the port before PostgreSQL does
            port = _free_port()
            with kept(
                cluster_command(programs, folder, port), folder, stop=IMMEDIATE, env=ENVIRONMENT
            ) as it:
                if _is_ready(data, it):
                    yield Postgres(port, folder)
                    return
        raise AssertionError(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")


@contextmanager
def made_cluster(programs: Path) -> Iterator[Path]:
    """A folder with a fresh cluster, which nobody runs yet."""
    with tempfile.TemporaryDirectory(prefix="fluvial-postgres-") as name:
        folder = Path(name)
        owner = _owner(folder)
        data = folder / "data"
        _call([programs / "initdb", f"--pgdata={data}", *INITIALLY], owner)
        make_certificate(data, **owner)
        yield folder


def _owner(folder: Path) -> dict[str, Any]:
    """Who runs PostgreSQL, for subprocess: it refuses to be run by root."""
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:  # not installed by the system
        user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _call(command: list[Any], owner: dict[str, Any]) -> None:
    done = subprocess.run(
        command,
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **owner,
    )
    assert done.returncode == 0, done.stdout


def cluster_command(programs: Path, folder: Path, port: int) -> list[Any]:
    """What runs the cluster in the folder."""
    settings = (*SETTINGS, "ssl=on", "listen_addresses=127.0.0.1", f"port={port}")
    settings += (f"unix_socket_directories={folder}",)
    return [programs / "postgres", "-D", folder / "data", *(f"--{name}" for name in settings)]


def _is_ready(data: Path, keeper: subprocess.Popen[bytes]) -> bool:
    """Waits until the server takes connections (True) or has ended (False)."""
    while keeper.poll() is None:
        if is_ready(data / "postmaster.pid"):
            return True
        time.sleep(0.02)
    return False


def is_ready(state: Path) -> bool:
    """Whether the server takes connections. Its own tools look at the same file for that."""
    with contextlib.suppress(FileNotFoundError):
        return state.read_text().split()[-1:] == ["ready"]
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
