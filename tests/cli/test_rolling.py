"""Workers that are replaced while they serve: no request fails for that."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from support import needs
from support.command import PATIENCE, ServerProcess, launched
from support.workers import Http2Load, Load, pids_that_answer, workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = """
import itertools, os, threading, time
from fluvial import App

if os.path.exists("broken"):
    print("broken", flush=True)
    while not os.path.exists("go on"):
        time.sleep(0.01)
    raise RuntimeError("no such thing")
VERSION = 1
app = App()
kept = []

@app.get("/pid")
async def pid():
    return os.getpid()

@app.get("/version")
async def version():
    return VERSION

@app.get("/block")
async def block():
    print("blocks", flush=True)
    sum(itertools.repeat(1))  # this line keeps the GIL

@app.get("/slow")
async def slow(name: str):
    import asyncio
    print("waits", flush=True)
    while not os.path.exists(name):
        await asyncio.sleep(0.01)
    return os.getpid()

@app.get("/grow")
async def grow(size: int):
    kept.append(b"x" * size)

@app.get("/leave")
async def leave():
    os._exit(1)
"""
TWO = ("--workers", "2", "--graceful-timeout", "30", "--cleanup-timeout", "5", "--no-access-log")
READY = "Fluvial running on"
RESTARTS = int(os.environ.get("RESTARTS", "3"))  # `make faults` has more of them


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it.py").write_text(APP)
    return tmp_path


@contextlib.contextmanager
def running(
    folder: Path, *options: str, workers: int = 2, fork: bool = True
) -> Iterator[ServerProcess]:
    several = TWO if workers == 2 else TWO[2:]
    with launched("it:app", *several, *options, app_dir=folder, fork=fork) as server:
        server.expect(READY, workers)
        yield server
        assert server.stop() == 0


# ---- Signals -------------------------------------------------------------------------------


def test_a_restart_under_load_fails_no_request(folder: Path) -> None:
    with running(folder) as server:
        before = workers_of(server)
        with Load(server.url) as load:
            for times in range(1, RESTARTS + 1):
                server.process.send_signal(signal.SIGHUP)
                server.expect("takes the place of worker", 2 * times)
                load.wait_for(20)
        assert pids_that_answer(server, 2).isdisjoint(before)
        server.expect("has ended", 2 * RESTARTS)
        assert len(psutil.Process(server.process.pid).children()) == 2
        assert "killed" not in server.log


@needs.HTTP2
def test_a_restart_fails_no_request_by_http_2(folder: Path) -> None:
    """GOAWAY comes early enough for a client to send the rest elsewhere."""
    with running(folder, "--http", "auto") as server, Http2Load(server.url) as load:
        load.wait_for(20)
        for times in range(1, RESTARTS + 1):
            server.process.send_signal(signal.SIGHUP)
            server.expect("takes the place of worker", 2 * times)
            load.wait_left(2 * times)
            load.wait_for(20)
        server.expect("has ended", 2 * RESTARTS)
        assert "killed" not in server.log


def test_a_restart_reads_the_code_again(folder: Path) -> None:
    with running(folder) as server:
        (folder / "it.py").write_text(APP.replace("VERSION = 1", "VERSION = 1000"))
        server.process.send_signal(signal.SIGHUP)
        server.expect("has ended", 2)
        assert httpx.get(f"{server.url}/version", timeout=PATIENCE).json() == 1000


def test_code_that_does_not_start_leaves_the_old_workers(folder: Path) -> None:
    with running(folder) as server:
        before = workers_of(server)
        (folder / "broken").touch()
        with Load(server.url) as load:
            server.process.send_signal(signal.SIGHUP)
            server.expect("broken")
            server.process.send_signal(signal.SIGUSR1)  # so that the parent looks at its workers
            server.expect("Ignoring SIGUSR1")
            (folder / "go on").touch()
            server.expect("exited with status")
            assert "takes the place" not in server.log
            server.expect("before it was ready; the others stay")
            load.wait_for(20)
            assert pids_that_answer(server, 2) == before
            (folder / "broken").unlink()
            server.process.send_signal(signal.SIGHUP)
            server.expect("takes the place of worker", 2)
        assert pids_that_answer(server, 2).isdisjoint(before)


def test_an_old_worker_finishes_its_request(folder: Path) -> None:
    with running(folder) as server, concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(httpx.get, f"{server.url}/slow?name=go", timeout=PATIENCE)
        server.expect("waits")
        before = workers_of(server)
        server.process.send_signal(signal.SIGHUP)
        server.expect("takes the place of worker", 2)
        assert pids_that_answer(server, 2).isdisjoint(before)
        (folder / "go").touch()
        assert answer.result().json() in before


def test_one_more_and_one_less(folder: Path) -> None:
    with running(folder) as server, Load(server.url) as load:
        server.process.send_signal(signal.SIGTTIN)
        server.expect(READY, 3)
        assert len(pids_that_answer(server, 3)) == 3
        for times in (1, 2):
            server.process.send_signal(signal.SIGTTOU)
            server.expect("has ended", times)
        load.wait_for(20)
        server.process.send_signal(signal.SIGTTOU)  # the last one stays
        server.expect("Received SIGTTOU", 3)
        assert len(psutil.Process(server.process.pid).children()) == 1
        load.wait_for(20)


def test_a_wrong_certificate_restarts_nothing(folder: Path, certificate) -> None:  # type: ignore[no-untyped-def]
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(certificate.cert.read_bytes())
    key.write_bytes(certificate.key.read_bytes())
    options = ("--ssl-certfile", str(cert), "--ssl-keyfile", str(key))
    with running(folder, *options) as server:
        before = workers_of(server)
        cert.write_text("nonsense")
        server.process.send_signal(signal.SIGHUP)
        server.expect("No worker was restarted: .*cert.pem")
        assert workers_of(server) == before
        cert.write_bytes(certificate.cert.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        server.expect("takes the place of worker", 2)


# ---- Faults --------------------------------------------------------------------------------


def test_a_worker_that_is_killed_takes_nothing_from_the_queue_with_it(folder: Path) -> None:
    """The worker is stopped, so that it accepts nothing, before it is killed."""
    with running(folder) as server:
        workers = [psutil.Process(pid) for pid in workers_of(server)]
        for worker in workers:
            worker.suspend()
        port = httpx.URL(server.url).port
        with contextlib.ExitStack() as stack:
            waiting = []
            for _ in range(20):
                sock = socket.create_connection(("127.0.0.1", port or 0))
                waiting.append(stack.enter_context(sock))
                sock.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            for worker in workers:
                worker.kill()
            for sock in waiting:
                sock.settimeout(PATIENCE)
                answer = b"".join(iter(lambda sock=sock: sock.recv(4096), b""))  # type: ignore[misc]
                assert answer.startswith(b"HTTP/1.1 200")


def test_a_loop_that_stands_still_is_shown_and_replaced(folder: Path) -> None:
    with running(folder, "--worker-timeout", "4") as server:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{server.url}/block", timeout=PATIENCE)
        (pid,) = server.expect(r"Worker (\d+): its event loop has stood still for")
        server.expect(rf"Worker {pid} exited with status -9; starting another now")
        line = APP[: APP.index("# this line")].count("\n") + 1
        assert re.search(rf'File ".*it.py", line {line} in block\n', server.log)
        server.expect(READY, 3)
        assert int(pid) not in pids_that_answer(server, 2)
        assert server.log.count("has stood still") == 1


def test_idle_workers_do_not_stand_still(folder: Path) -> None:
    with running(folder, "--worker-timeout", "4") as server:
        first, second = sorted(workers_of(server))
        psutil.Process(first).suspend()  # only this one stands still
        server.expect(rf"Worker {first}: its event loop has stood still")
        server.expect(READY, 3)
        assert second in pids_that_answer(server, 2)
        assert f"Worker {second}: its" not in server.log


def test_a_worker_that_does_not_start_is_ended(folder: Path) -> None:
    (folder / "it.py").write_text("import time; time.sleep(1000)")
    with launched("it:app", "--startup-timeout", "1", app_dir=folder) as server:
        assert server.wait() == 1
        assert "it did not start within 1 seconds and will be killed" in server.log


# ---- Limits --------------------------------------------------------------------------------


def test_requests_lifetime_and_memory(folder: Path) -> None:
    options = ("--max-requests", "50", "--max-requests-jitter", "10")
    with running(folder, *options) as server, Load(server.url):
        server.expect(r"has had \d+ requests; replacing it", 2)
        server.expect("takes the place of worker", 2)
    with running(folder, "--max-lifetime", "1") as server, Load(server.url):
        server.expect("has lived for [1-9]\\d* seconds; replacing it")
        server.expect("takes the place of worker")
    bound = ("--max-rss", str(300 * 1024**2))
    with running(folder, *bound, fork=False) as server, Load(server.url):
        httpx.get(f"{server.url}/grow?size={300 * 1024**2}", timeout=PATIENCE)
        server.expect(r"has \d{9,} bytes of memory; replacing it")
        server.expect("takes the place of worker")


# ---- One worker ----------------------------------------------------------------------------


def test_limits_give_one_worker_a_parent(folder: Path) -> None:
    """It is replaced as others are: by a limit, by a signal, and when its loop stands still."""
    options = ("--max-requests", "50", "--worker-timeout", "4")
    with running(folder, *options, workers=1) as server:
        before = workers_of(server)
        assert len(before) == 1
        with Load(server.url):
            server.expect("takes the place of worker")
            server.process.send_signal(signal.SIGHUP)
            server.expect("Received SIGHUP")
            server.expect("takes the place of worker", 2)
        pids = pids_that_answer(server, 1)
        assert pids.isdisjoint({*before, server.process.pid})
    with running(folder, "--worker-timeout", "4", workers=1) as server:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{server.url}/block", timeout=PATIENCE)
        server.expect("its event loop has stood still")
        server.expect("exited with status -9; starting another now")
        pids_that_answer(server, 1)


def test_without_a_parent_the_log_says_what_a_restart_takes(folder: Path) -> None:
    with running(folder, "--worker-timeout", "0", workers=1) as server:
        server.process.send_signal(signal.SIGHUP)
        server.expect("Ignoring SIGHUP: a restart takes a parent process, as --workers 2 or")
        assert pids_that_answer(server, 1) == {server.process.pid}


def test_jitter_differs(folder: Path) -> None:
    from fluvial._serving.supervisor import Place, Supervisor
    from support.rolling import make_rolling

    options = {"workers": 2, "max_requests": 100, "max_requests_jitter": 10**6}
    rolling = make_rolling(lambda *_: 0, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Supervisor, "_start", lambda *_: None)
        places = [Place() for _ in range(5)]
        for place in places:
            rolling._start(place, [])
        limits = [rolling._requests[place] for place in places]
    assert len(set(limits)) > 1
    assert all(100 <= limit <= 100 + 10**6 for limit in limits)


# ---- Preload -------------------------------------------------------------------------------

PRELOADED = """
import os, threading
from fluvial import App

print("imported", flush=True)
threading.Thread(target=threading.Event().wait, name="pump", daemon=True).start()
app = App()
HERE = os.getpid()

@app.get("/pid")
async def pid():
    return os.getpid()

@app.get("/imported")
async def imported():
    return HERE
"""


def test_preloaded_apps_are_imported_once(folder: Path) -> None:
    (folder / "it.py").write_text(PRELOADED)
    with running(folder, "--preload") as server:
        assert server.log.count("imported\n") == 1
        assert "the app has started the thread 'pump'" in server.log
        url = f"{server.url}/imported"
        assert httpx.get(url, timeout=PATIENCE).json() == server.process.pid
        assert server.process.pid not in pids_that_answer(server, 2)
        server.process.send_signal(signal.SIGHUP)
        server.expect("the app's code stays as it was")
        server.expect("takes the place of worker", 2)
    (folder / "it.py").write_text("import nothing_of_that_name")
    with launched("it:app", "--preload", app_dir=folder) as server:  # one worker has a parent, too
        assert server.wait() == 1
        assert "Started worker" not in server.log


# ---- auto ----------------------------------------------------------------------------------


def test_auto_is_the_affinity_of_the_process(folder: Path) -> None:
    prefix = (
        sys.executable,
        "-c",
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "os.execv(sys.argv[1], sys.argv[1:])",
    )
    with launched("it:app", "--workers", "auto", app_dir=folder, prefix=prefix) as server:
        server.expect(READY)
        assert "Started worker" not in server.log  # one needs no parent
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("own", "files", "count"),
    [
        ("0::/a/b\n", {"cpu.max": "max 100000"}, 64),
        ("0::/a/b\n", {"cpu.max": "150000 100000"}, 2),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000"}, 1),
        (
            "4:cpu,cpuacct:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "400000", "cpu/x/cpu.cfs_period_us": "100000"},
            4,
        ),
        (
            "4:cpuset:/x\n3:cpuacct,cpu:/x\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            64,
        ),
        ("nonsense", {"cpu.max": "100000 100000"}, 64),
        (None, {}, 64),
    ],
)
def test_limits_of_cgroups(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: str | None,
    files: dict[str, str],
    count: int,
) -> None:
    from fluvial._serving.cpus import usable_cpus

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(64))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    if own is not None:
        (tmp_path / "own").write_text(own)
    assert usable_cpus(tmp_path, tmp_path / "own") == count
