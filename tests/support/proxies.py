"""nginx, haproxy and Caddy of the system, each in a process with a configuration of the test's."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 30  # seconds


def free_port() -> int:
    """A port that nobody listens on now, and that the kernel gives to nobody who asks for any."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)  # below ip_local_port_range
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", port))
            return port


def program(name: str) -> str:
    """Where the program is. Skips the test without it."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"no {name} here (Debian's package: {name})")
    return found


@contextlib.contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    """The command, which listens on `port`, until the end of the block."""
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            end = time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                assert process.poll() is None, (folder / "proxy.log").read_text()
                assert time.monotonic() < end, "the proxy doesn't listen"
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
{outside}
"""
NGINX_HTTP = """
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream app {{ server {upstream}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port}{options};
        {server}
        location / {{
            proxy_pass {scheme}://app;
            proxy_http_version 1.1;
            proxy_ssl_verify off;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            {fields}
        }}
    }}
}}
"""
# What the guide says.
NGINX_FIELDS = """
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host "";
            proxy_set_header X-Forwarded-Port "";
            proxy_set_header X-Forwarded-Prefix "";
            proxy_set_header Forwarded "";
"""


@contextlib.contextmanager
def nginx(folder: Path, upstream: str, **how: str) -> Iterator[int]:
    """nginx in front of `upstream` ("127.0.0.1:8000" or "unix:/path"); yields its port.

    `how` may have `fields`, `server` and `options` (of listen), and the upstream's `scheme`.
    """
    path = program("nginx")
    port = free_port()
    how = {"fields": NGINX_FIELDS, "server": "", "options": "", "scheme": "http"} | how
    inner = NGINX_HTTP.format(folder=folder, port=port, upstream=upstream, **how)
    with _nginx(path, folder, inner, port):
        yield port


@contextlib.contextmanager
def _nginx(path: str, folder: Path, inner: str, port: int) -> Iterator[None]:
    user = "user root;" if os.geteuid() == 0 else ""  # whose folder it is
    config = folder / "nginx.conf"
    config.write_text(user + NGINX.format(folder=folder, outside=inner))
    with _running([path, "-c", str(config), "-p", str(folder)], port, folder):
        yield


HAPROXY = """
global
    log stdout format raw local0 err
defaults
    mode {mode}
    timeout connect 30s
    timeout client 30s
    timeout server 30s
    {defaults}
frontend outside
    bind 127.0.0.1:{port} {bind}
    {frontend}
    default_backend app
backend app
    {backend}
    server app {upstream} {server}
"""


@contextlib.contextmanager
def haproxy(folder: Path, upstream: str, **how: str) -> Iterator[int]:
    """haproxy in front of `upstream` ("127.0.0.1:8000" or "unix@/path"); yields its port.

    `how` may have the `mode` (http), further lines for `defaults`, `frontend` and `backend`, and
    options of `bind` and `server`.
    """
    path = program("haproxy")
    port = free_port()
    parts = ("defaults", "bind", "frontend", "backend", "server")
    how = {"mode": "http"} | dict.fromkeys(parts, "") | how
    config = folder / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port, upstream=upstream, **how))
    with _running([path, "-db", "-f", str(config)], port, folder):
        yield port


@contextlib.contextmanager
def caddy(folder: Path, text: str, port: int) -> Iterator[None]:
    """Caddy with this configuration, which listens on `port`."""
    (folder / "Caddyfile").write_text(f"{{\n    admin off\n}}\n{text}\n")
    homes = [f"{name}={folder}" for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")]
    command = ["env", "-u", "LD_PRELOAD", *homes, program("caddy"), "run", "--adapter", "caddyfile"]
    with _running([*command, "--config", str(folder / "Caddyfile")], port, folder):
        yield
