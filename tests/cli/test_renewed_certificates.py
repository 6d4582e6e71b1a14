"""Certificates that are renewed in processes: on SIGHUP, and in workers, under load."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
from pathlib import Path

import httpx
import pytest
from support.certificate import Certificate, make_certificate
from support.command import PATIENCE, ServerProcess, launched, serving
from support.tls_socket import TlsSocket, client_context
from support.workers import Threads, read_answer, until

APP = """
import os
from fluvial import App

app = App()

@app.get("/pid")
async def pid():
    return os.getpid()
"""
TIMES = 3
GET = b"GET /pid HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Certificate]:
    folder = tmp_path_factory.mktemp("made")
    return [make_certificate(folder, name=f"n{n}") for n in range(TIMES + 1)]


@pytest.fixture
def live(made: list[Certificate], tmp_path: Path) -> Certificate:
    (tmp_path / "it.py").write_text(APP)
    found = Certificate(tmp_path / "live.crt", tmp_path / "live.key")
    replace(found, made[0])
    return found


def replace(live: Certificate, new: Certificate) -> None:
    for old, name in zip(live, new, strict=True):
        beside = old.with_suffix(".new")
        beside.write_bytes(name.read_bytes())
        beside.chmod(0o600)
        beside.replace(old)


def trusting(made: list[Certificate]) -> ssl.SSLContext:
    context = client_context(made[0].cert)
    for each in made[1:]:
        context.load_verify_locations(each.cert)
    return context


class Load(Threads):
    """Handshakes and requests without a pause, and requests on one connection that is kept.

    `shown` are the certificates that new connections were shown, `pids` who has answered them.
    """

    def __init__(self, server: ServerProcess, context: ssl.SSLContext) -> None:
        super().__init__(self._run, (True, False))
        self._url = httpx.URL(server.url)
        self._context = context
        self.shown: list[str] = []
        self.pids: list[bytes] = []

    def connect(self) -> TlsSocket:
        plain = socket.create_connection((self._url.host, self._url.port))
        plain.settimeout(PATIENCE)
        return TlsSocket(plain, self._context).handshake()

    def _run(self, keep: bool) -> None:
        try:
            with contextlib.ExitStack() as stack:
                kept = stack.enter_context(self.connect()) if keep else None
                while not self._over.is_set():
                    if kept is not None:
                        self._ask(kept)
                        continue
                    with self.connect() as sock:
                        pid = self._ask(sock)
                        shown = sock.tls.getpeercert(binary_form=True)
                        assert shown is not None
                        self.shown.append(ssl.DER_cert_to_PEM_cert(shown))
                        self.pids.append(pid)
        except Exception as exc:
            self.failures.append(exc)

    def _ask(self, sock: TlsSocket) -> bytes:
        sock.sendall(GET)
        return read_answer(sock).rpartition(b"\r\n")[2]

    def until_shown(self, certificate: Certificate, workers: int) -> None:
        """Returns when this is what so many processes show in their next handshakes."""
        text, start = certificate.cert.read_text(), len(self.shown)

        def come() -> bool:
            new = list(zip(self.pids, self.shown, strict=False))[start:]
            return bool(self.failures) or len({p for p, s in new if s == text}) == workers

        until(come)


def flags(live: Certificate, interval: str) -> tuple[str, ...]:
    pair = ("--ssl-certfile", str(live.cert), "--ssl-keyfile", str(live.key))
    return (*pair, "--ssl-watch-interval", interval, "--no-access-log")


def test_sighup_under_load(made: list[Certificate], live: Certificate) -> None:
    """In one process, which has no parent."""
    context = trusting(made)
    options = flags(live, "0")
    with (
        serving("it:app", *options, app_dir=live.cert.parent) as server,
        Load(server, context) as load,
    ):
        for number, new in enumerate(made[1:], 1):
            replace(live, new)
            server.process.send_signal(signal.SIGHUP)
            server.expect("INFO Reloaded the certificates", number)
            load.until_shown(new, 1)
        assert set(load.pids) == {str(server.process.pid).encode()}


def test_sighup_with_files_that_cannot_be_used(made: list[Certificate], live: Certificate) -> None:
    options = flags(live, "0")
    with launched("it:app", *options, app_dir=live.cert.parent) as server:
        server.wait_until_ready()
        live.cert.write_bytes(b"nonsense")
        server.process.send_signal(signal.SIGHUP)
        server.expect(r"ERROR Keeping the old certificates: .*live.crt: there is no cert")
        answer = httpx.get(f"{server.url}/pid", verify=client_context(made[0].cert))
        assert answer.json() == server.process.pid
        assert server.stop() == 0


def test_workers_get_them_while_they_serve(made: list[Certificate], live: Certificate) -> None:
    context = trusting(made)
    options = (*flags(live, "0.05"), "--workers", "2")
    with serving("it:app", *options, app_dir=live.cert.parent) as server:
        server.expect("Fluvial running on", 2)
        with Load(server, context) as load:
            for new in made[1:]:
                replace(live, new)
                load.until_shown(new, 2)
            assert len(set(load.pids)) == 2
        assert len(server.expect("Reloaded the certificates")) == TIMES
