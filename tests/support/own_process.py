"""Runs a test in a process of its own, where its signals, forks and interrupts meet nobody else.

A module or test says `pytestmark = pytest.mark.own_process`; tests/conftest.py asks here. The
process runs a pytest of this one test with the project's options, so fixtures, warnings and what
assertions show are as everywhere. It is a fork of one that has imported what the tests need and
did nothing else: to start Python and import all that takes five times as long as most of the tests.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Set in the child: there the test itself is run.
INSIDE = "FLUVIAL_TEST_IN_OWN_PROCESS"

PATIENCE = 110  # seconds; less than pytest-timeout's, so that the child's output is seen

# What is imported before the forks; no test file, whose assertions pytest rewrites itself.
IMPORTS = ("fluvial", "httpx", "websockets.asyncio.client", "websockets.sync.client")
IMPORTS += ("support.certificate", "support.command", "support.skips", "support.tls")

START = "from support import own_process; own_process.fork_for_each()"


def is_inside() -> bool:
    return INSIDE in os.environ


def run(node: str) -> None:
    """Runs the test of this id. Raises: what pytest takes for a failure or a skip."""
    # Plug-ins that only the whole run needs cost more than most of these tests.
    env = {**os.environ, INSIDE: "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    env.pop("PYTEST_ADDOPTS", None)
    with tempfile.NamedTemporaryFile() as log:
        status = parent().run(node, log.name, env)
        output = log.read().decode(errors="replace")
    if status == 0 and re.search(r"\b1 skipped\b", output):
        pytest.skip(output[output.find("SKIPPED") :].partition("\n")[0])
    if status != 0 or not re.search(r"\b1 (passed|xfailed)\b", output):
        pytest.fail(f"exit status {status} of\n{output}", pytrace=False)


class Parent:
    """The process that forks for each test. It ends when its input does."""

    def __init__(self) -> None:
        path = [str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-c", START],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        atexit.register(self.close)

    def run(self, node: str, log: str, env: dict[str, str]) -> int:
        """Runs a test; its exit status, negative when a signal ended it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([node, log, env]).encode() + b"\n")
        self._process.stdin.flush()
        until = time.monotonic() + PATIENCE
        pid = None
        try:
            pid = self._read_number(until)
            return self._read_number(until)
        except BaseException:
            parent.cache_clear()  # the next test gets a parent of its own
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            self._process.kill()
            raise

    def _read_number(self, until: float) -> int:
        """The next line. Raises: TimeoutError."""
        assert self._process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            left = max(until - time.monotonic(), 0)
            if not select.select([self._process.stdout], [], [], left)[0]:
                raise TimeoutError("the test took too long")
            byte = os.read(self._process.stdout.fileno(), 1)
            assert byte, "the process that forks for each test has ended"
            line += byte
        return int(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@cache
def parent() -> Parent:
    return Parent()


# ---- In the parent of the tests' processes --------------------------------------------------


def fork_for_each() -> None:
    """Runs a test in a child for each line of standard input. Returns in children, too, which
    thereupon end as all programs do."""
    for name in IMPORTS:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    for line in os.fdopen(0, closefd=False):
        child = os.fork()
        if child == 0:
            sys.exit(run_here(*json.loads(line)))
        _, status = os.waitpid(child, 0)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


def run_here(node: str, log: str, env: dict[str, str]) -> int:
    """Turns this process into one that was started for a test, and runs it."""
    os.setsid()
    os.write(1, b"%d\n" % os.getpid())
    for path, flags, fds in ((os.devnull, os.O_RDONLY, (0,)), (log, os.O_WRONLY, (1, 2))):
        opened = os.open(path, flags)
        for fd in fds:
            os.dup2(opened, fd)
        os.close(opened)
    os.environ.clear()
    os.environ.update(env)
    plugins = ["-p", "pytest_timeout", "-p", "no:cacheprovider"]
    return int(pytest.main([*plugins, f"--timeout={PATIENCE - 20}", node]))
