"""Starts `fluvial ...` by a fork of a process that has imported it already.

To start Python and import the package takes ten times the CPU time of what most of these
processes do. `Popen` and `run` are subprocess's, with the same arguments: where these or the
environment ask for what only a start from nothing can give (another program, another PYTHONPATH,
a terminal, a sanitizer), they do just that, and `fork=False` asks for it outright. Tests of starts,
of signals during them and of what a process sees of itself below /proc do.

The new process is a child of the test's process like any other: its parent, the starter's child,
ends at once, and while it does the test's process is the one that the kernel hands orphans to.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import inspect
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import types
import warnings
from functools import cache
from pathlib import Path
from typing import Any

FLUVIAL = str(Path(sys.executable).with_name("fluvial"))

# Variables that the interpreter, the C library or what is imported look at once, at their start.
_AT_START = re.compile(
    "PYTHON|LANG|LC_|TZ$|LD_|MALLOC_|GLIBC_|[ALU]+SAN_|COVERAGE|GCOV|SSL_|OPENSSL"
)
_NEVER = re.compile("LD_PRELOAD|COVERAGE|[ALU]+SAN_|PYTHONMALLOC|PYTHONSTARTUP|PYTHONINSPECT")
_STARTERS = 3  # each takes as long as one server

_IMPORTS = ("cli", "client", "configured", "dev", "show")  # of fluvial._serving

_PR_SET_CHILD_SUBREAPER = 36
_Environment = dict[str, str]


class Popen(subprocess.Popen[Any]):
    """A process that was forked where that makes no difference."""

    def __init__(self, args: Any, *, fork: bool = True, **options: Any) -> None:
        self._fork = fork and not options.keys() - _KNOWN
        super().__init__(args, **options)

    def _execute_child(self, *args: Any, **kwargs: Any) -> None:
        execute = super()._execute_child  # type: ignore[misc]
        given = inspect.signature(execute).bind(*args, **kwargs).arguments
        pipes = [given[name] for name in _PIPES]
        fds = [number if fd == -1 else fd for number, fd in enumerate(pipes[i] for i in (0, 3, 5))]
        order = _order(given) if self._fork else None
        starter = order and not any(map(_is_unlike, fds)) and starter_for(order["env"])
        if not order or not starter:
            execute(*args, **kwargs)
            return
        self.pid = starter.start(order, fds)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


_PIPES = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
# What a process may have of each; tests change some of them.
_LIMITS = (resource.RLIMIT_NOFILE, resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_AS)
_KNOWN = {"cwd", "env", "stdin", "stdout", "stderr", "text", "encoding", "errors", "bufsize"}
_KNOWN |= {"start_new_session", "process_group"}


def run(
    command: Any,
    *,
    timeout: float | None = None,
    check: bool = False,
    capture_output: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """As subprocess.run, which can't be told another Popen."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def _order(given: dict[str, Any]) -> dict[str, Any] | None:
    """What a starter needs to know, unless it couldn't do that."""
    command = [os.fspath(each) for each in given["args"]]
    options = command[1:3] if command[0] == sys.executable and command[1:2] == ["-W"] else []
    arguments = command[1 + len(options) :]
    if command[0] != FLUVIAL and (
        options[1:] not in ([], ["ignore"]) or command[0] != sys.executable
    ):
        return None
    if command[0] == sys.executable and arguments[:2] != ["-m", "fluvial"]:
        return None
    env = os.environ if given["env"] is None else given["env"]
    folder = os.getcwd() if given["cwd"] is None else os.fspath(given["cwd"])
    if not os.access(folder, os.X_OK) or not hasattr(subprocess.Popen, "_close_pipe_fds"):
        return None
    return {
        "command": command,
        "module": bool(arguments) and command[0] == sys.executable,
        "arguments": arguments[2:] if command[0] == sys.executable else arguments,
        "warnings": options[1:],
        "env": {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()},
        "cwd": folder,
        "umask": _umask(),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "limits": [(number, resource.getrlimit(number)) for number in _LIMITS],
        "session": next((v for k, v in given.items() if k.endswith("start_new_session")), False),
        "group": next((v for k, v in given.items() if k.endswith("process_group")), -1),
    }


def _is_unlike(fd: int) -> bool:
    """Whether Python's streams on it would differ from those of a starter."""
    try:
        return os.isatty(fd) or not os.fstat(fd)
    except OSError:
        return True


def _umask() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("\nUmask:")[2].split(None, 1)[0], 8)


# ---- Starters, from the test's side -----------------------------------------------------------


def starter_for(env: _Environment) -> Starter | None:
    """That of this environment, unless only a new process has what it asks for."""
    startup = tuple(sorted((k, v) for k, v in env.items() if _AT_START.match(k)))
    if any(_NEVER.match(name) for name, _ in startup):
        return None
    found = _starters()
    if startup not in found and len(found) < _STARTERS:
        found[startup] = Starter(dict(startup))
    return found.get(startup)


@cache
def _starters() -> dict[Any, Starter]:
    return {}


class Starter:
    """The process that forks. It ends when its socket does, or this process."""

    def __init__(self, startup: _Environment) -> None:
        self._owner = os.getpid()
        self._socket, theirs = socket.socketpair()
        kept = {name: value for name, value in os.environ.items() if not _AT_START.match(name)}
        read, write = os.pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env=kept | startup,
                cwd="/",
                stdin=read,
                stdout=write,
                pass_fds=[theirs.fileno()],
            )
        os.close(read)
        os.close(write)
        atexit.register(self.close)

    def start(self, order: dict[str, Any], fds: list[int]) -> int:
        """Starts a command; its process's number."""
        data = json.dumps(order).encode()
        with _adopting:
            _adopt_orphans(True)
            try:
                socket.send_fds(self._socket, [len(data).to_bytes(8, "big")], fds)
                self._socket.sendall(data)
                answer = self._socket.recv(8, socket.MSG_WAITALL)
            finally:
                _adopt_orphans(False)
        assert len(answer) == 8, "the process that starts commands has ended"
        return int.from_bytes(answer, "big")

    def close(self) -> None:
        if os.getpid() == self._owner:
            self._socket.shutdown(socket.SHUT_RDWR)  # also of copies that a fork has
            self._socket.close()
            self._process.wait()


# Of all starters: what _adopt_orphans() says counts for the whole process.
_adopting = threading.Lock()


def _adopt_orphans(ours: bool) -> None:
    """Whether those of our descendants whose parents end become our children."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(ours), 0, 0, 0)


# ---- In a starter ---------------------------------------------------------------------------


def start_for_each(sock: socket.socket) -> None:
    """Starts a command for each order. Returns in new processes alone, as those commands end."""
    for name in _IMPORTS:
        importlib.import_module(f"fluvial._serving.{name}")
    gc.collect()
    gc.freeze()
    while True:
        size, fds, _, _ = socket.recv_fds(sock, 8, 3)
        if not size:
            os._exit(0)
        order = json.loads(sock.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
        pid = _fork_twice()
        if pid == 0:
            _become(order, sock, fds)
            return
        for fd in fds:
            os.close(fd)
        sock.sendall(pid.to_bytes(8, "big"))


def _fork_twice() -> int:
    """0 in the new process, whose parent has ended; elsewhere its number."""
    read, write = os.pipe()
    go, gone = os.pipe()
    middle = os.fork()
    if middle == 0:
        pid = os.fork()
        if pid == 0:
            os.close(gone)
            os.read(go, 1)
            for fd in (read, write, go):
                os.close(fd)
            return 0
        os.write(write, b"%d" % pid)
        os._exit(0)
    os.waitpid(middle, 0)
    pid = int(os.read(read, 20))
    for fd in (read, write, go, gone):
        os.close(fd)
    return pid


def _become(order: dict[str, Any], sock: socket.socket, fds: list[int]) -> None:
    """Turns this process into one that was started for an order, and runs the command."""
    if order["session"]:
        os.setsid()
    elif order["group"] >= 0:
        os.setpgid(0, order["group"])
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    sock.close()
    os.closerange(3, max(fds) + 1)
    os.umask(order["umask"])
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    signal.pthread_sigmask(signal.SIG_SETMASK, order["blocked"])
    for number, both in order["limits"]:
        resource.setrlimit(number, both)
    gc.unfreeze()  # a program that was started anew has what it imported collected, too
    if order["warnings"]:
        sys.warnoptions[:] = order["warnings"]
        warnings.simplefilter("ignore")
    _set_arguments(order)


def _set_arguments(order: dict[str, Any]) -> None:
    from fluvial import __main__ as module  # type: ignore[attr-defined]
    from fluvial._serving import early

    script = module.__file__ if order["module"] else FLUVIAL
    sys.argv[:] = [script, *order["arguments"]]
    sys.orig_argv[:] = order["command"] if order["module"] else [sys.executable, *order["command"]]
    if not sys.flags.safe_path:
        sys.path[0] = order["cwd"] if order["module"] else os.path.dirname(FLUVIAL)
    early.end_on_signals()


def _run_command() -> None:
    """What Python does with its first argument."""
    file = sys.argv[0]
    main = types.ModuleType("__main__")
    main.__file__ = file
    main.__builtins__ = __builtins__
    if file != FLUVIAL:
        main.__package__ = "fluvial"
    sys.modules["__main__"] = main
    exec(compile(Path(file).read_bytes(), file, "exec"), main.__dict__)


if __name__ == "__main__":
    start_for_each(socket.socket(fileno=int(sys.argv[1])))
    _run_command()
