"""The programs of the arena, and how each is built and started.

What building downloads and makes lies below build/bench. A program whose tools are missing takes
no part.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import servers
from bench.harness.raw import ROOT
from bench.harness.servers import WORK, Peers, Server

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
BUILT = WORK / "arena"
DATA = BUILT / "data"


class NotHere(Exception):
    """A contender's tools are missing; the message names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """`make()` builds what must be built, and says how it is started. Raises: NotHere."""

    name: str
    about: str
    make: Callable[[], Server]


def _server(name: str, about: str, command: Callable[[int], list[str]]) -> Server:
    env = {"ARENA_DATA": str(DATA)}
    return Server(name=name, about=about, command=command, env=env, cwd=PROGRAMS)


def _tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise NotHere(f"{name} is missing ({package})")
    return found


def _run(command: list[str], cwd: Path, **env: str) -> None:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NotHere(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")


# ---- Python ----------------------------------------------------------------------------------


def fluvial() -> Server:
    """The native program."""
    started = servers.fluvial(app="fluvial_app:app", folder=PROGRAMS).command
    return _server("fluvial", "Fluvial", started)


def as_fastapi() -> Server:
    """FastAPI's program on Fluvial, which takes FastAPI's place."""
    started = servers.fluvial(app="fastapi_app:app", folder=PROGRAMS).command
    about = "the FastAPI program, fluvial run --as-fastapi"
    return _server("as-fastapi", about, lambda port: [*started(port), "--as-fastapi"])


def _peer(name: str, on: str, app: str, about: str) -> Server:
    served = Peers.install().serve(on, app, "asgi")
    return _server(name, about, served.command)


def fastapi() -> Server:
    return _peer("fastapi", "uvicorn", "fastapi_app:app", "FastAPI on uvicorn, uvloop, httptools")


def fastpysgi() -> Server:
    return _peer("fastpysgi", "fastpysgi", "asgi_app:app", "fastpysgi, a bare ASGI app")


def granian() -> Server:
    return _peer("granian", "granian", "asgi_app:app", "granian, uvloop, a bare ASGI app")


# ---- Other languages -------------------------------------------------------------------------


def _go(package: str, about: str) -> Server:
    go = _tool("go", "Debian: golang-go, or go.dev")
    _run([go, "build", "-o", f"{BUILT}/", f"./{package}"], HERE / "go")
    return _server(package, about, lambda port: [str(BUILT / package), str(port)])


def fasthttp() -> Server:
    return _go("fasthttp", "Go, fasthttp")


def nethttp() -> Server:
    return _go("nethttp", "Go, net/http")


def actix() -> Server:
    cargo = _tool("cargo", "Debian: cargo, or rustup")
    target = BUILT / "actix"
    _run([cargo, "build", "--release", "--quiet"], HERE / "actix", CARGO_TARGET_DIR=str(target))
    return _server("actix", "Rust, actix-web", lambda port: [f"{target}/release/arena", str(port)])


def node() -> Server:
    executable = _tool("node", "Debian: nodejs")
    program = str(PROGRAMS / "node_app.js")
    return _server("node", "node's http", lambda port: [executable, program, str(port)])


def nginx() -> Server:
    executable = _tool("nginx", "Debian: nginx")

    def command(port: int) -> list[str]:
        config = BUILT / "nginx.conf"
        template = (HERE / "nginx.conf").read_text()
        config.write_text(template.format(work=BUILT, data=DATA, port=port))
        return [executable, "-e", f"{BUILT}/nginx-error.log", "-c", str(config)]

    return _server("nginx", "nginx, open_file_cache on", command)


CONTENDERS = {
    each.name: each
    for each in (
        Contender(name="fluvial", about="native", make=fluvial),
        Contender(name="as-fastapi", about="FastAPI's program on Fluvial", make=as_fastapi),
        Contender(name="fastapi", about="on uvicorn", make=fastapi),
        Contender(name="fastpysgi", about="bare ASGI", make=fastpysgi),
        Contender(name="granian", about="bare ASGI", make=granian),
        Contender(name="fasthttp", about="Go", make=fasthttp),
        Contender(name="nethttp", about="Go", make=nethttp),
        Contender(name="actix", about="Rust", make=actix),
        Contender(name="node", about="JavaScript", make=node),
        Contender(name="nginx", about="C", make=nginx),
    )
}
OURS = ("fluvial", "as-fastapi")
PYTHON = ("fastapi", "fastpysgi", "granian")

__all__ = ["CONTENDERS", "DATA", "OURS", "PYTHON", "ROOT", "Contender", "NotHere"]
