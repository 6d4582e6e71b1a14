"""A PostgreSQL server for the tests: a cluster of its own in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.certificate import ENVIRONMENT, make_certificate

READY = "database system is ready to accept connections"

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
    """A fresh cluster, stopped and removed after the block."""
    with tempfile.TemporaryDirectory(prefix="fluvial-postgres-") as name:
        folder = Path(name)
        owner = _owner(folder)
        data = folder / "data"
        _call(
            [programs / "initdb", f"--pgdata={data}", *INITIALLY],
            owner,
        )
        make_certificate(data, **owner)
        port = _start(programs, folder, owner)
        try:
            yield Postgres(port, folder)
        finally:
            _call([programs / "pg_ctl", f"--pgdata={data}", "stop", "--mode=immediate"], owner)


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


def _run(command: list[Any], owner: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
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


def _call(command: list[Any], owner: dict[str, Any]) -> None:
    done = _run(command, owner)
    assert done.returncode == 0, done.stdout


def _start(programs: Path, folder: Path, owner: dict[str, Any]) -> int:
    """The port. Tries another one when somebody was faster than PostgreSQL."""
    for _ in range(3):
        port = _free_port()
        settings = (*SETTINGS, "ssl=on", "listen_addresses=127.0.0.1", f"port={port}")
        settings += (f"unix_socket_directories={folder}",)
        options = " ".join(f"--{setting}" for setting in settings)
        start = ["start", "--wait", f"--log={folder / 'log'}", f"--options={options}"]
        done = _run([programs / "pg_ctl", f"--pgdata={folder / 'data'}", *start], owner)
        if done.returncode == 0:
            return port
    raise AssertionError(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
