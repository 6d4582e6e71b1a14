"""Which servers are measured and how each is started: as its users would, with its logs off."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .process import ServerProcess, free_port
from .raw import BUILD, ROOT, build_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

APPS = ROOT / "bench" / "apps"
EXAMPLES = ROOT / "examples"
PEERS = ROOT / "bench" / "peers.txt"
WORK = BUILD / "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server and its application; `command(port)` starts it in the foreground."""

    name: str
    about: str
    command: Callable[[int], list[str]]
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path = APPS

    def start(self, cpu: int | None) -> ServerProcess:
        port = free_port()
        return ServerProcess.start(
            self.name,
            self.command(port),
            port=port,
            cpu=cpu,
            cwd=self.cwd,
            env=self.env,
            log=WORK / f"{self.name}.log",
        )


def raw() -> Server:
    executable = str(build_raw())
    return Server(
        name="raw",
        about="C on libuv and llhttp, a constant answer: the limit",
        command=lambda port: [executable, str(port)],
    )


def fluvial(
    *,
    threads: int | None = None,
    app: str = "fluvial_app:app",
    folder: Path = APPS,
    name: str = "fluvial",
    options: Sequence[str] = (),
) -> Server:
    """The Fluvial of the Python that runs this script."""
    # Not the installed script, which names a module of this version: PYTHONPATH may give another.
    command = (sys.executable, "-m", "fluvial")
    extra = ["--threads", str(threads)] if threads is not None else []
    extra += options
    return Server(
        name=name,
        about=f"Fluvial: {app}",
        command=lambda port: [
            *(*command, "run", app, "--app-dir", str(folder), "--host", "127.0.0.1"),
            *("--port", str(port), "--no-access-log", "--log-level", "warning", *extra),
        ],
        cwd=folder,
    )


def fluvial_asgi() -> Server:
    """Fluvial with the bare ASGI callable that the peers serve."""
    return fluvial(app="asgi_app:app", name="fluvial-asgi")


def fluvial_is_installed() -> bool:
    return Path(sys.executable).with_name("fluvial").is_file()


class Peers:
    """The virtual environment of the other servers, and these servers."""

    def __init__(self, folder: Path) -> None:
        self._bin = folder / "bin"

    @property
    def python(self) -> Path:
        return self._bin / "python"

    @classmethod
    def install(cls) -> Peers:
        """Creates the environment, or takes the one that peers.txt has already led to."""
        digest = hashlib.sha256(PEERS.read_bytes() + sys.version.encode()).hexdigest()
        folder = WORK / "peers-{}.{}.{}".format(*sys.version_info)
        stamp = folder / "installed"
        if not stamp.is_file() or stamp.read_text() != digest:
            print(f"installing the other servers into {os.path.relpath(folder)}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
            subprocess.run([*pip, "install", "--quiet", "-r", str(PEERS)], check=True)
            stamp.write_text(digest)
        return cls(folder)

    def uvicorn(self) -> Server:
        return Server(
            name="uvicorn",
            about="uvicorn, uvloop, httptools: bare ASGI callable",
            command=lambda port: self._uvicorn("asgi_app:app", port),
        )

    def granian(self) -> Server:
        return Server(
            name="granian",
            about="granian, uvloop: bare ASGI callable",
            command=lambda port: self._granian("asgi_app:app", port, "asginl"),
        )

    def fastpysgi(self) -> Server:
        return Server(
            name="fastpysgi",
            about="fastpysgi: bare ASGI callable",
            command=lambda port: self._fastpysgi("asgi_app:app", port),
        )

    def serve(self, name: str, app: str, interface: str) -> Server:
        """A server of `app` by the server's name; `interface` as granian calls it."""
        if name == "fluvial":
            server = fluvial(app=app)
            packages = next((self._bin.parent / "lib").glob("python*/site-packages"))
            # Behind the installed ones: only what the app itself imports comes from there.
            server.env["PYTHONPATH"] = f"{os.environ.get('PYTHONPATH', '')}:{packages}"
            return server
        commands = {
            "uvicorn": lambda port: self._uvicorn(app, port),
            "granian": lambda port: self._granian(app, port, interface),
            "fastpysgi": lambda port: self._fastpysgi(app, port),
            "gunicorn": lambda port: self._gunicorn(app, port),
        }
        return Server(name=name, about=app, command=commands[name])

    def fastapi(self, *, threads: int | None = None) -> Server:
        return Server(
            name="fastapi",
            about="FastAPI on uvicorn, uvloop, httptools",
            command=lambda port: self._uvicorn("fastapi_app:app", port),
            env={"BENCH_THREADS": str(threads)} if threads is not None else {},
        )

    def _uvicorn(self, app: str, port: int) -> list[str]:
        return [
            *(str(self._bin / "uvicorn"), app, "--host", "127.0.0.1", "--port", str(port)),
            *("--loop", "uvloop", "--http", "httptools"),
            *("--no-access-log", "--log-level", "warning"),
        ]

    def _granian(self, app: str, port: int, interface: str) -> list[str]:
        return [
            *(str(self._bin / "granian"), app, "--interface", interface),
            *("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--http", "1"),
            *("--loop", "uvloop", "--no-access-log", "--log-level", "warning"),
            # It takes no more connections than it may process at once: `memory` holds 4,000.
            *("--backlog", "8192", "--backpressure", "8192"),
        ]

    def _fastpysgi(self, app: str, port: int) -> list[str]:
        command = str(self._bin / "fastpysgi")
        return [command, app, "--host", "127.0.0.1", "--port", str(port)]

    def _gunicorn(self, app: str, port: int) -> list[str]:
        return [
            *(str(self._bin / "gunicorn"), app, "--bind", f"127.0.0.1:{port}"),
            *("--workers", "1", "--worker-class", "sync", "--log-level", "warning"),
        ]
