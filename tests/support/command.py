"""`fluvial run` as users start it: a process of its own, reached over a real socket."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from support import forked

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

URL = re.compile(r"https?://(?:[\w.-]+|\[[\da-f:]+\]):\d+")

# Seconds; only a server that hangs takes as long.
PATIENCE = 60
START_PATIENCE = 100  # some frameworks take seconds of CPU to import

# What the log of a server that feels well never says.
TROUBLE = re.compile(
    "Traceback|Exception ignored|was never awaited|Task was destroyed|never retrieved"
    r"|Unclosed|\bERROR\b"
)


class ServerProcess:
    """A running `fluvial run`. `url` has no slash at its end; `log` is what was printed so far."""

    def __init__(
        self,
        command: list[str],
        env: Mapping[str, str],
        cwd: Path | None = None,
        *,
        fork: bool = True,
    ) -> None:
        self.url = ""
        self._lines: list[str] = []
        self._settled = threading.Event()
        self._changed = threading.Condition()
        self._ended = False
        self.process = forked.Popen(
            command,
            fork=fork,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def log(self) -> str:
        return "".join(self._lines)

    def wait_until_ready(self) -> None:
        """Returns when the server has printed its URL. Raises: AssertionError if it never does."""
        self._settled.wait(START_PATIENCE)
        assert self.url, f"the server didn't print its URL:\n{self.log}"

    def expect(self, pattern: str, count: int = 1) -> list[str]:
        """Returns when the log has `pattern` so often: its first groups, or all that matched."""

        def come() -> bool:
            return self._ended or len(re.findall(pattern, self.log)) >= count

        with self._changed:
            self._changed.wait_for(come, PATIENCE)
        found = re.findall(pattern, self.log)
        assert len(found) >= count, f"{pattern!r} came {len(found)} times:\n{self.log}"
        return found

    def wait(self) -> int:
        """Waits for the end; as `stop`."""
        return self.stop(0)

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Asks the server to stop and waits; the exit code, negative when a signal ended it."""
        if signum and self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._reader.join(PATIENCE)
            assert not self._reader.is_alive(), f"a process is left behind:\n{self.log}"
            assert self.process.stdout is not None
            self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
            if not self.url and (found := URL.search(line)):
                self.url = found.group()
                self._settled.set()
        self._settled.set()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def command_of(app: str, app_dir: Path, *options: str) -> list[str]:
    """`fluvial run`, on a free port where neither the options nor fluvial.toml name an address."""
    fluvial = str(Path(sys.executable).with_name("fluvial"))
    file = app_dir / "fluvial.toml"
    named = {"--uds", "--bind"} & set(options) or (file.exists() and "bind =" in file.read_text())
    address = () if named else ("--port", "0")
    return [fluvial, "run", app, "--app-dir", str(app_dir), *address, *options]


@contextmanager
def launched(
    app: str,
    *options: str,
    app_dir: Path,
    prefix: tuple[str, ...] = (),
    env: Mapping[str, str] | None = None,
    fork: bool = True,
) -> Iterator[ServerProcess]:
    """The app under `fluvial run`, however it starts and ends; `prefix` is a command that runs it.

    Its folder is the current one. What is left after the block is killed.
    """
    command = [*prefix, *command_of(app, app_dir, *options)]
    server = ServerProcess(command, env or {}, app_dir, fork=fork)
    try:
        yield server
    except BaseException as exc:
        exc.add_note(f"The server's log:\n{server.log}")
        raise
    finally:
        server.stop(signal.SIGKILL)


@contextmanager
def serving(
    app: str,
    *options: str,
    app_dir: Path = EXAMPLES,
    env: Mapping[str, str] | None = None,
    fork: bool = True,
) -> Iterator[ServerProcess]:
    """The app under `fluvial run`, on a free port.

    After the block the server gets SIGTERM; it must then exit with 0, and its log show no trouble.
    """
    server = ServerProcess(command_of(app, app_dir, *options), env or {}, fork=fork)
    try:
        server.wait_until_ready()
        yield server
    except BaseException as exc:
        server.stop()
        exc.add_note(f"The server's log:\n{server.log}")
        raise
    code = server.stop()
    assert code == 0, f"exit code {code}; the server's log:\n{server.log}"
    assert not TROUBLE.search(server.log), server.log


@contextmanager
def ending_successors(folder: Path) -> Iterator[None]:
    """Kills in the end what `--pid pid` in `folder` names: a successor is no child of ours."""
    try:
        yield
    finally:
        for name in ("pid", "pid.2"):
            with suppress(FileNotFoundError, ProcessLookupError):
                os.kill(int((folder / name).read_text()), signal.SIGKILL)
