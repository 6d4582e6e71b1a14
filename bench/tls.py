"""What TLS costs a server: Fluvial beside uvicorn and granian, with the same bare ASGI callable.

    python bench/tls.py [--rounds 3] [--seconds 2] [--servers fluvial,uvicorn]

Each round measures the servers one after the other, on one core; the load comes from the other. The
figures are the server's CPU time, the kernel's share included: for each request on 64 keep-alive
connections by wrk, alone and 16 in one write; for each connection that does a full handshake, asks
once and closes; and the memory that an idle connection takes. The certificate is ECDSA P-256, the
protocol TLS 1.3.
"""

from __future__ import annotations

import argparse
import dataclasses
import socket
import ssl
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "scripts")]

from bench.harness import servers  # noqa: E402
from bench.harness.load import Load, run_wrk  # noqa: E402

if TYPE_CHECKING:
    from bench.harness.process import ServerProcess

CERT, KEY = servers.WORK / "tls.crt", servers.WORK / "tls.key"
HANDSHAKES, IDLE = 500, 1000
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
FLAGS = {
    "fluvial": ("--ssl-certfile", "--ssl-keyfile"),
    "uvicorn": ("--ssl-certfile", "--ssl-keyfile"),
    "granian": ("--ssl-certificate", "--ssl-keyfile"),
}
CASES = ("request_us", "pipelined_us", "connection_us", "idle_kib")

Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--servers", default="fluvial,uvicorn,granian")
    options = parser.parse_args()
    make_certificate()
    found: dict[str, list[Figures]] = {name: [] for name in options.servers.split(",")}
    for number in range(options.rounds):
        for name, figures in found.items():
            with make_server(name).start(cpu=0) as server:
                server.wait_ready()
                figures.append(measure(server, options.seconds))
            print(number + 1, name, *(f"{k} {v:.1f}" for k, v in figures[-1].items()), flush=True)
    report(found)


def make_certificate() -> None:
    servers.WORK.mkdir(parents=True, exist_ok=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", KEY]
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", *key, "-out", CERT]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, *names], check=True, capture_output=True)


def make_server(name: str) -> servers.Server:
    if name == "fluvial":
        plain = servers.fluvial_asgi()
    else:
        peers = servers.Peers.install()
        plain = peers.uvicorn() if name == "uvicorn" else peers.granian()
    cert, key = FLAGS[name]
    flags = [cert, str(CERT), key, str(KEY)]
    return dataclasses.replace(plain, command=lambda port: [*plain.command(port), *flags])


def measure(server: ServerProcess, seconds: int) -> Figures:
    connect(server).close()
    return {
        "request_us": per_request(server, seconds, depth=1),
        "pipelined_us": per_request(server, seconds, depth=16),
        "connection_us": per_connection(server),
        "idle_kib": per_idle(server),
    }


def per_request(server: ServerProcess, seconds: int, depth: int) -> float:
    used = server.usage()
    reply = run_wrk(Load(scheme="https", path="/", depth=depth), server.port, seconds)
    return (server.usage() - used).cpu_ns / 1000 / reply.requests


def connect(server: ServerProcess) -> ssl.SSLSocket:
    """A connection with a handshake of its own that has had an answer."""
    context = ssl.create_default_context(cafile=str(CERT))
    sock = context.wrap_socket(
        socket.create_connection(("127.0.0.1", server.port)), server_hostname="localhost"
    )
    sock.sendall(REQUEST)
    while b'{"type":"async"}' not in sock.recv(65536):
        continue
    return sock


def per_connection(server: ServerProcess) -> float:
    used = server.usage()
    for _ in range(HANDSHAKES):
        connect(server).close()
    return (server.usage() - used).cpu_ns / 1000 / HANDSHAKES


def per_idle(server: ServerProcess) -> float:
    before = server.resident_bytes()
    clients = [connect(server) for _ in range(IDLE)]
    grown = server.resident_bytes() - before
    for client in clients:
        client.close()
    return grown / 1024 / IDLE


def report(found: dict[str, list[Figures]]) -> None:
    """Medians, and how many times Fluvial's figures they are."""
    medians = {
        name: [statistics.median(f[case] for f in figures) for case in CASES]
        for name, figures in found.items()
    }
    ours = medians.get("fluvial", [1.0] * len(CASES))
    print("| |", " | ".join(CASES), "|")
    for name, values in medians.items():
        cells = (f"{v:.1f} (x {v / o:.2f})" for v, o in zip(values, ours, strict=True))
        print("|", name, "|", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
