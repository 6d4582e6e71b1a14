"""What there is to run: one group of tests for each process."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import left_out

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.append(str(ROOT / "scripts"))

import vendor  # noqa: E402

ANYIO = vendor.Pin(
    dist="anyio",
    version="4.16.0",
    sha256="59bb03251907983d1603d27c3087ddb1e93299ea2163adcdba37899a4fb12ffb",
    folder="",
)

# What of them runs in one process: these, and the others.
ANYIO_FILES = ("tests/test_sockets.py", "tests/test_taskgroups.py", "tests/streams", "tests")

# These take longest, and begin first.
SLOW = ("test_tasks", "test_subprocess", "test_events", "test_ssl", "test_taskgroups")


class Unavailable(RuntimeError):
    """Others' tests are not here, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The tests that one process runs."""

    suite: str
    name: str
    # What to run, but for the report's path and the names of single tests.
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    # Seconds until the process is ended.
    limit: float = 600

    def arguments(self, report: Path, tests: tuple[str, ...] = ()) -> list[str]:
        """The command that runs the group, or only `tests` of it."""
        if self.suite == "cpython":
            return [*self.command, str(report), self.name, *tests]
        return [*self.command, *(tests or (self.name,))]


def cpython(loop: str) -> Iterator[Group]:
    """CPython's own asyncio tests, those of the interpreter that runs: a group for each file."""
    try:
        spec = importlib.util.find_spec("test.test_asyncio")
    except ModuleNotFoundError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(
            f"{sys.executable} comes without CPython's own tests (the package `test`); on Debian "
            f"they are in libpython{sys.version_info.major}.{sys.version_info.minor}-testsuite"
        )
    names = {path.stem for path in Path(spec.submodule_search_locations[0]).glob("test_*.py")}
    names -= set(left_out.FILES)
    for name in sorted(names, key=lambda name: (name not in SLOW, name)):
        yield Group(
            suite="cpython",
            name=name,
            command=(sys.executable, str(HERE / "cpython.py")),
            environment={"CONFORMANCE_LOOP": loop},
        )


def anyio() -> Iterator[Group]:
    """anyio's own tests, from its source distribution: on Fluvial's loop and on asyncio's."""
    folder = vendor.fetch_pin("anyio", ANYIO)
    path = os.pathsep.join([str(folder / "src"), str(HERE), os.environ.get("PYTHONPATH", "")])
    # On a machine without IPv6 these fail on any loop, and leave sockets to tests after them.
    needs_ipv6 = "ipv6 or dualstack or (test_connection_refused and multi)"
    choice = () if has_ipv6() else ("-k", f"not ({needs_ipv6})")
    for name in ANYIO_FILES:
        others = [f"--ignore={file}" for file in ANYIO_FILES if file.startswith(f"{name}/")]
        yield Group(
            suite="anyio",
            name=name,
            command=(
                *(sys.executable, "-m", "pytest", "-p", "anyio_plugin", "-m", "not network"),
                *("-p", "no:cacheprovider", "--quiet", "--no-summary", *choice, *others),
            ),
            environment={"PYTHONPATH": path.rstrip(os.pathsep)},
            folder=folder,
        )


def has_ipv6() -> bool:
    """Whether this machine has IPv6, and knows itself as localhost there."""
    try:
        found = socket.getaddrinfo("localhost", 0, socket.AF_INET6, socket.SOCK_STREAM)
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(found[0][4])
    except OSError:
        return False
    return True
