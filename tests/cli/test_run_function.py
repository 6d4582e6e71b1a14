"""`fluvial.run` in scripts, and where the server then listens."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from fluvial._serving.sockets import BindError, bind_tcp, describe
from support import forked
from support.command import TROUBLE, ServerProcess, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCRIPT = """
import os
import fluvial

app = fluvial.App()

@app.get("/pid")
async def pid():
    return os.getpid()

@app.get("/thread")
def thread():
    return "answered"

def make():
    return app

if __name__ == "__main__":
    fluvial.run({call})
"""


@contextmanager
def script(folder: Path, call: str) -> Iterator[ServerProcess]:
    """`python main.py`, whose last line is `fluvial.run(CALL)`."""
    (folder / "main.py").write_text(SCRIPT.format(call=call))
    paths = filter(None, (str(folder), os.environ.get("PYTHONPATH")))
    env = {"PYTHONPATH": os.pathsep.join(paths)}
    server = ServerProcess([sys.executable, str(folder / "main.py")], env)
    try:
        server.wait_until_ready()
        yield server
    finally:
        code = server.stop()
    assert code == 0, server.log
    assert not TROUBLE.search(server.log), server.log


@pytest.mark.parametrize(
    "call",
    [
        "app, port=0",
        "app, fluvial.Config(port=0)",
        "app, fluvial.Config(port=1), port=0",
        '"main:app", port=0',
        '"main:make", port=0, factory=True',
        "make, port=0, factory=True",
        f'"main:app", port=0, app_dir={os.sep!r}',
    ],
)
def test_run(tmp_path: Path, call: str) -> None:
    with script(tmp_path, call) as server:
        assert httpx.get(f"{server.url}/pid").json() == server.process.pid
        assert httpx.get(f"{server.url}/thread").json() == "answered"
        assert "Fluvial running on http://127.0.0.1:" in server.log


@pytest.mark.parametrize(
    "call", ["app, fluvial.Config(workers=2, port=0)", '"main:app", workers=2, port=0']
)
def test_run_with_workers(tmp_path: Path, call: str) -> None:
    with script(tmp_path, call) as server:
        assert httpx.get(f"{server.url}/pid").json() != server.process.pid


def test_workers_are_started_by_the_main_thread_alone(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import threading, fluvial\n"
        "def serve():\n"
        "    try:\n"
        "        fluvial.run(fluvial.App(), port=0, workers=2)\n"
        "    except RuntimeError as exc:\n"
        "        print(exc)\n"
        "threading.Thread(target=serve).start()\n"
    )
    command = [sys.executable, str(tmp_path / "main.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "starts workers only in the main thread" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_run_is_quiet_when_asked(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import os, signal, fluvial\n"
        "async def lifespan(app):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    yield\n"
        "fluvial.run(fluvial.App(lifespan=lifespan), port=0, log_level='warning')\n"
    )
    command = [sys.executable, str(tmp_path / "main.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_module_that_runs_itself_while_it_is_served(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("import fluvial\napp = fluvial.App()\nfluvial.run(app)\n")
    done = subprocess.run(
        [sys.executable, "-m", "fluvial", "run", "main:app"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: module 'main' can't be imported: fluvial.run() was called")
    assert 'put it below `if __name__ == "__main__":`' in line


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("import sys\nsys.exit(4)", 4, "it called sys.exit(4)"),
        ("import sys\nsys.exit(0)", 0, "it called sys.exit(0)"),
        ("import sys\nsys.exit('no database')", 1, "it called sys.exit('no database')"),
        ("import nothing_like_it", 1, "No module named 'nothing_like_it'"),
        ("def f(:", 1, "invalid syntax"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_fails(
    tmp_path: Path, text: str, status: int, message: str, workers: str
) -> None:
    """One line names it and its cause, and the exit status is the module's own."""
    (tmp_path / "bad.py").write_text(text)
    command = [sys.executable, "-m", "fluvial", "run", "bad:app", "--port", "0"]
    command += ["--workers", workers]
    done = forked.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert errors != []
    assert all(line.startswith("Error: module 'bad' can't be imported: ") for line in errors)
    assert all(message in line for line in errors)
    assert ("Traceback" in done.stderr) == ("1 / 0" in text)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("where", ["import", "startup"])
def test_an_app_that_raises_what_ctrl_c_raises(tmp_path: Path, where: str, workers: str) -> None:
    """Nobody has sent a signal: it says so, and isn't a success."""
    text = "raise KeyboardInterrupt\n"
    if where == "startup":
        text = (
            "from contextlib import asynccontextmanager\nfrom fluvial import App\n"
            "@asynccontextmanager\nasync def lifespan(app):\n    raise KeyboardInterrupt\n"
            "    yield\napp = App(lifespan=lifespan)\n"
        )
    (tmp_path / "bad.py").write_text(text)
    command = [sys.executable, "-m", "fluvial", "run", "bad:app", "--port", "0"]
    command += ["--workers", workers]
    done = forked.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert "Error: the app raised KeyboardInterrupt" in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_startup_that_exits(tmp_path: Path, workers: str) -> None:
    (tmp_path / "bad.py").write_text(
        "import sys\nfrom fluvial import App\napp = App()\n"
        "@app.on_event('startup')\ndef start():\n    sys.exit(4)\n"
    )
    command = [sys.executable, "-m", "fluvial", "run", "bad:app", "--port", "0"]
    command += ["--workers", workers]
    done = forked.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 4
    errors = {line for line in done.stderr.splitlines() if line.startswith("Error: ")}
    assert errors == {"Error: the app called sys.exit(4)"}
    assert "Traceback" not in done.stderr


def test_the_traceback_at_debug_level(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import nothing_like_it")
    command = [sys.executable, "-m", "fluvial", "run", "bad:app", "--log-level", "debug"]
    done = forked.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "_serving/load.py" not in done.stderr


# ---- Options that are meant ------------------------------------------------------------------


@pytest.mark.parametrize("root_path", ["api", "/api/"])
def test_root_path(tmp_path: Path, root_path: str) -> None:
    (tmp_path / "it.py").write_text(
        "async def app(scope, receive, send):\n"
        "    if scope['type'] == 'http':\n"
        "        body = (scope['root_path'] + ' ' + scope['path']).encode()\n"
        "        await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "        await send({'type': 'http.response.body', 'body': body})\n"
    )
    with serving("it:app", "--root-path", root_path, app_dir=tmp_path) as server:
        assert httpx.get(f"{server.url}/x").text == "/api /api/x"


def test_many_threads() -> None:
    with serving("tutorial:app", "--threads", "10000") as server:
        assert httpx.get(f"{server.url}/sync").status_code == 200


# ---- Addresses -------------------------------------------------------------------------------


def test_all_interfaces() -> None:
    with serving("tutorial:app", "--host", "") as server:
        assert "http://0.0.0.0:" in server.log
        assert "(all IPv4 interfaces)" in server.log
        port = server.url.rpartition(":")[2]
        for address in ("127.0.0.1", "127.0.0.2"):
            assert httpx.get(f"http://{address}:{port}/async").status_code == 200


class Machine:
    """What socket() and bind() of a machine say that lacks some addresses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> None:
        self.no_family = False
        self.missing: set[str] = set()
        self._names = names
        self._socket = socket.socket
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)
        monkeypatch.setattr(socket, "socket", self._make)

    def _look_up(self, host: str | None, port: int, **options: int) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        for address in self._names[host or ""]:
            if ":" in address:
                found.append((socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0)))
            else:
                found.append((socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)))
        return found

    def _make(self, family: int, *args: int) -> socket.socket:
        if family == socket.AF_INET6 and self.no_family:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        missing = self.missing

        class Socket(self._socket):  # type: ignore[misc, name-defined]
            def bind(self, address: tuple[str, int]) -> None:
                if address[0] in missing:
                    raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
                super().bind(address)

        return Socket(family, *args)


def bound(host: str, port: int = 0) -> list[str]:
    """The addresses that `host` is bound to."""
    sockets = bind_tcp(host, port)
    names = [sock.getsockname()[0] for sock in sockets]
    assert len({sock.getsockname()[1] for sock in sockets}) == 1
    for sock in sockets:
        sock.close()
    return names


@pytest.mark.parametrize("kernel", ["has no ::1", "has no IPv6"])
def test_addresses_that_are_not_there_are_left_out(
    monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    names = {"localhost": ["::1", "127.0.0.1"], "": ["0.0.0.0", "::"], "::1": ["::1"]}
    machine = Machine(monkeypatch, names)
    machine.no_family = kernel == "has no IPv6"
    machine.missing = {"::1", "::"}
    assert bound("localhost") == ["127.0.0.1"]
    assert bound("") == ["0.0.0.0"]
    assert bound("*") == ["0.0.0.0"]
    with pytest.raises(BindError, match=r"can't listen on \[::1\]:0: "):
        bound("::1")


def test_an_address_that_another_has_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(
        monkeypatch,
        {"localhost": ["127.0.0.2", "127.0.0.1"], "127.0.0.1": ["127.0.0.1"]},
    )
    with bind_tcp("127.0.0.1", 0)[0] as other:
        other.listen()
        with pytest.raises(BindError, match=r"127\.0\.0\.1:.*the port is in use already"):
            bound("localhost", other.getsockname()[1])
    assert bound("localhost") == ["127.0.0.2", "127.0.0.1"]


def test_a_port_with_the_host() -> None:
    with pytest.raises(BindError, match=r"did you mean --host 127\.0\.0\.1 --port 80"):
        bind_tcp("127.0.0.1:80", 8000)


def test_addresses_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, {"127.0.0.1": ["127.0.0.1"]})
    assert bound("[127.0.0.1]") == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", "https://127.0.0.1:{}"),
        ("0.0.0.0", "https://0.0.0.0:{} (all IPv4 interfaces)"),
    ],
)
def test_what_the_start_line_says(host: str, expected: str) -> None:
    (sock,) = bind_tcp(host, 0)
    with sock:
        assert describe(sock, "https") == expected.format(sock.getsockname()[1])
