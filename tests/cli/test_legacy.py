"""What a process of SIGUSR2 gets beside the sockets: counters, keys of sessions; and which sockets
stay when the configuration names others."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from fluvial._serving.metrics_memory import MetricsMemory
from fluvial._serving.succession import Legacy, Predecessor
from support.certificate import make_certificate
from support.command import PATIENCE, ServerProcess, ending_successors, launched
from support.metrics import scraped
from support.tls_socket import TlsSocket, client_context
from support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.metrics import Scraped

APP = """
import os
from fluvial import App

app = App()

@app.get("/pid")
async def pid():
    return os.getpid()
"""
READY = "Fluvial running on"
OPTIONS = ("--pid", "pid", "--graceful-timeout", "30", "--cleanup-timeout", "5", "--no-access-log")
GET = b"GET /pid HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it.py").write_text(APP)
    return tmp_path


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[ServerProcess]:
    # Started for real: a successor is the same command in the environment that /proc has of it.
    with (
        launched("it:app", *OPTIONS, *options, app_dir=folder, fork=False) as server,
        ending_successors(folder),
    ):
        yield server


def succeed(server: ServerProcess, workers: int, before: int = 0) -> int:
    """Starts another process after `before` others, and waits until its workers serve."""
    process = before or server.process.pid
    os.kill(process, signal.SIGUSR2)
    count = len(server.expect(READY)) + workers
    new = int(server.expect(r"Started process (\d+) on the same sockets", count // workers - 1)[-1])
    server.expect(READY, count)
    return new


def end(server: ServerProcess, number: int) -> None:
    server.process.send_signal(number)
    server.process.wait(PATIENCE)
    server.expect(f"Process {server.process.pid} has exited; this one takes its place")


def scrape(server: ServerProcess) -> Scraped:
    return scraped(httpx.get(f"{server.url}/metrics", timeout=PATIENCE).text)


def ask(server: ServerProcess, times: int) -> None:
    for _ in range(times):
        assert httpx.get(f"{server.url}/pid", timeout=PATIENCE).status_code == 200


def asked(found: Scraped) -> int:
    return found.requests()["/pid", "GET", "200"]


# ---- Counters ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_successor_counts_on(folder: Path, number: signal.Signals) -> None:
    """All is counted once, whichever process is asked, and nothing stays of one that was killed."""
    with running(folder, "--workers", "2", "--metrics", "/metrics") as server:
        server.expect(READY, 2)
        ask(server, 5)
        new = succeed(server, 2)
        for n in range(1, 9):
            ask(server, 1)
            assert asked(scrape(server)) == 5 + n
        assert scrape(server)["fluvial_workers"] == 4
        end(server, number)
        until(lambda: scrape(server)["fluvial_workers"] == 2)
        until(lambda: scrape(server)["fluvial_workers_ready"] == 2)
        ask(server, 3)
        found = scrape(server)
        assert asked(found) == 16
        assert found["fluvial_worker_starts_total"] == 4
        os.kill(new, signal.SIGTERM)
        server.wait()


def test_a_successor_that_was_killed_leaves_nothing_that_counts(folder: Path) -> None:
    with running(folder, "--workers", "2", "--metrics", "/metrics") as server:
        server.expect(READY, 2)
        new = succeed(server, 2)
        ask(server, 3)
        os.kill(new, signal.SIGKILL)
        until(lambda: scrape(server)["fluvial_workers"] == 2)
        ask(server, 1)
        assert asked(scrape(server)) == 4
        assert server.stop() == 0


def test_a_successor_with_more_workers_adds_room_for_them(folder: Path) -> None:
    config = folder / "fluvial.toml"
    config.write_text('workers = 2\nmetrics = "/metrics"\n')
    with running(folder) as server:
        server.expect(READY, 2)
        ask(server, 4)
        config.write_text('workers = 30\nmetrics = "/metrics"\n')
        os.kill(server.process.pid, signal.SIGUSR2)
        (new,) = server.expect(r"Started process (\d+) on the same sockets")
        server.expect(READY, 32)
        assert scrape(server)["fluvial_workers"] == 32
        end(server, signal.SIGTERM)
        until(lambda: scrape(server)["fluvial_workers"] == 30)
        assert asked(scrape(server)) == 4
        os.kill(int(new), signal.SIGTERM)
        server.wait()


def test_other_series_begin_at_0(folder: Path) -> None:
    config = folder / "fluvial.toml"
    config.write_text('workers = 2\nmetrics = "/metrics"\n')
    with running(folder) as server:
        server.expect(READY, 2)
        ask(server, 4)
        config.write_text('workers = 2\nmetrics = "/metrics"\nmetrics-series = 50\n')
        new = succeed(server, 2)
        server.expect("The metrics start at 0: the previous process stores them in another layout")
        end(server, signal.SIGTERM)
        ask(server, 1)
        assert asked(scrape(server)) == 1
        os.kill(new, signal.SIGTERM)
        server.wait()


def test_slots_of_two_parents() -> None:
    """Neither takes what the other has, and both see all of them."""
    first = MetricsMemory(4, 10)
    first.take()
    second = MetricsMemory(4, 10, os.dup(first.fd))
    second._owner = 2**22 + 1  # no process has this number
    assert (first.slots, second.slots) == (4, 5)
    assert [second.take(), first.take(), second.take()] == [1, 2, 3]
    assert [second.take(), first.take(), second.take()] == [4, -1, -1]
    first.refresh()
    second.note_stop()
    second.set_ready(4, ready=True)
    first.begin(0, 1)
    first.set_ready(0, ready=True)
    assert first.is_ready
    assert not second.is_ready
    assert not first.clear_strays()
    assert [first.take() for _ in range(4)] == [1, 3, 4, -1]
    assert first.starts == 11
    for memory in (first, second):
        os.close(memory.fd)


# ---- Sessions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_outlive_a_succession(folder: Path, version: ssl.TLSVersion) -> None:
    """Also that of the first process in the third."""
    certificate = make_certificate(folder, name="n")
    context = client_context(certificate.cert)
    context.minimum_version = context.maximum_version = version
    tls = ("--ssl-certfile", str(certificate.cert), "--ssl-keyfile", str(certificate.key))
    with running(folder, "--workers", "2", *tls) as server:
        server.expect(READY, 2)
        url = httpx.URL(server.url)

        def session(before: ssl.SSLSession | None = None) -> tuple[ssl.SSLSession, bool]:
            plain = socket.create_connection((url.host, url.port))
            with TlsSocket(plain, context, session=before).handshake() as sock:
                sock.sendall(GET)
                assert sock.recv(65536)  # TLS 1.3: the tickets have come with it
                assert sock.tls.session is not None
                return sock.tls.session, bool(sock.tls.session_reused)

        first, _ = session()
        second = succeed(server, 2)
        end(server, signal.SIGTERM)
        assert session(first)[1]
        third = succeed(server, 2, second)
        os.kill(second, signal.SIGTERM)
        server.expect(f"Process {second} has exited; this one takes its place")
        assert session(first)[1]
        assert not session()[1]
        os.kill(third, signal.SIGTERM)
        server.wait()


def test_the_keys_are_in_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """They go through a pipe, whose end is closed after it was read."""
    process = psutil.Process()
    before = process.num_fds()
    with Legacy(sessions=b"secret", passed=(3, 4)).handing() as (value, (pipe,)):
        assert "secret" not in value
        monkeypatch.setenv("_FLUVIAL_LEGACY", value.replace(f"={pipe}", f"={os.dup(pipe)}"))
    found = Legacy.from_environment(os.getpid())
    assert found == Legacy(-1, b"secret", (3, 4))
    assert "secret" not in repr(found)
    assert process.num_fds() == before


def test_what_is_another_process_s_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older version of Fluvial doesn't know the variable, and passes it on to its successor."""
    monkeypatch.setenv("_FLUVIAL_TAKES_OVER", f"{os.getppid()}")
    monkeypatch.setenv("_FLUVIAL_LEGACY", f"{os.getpid()} metrics=900 sessions=901")
    assert Predecessor.from_environment() == Predecessor(os.getppid(), ())
    assert "_FLUVIAL_LEGACY" not in os.environ


# ---- Addresses --------------------------------------------------------------------------------


def answers(sock: socket.socket, address: object) -> bool:
    sock.settimeout(PATIENCE)
    with sock:
        try:
            sock.connect(address)  # type: ignore[arg-type]  # a host and a port, or a path
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        sock.sendall(GET)
        return sock.recv(100).startswith(b"HTTP/1.1 200")


def on(port: int) -> bool:
    return answers(socket.socket(), ("127.0.0.1", port))


def on_path(path: Path) -> bool:
    return answers(socket.socket(socket.AF_UNIX), str(path))


def test_addresses_that_have_changed(folder: Path) -> None:
    """What is still named stays, what isn't is closed, what is new is bound."""
    ports = []
    for _ in range(3):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            ports.append(sock.getsockname()[1])
    stays, goes, comes = ports
    config = folder / "fluvial.toml"
    config.write_text(
        f'bind = ["127.0.0.1:{goes}", "unix:old", "127.0.0.1:{stays}"]\nworkers = 2\n'
    )
    with running(folder) as server:
        server.expect(READY, 2)
        assert on(stays)
        assert on(goes)
        config.write_text(
            f'bind = ["127.0.0.1:{stays}", "unix:new", "127.0.0.1:{comes}"]\nworkers = 2\n'
        )
        new = succeed(server, 2)
        server.expect(f"No longer listening on http://127.0.0.1:{goes}: the configuration")
        server.expect(f"No longer listening on unix:{folder / 'old'}|unix:old: the configuration")
        assert all((on(stays), on(goes), on(comes)))
        assert on_path(folder / "old")
        assert on_path(folder / "new")
        end(server, signal.SIGTERM)
        until(lambda: not (folder / "old").exists())
        assert [on(port) for port in (stays, goes, comes)] == [True, False, True]
        assert on_path(folder / "new")
        os.kill(new, signal.SIGTERM)
        server.wait()
        assert not (folder / "new").exists()


def test_an_address_that_is_taken_leaves_the_old_process(folder: Path) -> None:
    config = folder / "fluvial.toml"
    config.write_text('bind = ["127.0.0.1:0", "unix:old"]\nworkers = 2\n')
    with socket.socket() as other, running(folder) as server:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server.expect(READY, 2)
        taken = other.getsockname()[1]
        config.write_text(f'bind = ["127.0.0.1:0", "127.0.0.1:{taken}"]\nworkers = 2\n')
        server.process.send_signal(signal.SIGUSR2)
        server.expect(f"can't listen on 127.0.0.1:{taken}: the port is in use already")
        server.expect(r"Process \d+ exited with status 1; this one keeps serving")
        assert on_path(folder / "old")
        ask(server, 1)
        assert server.stop() == 0
        assert not (folder / "old").exists()
