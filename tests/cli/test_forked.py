"""What a server sees of its start is the same by `support.forked` and by a real start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support import forked
from support.forked import FLUVIAL

if TYPE_CHECKING:
    from pathlib import Path

# Imported as an app: it writes what it sees, and ends with a status of its own.
PROGRAM = """
import atexit, gc, json, locale, logging, multiprocessing, os, resource, signal, sys, threading
import warnings, __main__

streams = (sys.stdin, sys.stdout, sys.stderr)
limits = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
numbers = [number for number in signal.valid_signals() if number < 32]
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
seen = {
    "argv": sys.argv,
    "orig_argv": sys.orig_argv,
    "path": sys.path,
    "flags": list(sys.flags),
    "warnoptions": sys.warnoptions,
    "filters": [str(each) for each in warnings.filters],
    "environ": sorted(os.environ.items()),
    "main": [__main__.__name__, __main__.__file__, getattr(__main__, "__package__", None) or ""],
    "cwd": os.getcwd(),
    "umask": status["Umask"],
    "parent": os.getppid(),
    "leads": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
    "handlers": [str(signal.getsignal(number)).partition(" at ")[0] for number in numbers],
    "signals": [status[name] for name in ("SigBlk", "SigIgn", "SigCgt")],
    "limits": [resource.getrlimit(number) for number in limits],
    "locale": locale.setlocale(locale.LC_ALL),
    "streams": [[each.encoding, each.errors, each.mode, each.fileno()] for each in streams],
    "buffers": [getattr(each, "write_through", None) for each in streams],
    "interactive": [each.isatty() for each in streams],
    "descriptors": sorted(int(each) for each in os.listdir("/proc/self/fd"))[:-1],
    "targets": [os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in range(3)],
    "method": multiprocessing.get_start_method(allow_none=True),
    "threads": threading.active_count(),
    "collector": [gc.isenabled(), gc.get_threshold()],
    "logging": [logging.root.level, len(logging.root.handlers)],
    "nice": os.nice(0),
    "cpus": sorted(os.sched_getaffinity(0)),
}
with open("seen.json", "w") as file:
    json.dump(seen, file)
atexit.register(print, "at exit")
sys.exit(7)
"""
COMMANDS = {
    "fluvial": [FLUVIAL],
    "python -m": [sys.executable, "-m", "fluvial"],
    "python -W ignore -m": [sys.executable, "-W", "ignore", "-m", "fluvial"],
}
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "plain": {},
    "unbuffered": {"PYTHONUNBUFFERED": "1", "NOTIFY_SOCKET": "x"},
    "safe path": {"PYTHONSAFEPATH": "1"},
}


def seen(folder: Path, command: list[str], **options: Any) -> dict[str, Any]:
    command = [*command, "run", "it:app", "--app-dir", ".", "--port", "0"]
    # Not None: the C library's own environment may have more, such as readline's COLUMNS.
    fixed = {"stdin": subprocess.DEVNULL, "timeout": 100, "cwd": folder, "env": dict(os.environ)}
    done = forked.run(command, capture_output=True, text=True, **(fixed | options))
    assert (done.returncode, done.stdout) == (7, "at exit\n"), done.stderr
    found: dict[str, Any] = json.loads((folder / "seen.json").read_text())
    return found | {"stderr": done.stderr}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_fork_sees_what_a_start_sees(tmp_path: Path, name: str, environment: str) -> None:
    (tmp_path / "it.py").write_text(PROGRAM)
    options = {"env": {**os.environ, **ENVIRONMENTS[environment]}}
    both = [seen(tmp_path, COMMANDS[name], fork=fork, **options) for fork in (True, False)]
    assert both[0] == both[1]
    assert both[0]["parent"] == os.getpid()


def test_a_variable_that_others_have_is_missing_where_it_is_not_given(tmp_path: Path) -> None:
    """The starter has it, and the process before had it."""
    (tmp_path / "it.py").write_text(PROGRAM)
    more = {**os.environ, "GIVEN_ONCE": "1"}
    fewer = {name: value for name, value in os.environ.items() if name != "HOME"}
    assert ["GIVEN_ONCE", "1"] in seen(tmp_path, [FLUVIAL], env=more)["environ"]
    both = [seen(tmp_path, [FLUVIAL], fork=fork, env=fewer) for fork in (True, False)]
    assert both[0] == both[1]
    assert {name for name, _ in both[0]["environ"]}.isdisjoint({"GIVEN_ONCE", "HOME"})


@pytest.mark.parametrize("options", [{"start_new_session": True}, {"process_group": 0}])
def test_sessions_and_groups(tmp_path: Path, options: dict[str, Any]) -> None:
    (tmp_path / "it.py").write_text(PROGRAM)
    both = [seen(tmp_path, [FLUVIAL], fork=fork, **options) for fork in (True, False)]
    assert both[0] == both[1]
    assert both[0]["leads"] == ["start_new_session" in options, True]


@pytest.mark.own_process
def test_a_umask_and_blocked_signals(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(PROGRAM)
    before = os.umask(0o123)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        both = [seen(tmp_path, [FLUVIAL], fork=fork) for fork in (True, False)]
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        os.umask(before)
    assert both[0] == both[1]
    assert both[0]["umask"].strip() == "0123"


def test_what_only_a_start_can_give(tmp_path: Path) -> None:
    """There a real one is made, which the kernel's own record of its command shows."""
    (tmp_path / "it.py").write_text(PROGRAM.replace("(7)", "(open('/proc/self/cmdline').read())"))
    command = [FLUVIAL, "run", "it:app", "--app-dir", ".", "--port", "0"]

    def line(command: list[str], **options: Any) -> str:
        done = forked.run(command, capture_output=True, text=True, cwd=tmp_path, **options)
        assert done.returncode == 1
        return str(done.stderr)

    assert "forked.py" in line(command)
    assert "forked.py" not in line(command, fork=False)
    assert "forked.py" not in line(["env", *command])
    assert "forked.py" not in line(command, env={**os.environ, "PYTHONMALLOC": "malloc"})
    assert "forked.py" not in line(
        [sys.executable, "-X", "dev", *COMMANDS["python -m"][1:], *command[1:]]
    )
