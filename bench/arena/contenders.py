"""The programs of the arena, and how each is built and started.

What building downloads and makes lies below build/bench. A program whose tools are missing takes
no part.
"""

from __future__ import annotations

import dataclasses
import functools
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


def told(server: Server, *, tls: bool, compressed: bool, http2: bool) -> Server:
    """The server with TLS, compression or HTTP/2, by its environment as far as that goes."""
    env, command = dict(server.env), server.command
    if tls:
        env |= _certificate()
    if compressed:
        env |= {"ARENA_COMPRESS": "1", "FLUVIAL_COMPRESS": "gzip:1"}
    if http2:
        env["FLUVIAL_HTTP"] = "auto"
    if http2 and server.name == "granian":
        command = _replacing(command, ("--http", "1"), ("--http", "auto"))
    if tls and server.name == "nginx":
        command = functools.partial(_nginx_command, tls=True)
    return dataclasses.replace(server, env=env, command=command)


def _replacing(
    command: Callable[[int], list[str]], old: tuple[str, str], new: tuple[str, str]
) -> Callable[[int], list[str]]:
    def replaced(port: int) -> list[str]:
        words = command(port)
        at = words.index(old[0])
        return [*words[:at], *new, *words[at + 2 :]]

    return replaced


def _certificate() -> dict[str, str]:
    """Where it is, for each program's environment."""
    cert, key = BUILT / "cert.pem", BUILT / "key.pem"
    if not key.is_file():
        made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        named = ["-subj", "/CN=localhost", "-days", "3650", "-keyout", str(key), "-out", str(cert)]
        _run(["openssl", "req", "-x509", *made, *named], BUILT)
    names = (("ARENA_CERT", "ARENA_KEY"), ("GRANIAN_SSL_CERTIFICATE", "GRANIAN_SSL_KEYFILE"))
    names += tuple((f"{who}_SSL_CERTFILE", f"{who}_SSL_KEYFILE") for who in ("FLUVIAL", "UVICORN"))
    return {name: str(path) for pair in names for name, path in zip(pair, (cert, key), strict=True)}


def _server(name: str, about: str, command: Callable[[int], list[str]]) -> Server:
    env = {"ARENA_DATA": str(DATA), "FLUVIAL_LIMIT_BODY": str(32 * 1024 * 1024)}
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
    _tool("nginx", "Debian: nginx")
    return _server("nginx", "nginx, open_file_cache on", _nginx_command)


def _nginx_command(port: int, *, tls: bool = False) -> list[str]:
    config, how = BUILT / "nginx.conf", ""
    if tls:
        found = _certificate()
        how = " ssl http2; ssl_certificate {ARENA_CERT}; ssl_certificate_key {ARENA_KEY}"
        how = how.format(**found)
    text = (HERE / "nginx.conf").read_text()
    config.write_text(text.format(work=BUILT, data=DATA, port=port, how=how))
    return ["nginx", "-e", f"{BUILT}/nginx-error.log", "-c", str(config)]


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
