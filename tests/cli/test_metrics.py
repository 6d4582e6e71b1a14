"""Metrics of several workers: right whoever is asked, and whatever happens to the workers."""

from __future__ import annotations

import os
import select
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.command import PATIENCE, ServerProcess, launched, serving
from support.metrics import Scraped, scraped, until

APP = """
import asyncio, os
from contextlib import asynccontextmanager
from fluvial import App, Request

@asynccontextmanager
async def lifespan(app):
    if os.environ.get("WAIT") and os.path.exists(os.environ["WAIT"]):
        print("the startup waits", flush=True)
        while os.path.exists(os.environ["WAIT"]):
            await asyncio.sleep(0.01)
    yield

app = App(lifespan=lifespan)
@app.get("/{name}")
async def name(name: str) -> int:
    return os.getpid()

@app.post("/body")
async def upload(request: Request) -> int:
    await request.body()
    return os.getpid()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it.py").write_text(APP)
    return tmp_path


def scrape(server: ServerProcess) -> Scraped:
    return scraped(httpx.get(f"{server.url}/metrics").text)


def ask_both(server: ServerProcess, path: str = "/x", **options: Any) -> int:
    """Asks until two workers have answered; how often that was."""
    pids: set[str] = set()
    count = 0
    while len(pids) < 2:
        pids.add(httpx.request(url=f"{server.url}{path}", **{"method": "GET", **options}).text)
        count += 1
    return count


def asked(found: Scraped) -> int:
    return found.requests()["/{name}", "GET", "200"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP], ids=["killed", "replaced"])
def test_counters_are_sums_that_survive_the_workers(folder: Path, number: signal.Signals) -> None:
    options = ("--workers", "2", "--metrics", "/metrics", "--no-access-log")
    with serving("it:app", *options, app_dir=folder) as server:
        server.expect("Fluvial running", 2)
        ask_both(server, "/body", method="POST", content=b"x" * 1_000_000)
        count = ask_both(server)
        before = until(lambda: scrape(server), lambda got: asked(got) == count)
        assert before["fluvial_workers"] == before["fluvial_worker_starts_total"] == 2
        pids = {key for key in before if key.startswith("fluvial_worker_resident_memory_bytes{")}
        (pid, *_) = (int(key.split('"')[1]) for key in pids)
        os.kill(pid if number == signal.SIGKILL else server.process.pid, number)
        restarts = 1 if number == signal.SIGKILL else 2
        until(
            lambda: scrape(server),
            lambda got: (
                got["fluvial_worker_restarts_total"] == restarts
                and got["fluvial_workers_ready"] == got["fluvial_workers"] == 2
            ),
        )
        assert asked(scrape(server)) == count
        count += ask_both(server)
        after = until(lambda: scrape(server), lambda got: asked(got) == count)
    assert after["fluvial_worker_starts_total"] == 2 + restarts
    # Of a worker's own counters, too: each of the two had received a megabyte.
    assert after["fluvial_received_bytes_total"] > before["fluvial_received_bytes_total"]


@pytest.mark.parametrize("workers", [1, 2])
def test_probes_before_the_startup_is_over(folder: Path, workers: int) -> None:
    wait = folder / "wait"
    wait.touch()
    options = ("--workers", str(workers), "--health", "--metrics", "127.0.0.1:0")
    env = {"WAIT": str(wait)}
    with launched("it:app", *options, app_dir=folder, env=env) as server:
        (url, *_) = server.expect(r"Metrics on (http://[\d.:]+)/metrics", workers)
        assert httpx.get(f"{url}/-/live").status_code == 200
        assert httpx.get(f"{url}/-/ready").status_code == 503
        wait.unlink()
        server.expect("Fluvial running", workers)
        assert httpx.get(f"{url}/-/ready").status_code == 200
        assert scraped(httpx.get(f"{url}/metrics").text)["fluvial_workers_ready"] >= 1
        assert server.stop() == 0


def accepts(path: Path) -> bool:
    """Whether somebody listens on the Unix socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0


def test_probes_on_the_server_s_own_socket_before_the_startup_is_over(folder: Path) -> None:
    wait, path = folder / "wait", folder / "s"
    wait.touch()
    options = ("--uds", str(path), "--health")
    transport = httpx.HTTPTransport(uds=str(path))
    client = httpx.Client(transport=transport, base_url="http://local")
    with launched("it:app", *options, app_dir=folder, env={"WAIT": str(wait)}) as server, client:
        until(lambda: accepts(path), bool)
        assert client.get("/-/live").status_code == 200
        assert client.get("/-/ready").status_code == 503
        early = client.get("/x")
        assert (early.status_code, early.headers["retry-after"]) == (503, "1")
        assert early.headers["connection"] == "close"
        with socket.socket(socket.AF_UNIX) as idle:  # it doesn't hold up the startup
            idle.connect(str(path))
            wait.unlink()
            server.expect("Fluvial running")
        assert client.get("/-/ready").status_code == 200
        assert client.get("/x").text == str(server.process.pid)
        assert server.stop() == 0


def test_workers_in_their_startup_leave_requests_to_the_others(folder: Path) -> None:
    wait = folder / "wait"
    options = ("--workers", "2", "--health")
    with serving("it:app", *options, app_dir=folder, env={"WAIT": str(wait)}) as server:
        server.expect("Fluvial running", 2)
        wait.touch()
        server.process.send_signal(signal.SIGHUP)  # new ones start, and wait
        server.expect("the startup waits", 1)
        for _ in range(20):
            assert httpx.get(f"{server.url}/x").status_code == 200
        wait.unlink()
        server.expect("Fluvial running", 4)


def test_what_comes_while_the_app_is_loaded_anew_waits(folder: Path) -> None:
    wait = folder / "wait"
    options = ("--reload", "--health")
    with serving("it:app", *options, app_dir=folder, env={"WAIT": str(wait)}) as server:
        server.expect("Fluvial running")
        wait.touch()
        (folder / "it.py").write_text(f"{APP}\n")
        server.expect("the startup waits")
        address = ("127.0.0.1", httpx.URL(server.url).port)
        with socket.create_connection(address, timeout=PATIENCE) as client:
            client.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            early, _, _ = select.select([client], [], [], 0.5)
            assert not early, client.recv(1000)
            wait.unlink()
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_port_that_is_taken(folder: Path) -> None:
    with serving("it:app", "--metrics", "127.0.0.1:0", app_dir=folder) as server:
        (address,) = server.expect(r"Metrics on http://([\d.:]+)/metrics")
        for workers in ("1", "2"):
            options = ("--metrics", address, "--workers", workers)
            with launched("it:app", *options, app_dir=folder) as other:
                assert other.wait() == 1
            assert f"Error: can't listen on {address}" in other.log
