"""Several workers: whose end counts, what replaces them, how they end."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from support.command import PATIENCE, ServerProcess, launched
from support.workers import pids_that_answer, until, workers_of

APP = """
import atexit, contextlib, os, sys, threading, time
from fluvial import App

mode = os.environ.get("MODE", "")
if mode == "exit":
    sys.exit(4)
if mode == "import error" or os.path.exists("broken import"):
    raise RuntimeError("no such thing")
if mode == "half":
    with contextlib.suppress(FileExistsError):
        open("one", "x").close()
        sys.exit(5)

def at_exit():
    print("atexit called", flush=True)
    sys.stdout.write("not flushed by the app\\n")

def threaded():
    main = threading.main_thread()
    main.join()
    time.sleep(0.1)
    print("thread ended", flush=True)

if mode == "end":
    atexit.register(at_exit)
    threading.Thread(target=threaded).start()

@contextlib.asynccontextmanager
async def lifespan(app):
    if mode == "start" or os.path.exists("broken"):
        raise RuntimeError("no database")
    while mode == "half" and not os.path.exists("go"):
        time.sleep(0.01)
    yield

app = App(lifespan=lifespan)

@app.get("/pid")
def pid():
    return os.getpid()

@app.get("/note")
def note():
    app.notes = open(f"notes.{os.getpid()}", "w")
    app.notes.write("noted")  # kept back until the file is closed

@app.get("/leave")
def leave(status: int):
    os._exit(status)

@app.get("/orphan")
def orphan(status: int):
    read, write = os.pipe()
    if os.fork() == 0:
        parent = os.getpid()
        if os.fork() == 0:
            while os.getppid() == parent:
                time.sleep(0.001)
            os.write(write, os.getpid().to_bytes(4, "big") + os.getppid().to_bytes(4, "big"))
            os._exit(status)
        os._exit(0)
    os.wait()
    ids = os.read(read, 8)
    return [int.from_bytes(ids[:4], "big"), int.from_bytes(ids[4:], "big")]
"""

# What a container's first process is: orphans become its children. PR_SET_CHILD_SUBREAPER is 36.
REAPER = (
    *(sys.executable, "-c"),
    "import ctypes, os, sys; assert not ctypes.CDLL(None).prctl(36, 1, 0, 0, 0);"
    "os.execv(sys.argv[1], sys.argv[1:])",
)
TWO = ("--workers", "2", "--graceful-timeout", "5", "--cleanup-timeout", "5")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it.py").write_text(APP)
    return tmp_path


def kill_one(server: ServerProcess, count: int = 1) -> int:
    """Kills a worker that serves, and returns when the parent has noticed."""
    pid = min(workers_of(server))
    psutil.Process(pid).kill()
    server.expect(rf"Worker {pid} exited with status -9", count)
    return pid


# ---- Whose end counts ----------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 3])
def test_orphans_are_no_workers(folder: Path, status: int) -> None:
    with launched("it:app", *TWO, app_dir=folder, prefix=REAPER) as server:
        server.expect("Fluvial running on", 2)
        for _ in range(3):
            url = f"{server.url}/orphan?status={status}"
            pid, parent = httpx.get(url, timeout=PATIENCE).json()
            assert parent == server.process.pid
            until(lambda pid=pid: not psutil.pid_exists(pid))  # type: ignore[misc]
        kill_one(server)
        server.expect("Started worker .*", 3)
        server.expect("Fluvial running on", 3)
        assert server.log.count("Started worker") == 3
        assert server.log.count("exited with") == 1
        assert server.stop() == 0


@pytest.mark.parametrize("status", [0, 3])
def test_children_from_before_the_start_are_no_workers(folder: Path, status: int) -> None:
    shell = 'sh -c "echo \\$\\$ >child; until test -e go; do sleep 0.01; done; exit $0" & exec "$@"'
    prefix = ("sh", "-c", shell, str(status))
    with launched("it:app", *TWO, app_dir=folder, prefix=prefix) as server:
        server.expect("Fluvial running on", 2)
        child = int((folder / "child").read_text())
        (folder / "go").touch()
        until(lambda: not psutil.pid_exists(child))
        kill_one(server)
        server.expect("Fluvial running on", 3)
        assert server.log.count("Started worker") == 3
        assert server.log.count("exited with") == 1
        assert server.stop() == 0


def test_workers_are_seen_to_end_when_children_are_ignored(folder: Path) -> None:
    """Whoever starts the server may ignore SIGCHLD, which is inherited."""
    ignoring = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN);"
    prefix = (sys.executable, "-c", f"{ignoring} os.execv(sys.argv[1], sys.argv[1:])")
    with launched("it:app", *TWO, app_dir=folder, prefix=prefix) as server:
        server.expect("Fluvial running on", 2)
        kill_one(server)
        server.expect("Fluvial running on", 3)
        assert server.stop() == 0


# ---- Replacements --------------------------------------------------------------------------


@pytest.mark.parametrize("broken", ["broken", "broken import"])
def test_healthy_workers_stay_when_replacements_cannot_start(folder: Path, broken: str) -> None:
    with launched("it:app", *TWO, app_dir=folder) as server:
        server.expect("Fluvial running on", 2)
        (folder / broken).touch()
        healthy = max(workers_of(server))
        kill_one(server)
        pauses = server.expect(r"starting another in ([\d.]+) seconds", 3)
        assert [float(pause) for pause in pauses[:3]] == [1, 2, 4]
        assert httpx.get(f"{server.url}/pid", timeout=PATIENCE).json() == healthy
        (folder / broken).unlink()
        assert healthy in pids_that_answer(server, 2)
        assert server.stop() == 0


def test_a_worker_that_dies_again_and_again_is_started_ever_later(folder: Path) -> None:
    with launched("it:app", *TWO, app_dir=folder) as server:
        server.expect("Fluvial running on", 2)

        def leave() -> bool:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{server.url}/leave?status=7", timeout=PATIENCE)
            return (
                re.search("starting another in [^\n]+\n(?s:.)+ another in", server.log) is not None
            )

        until(leave)
        server.expect("starting another now")
        server.expect(r"starting another in [\d.]+ seconds")
        assert len(pids_that_answer(server, 2)) == 2
        assert server.stop() == 0


@pytest.mark.parametrize(("mode", "status"), [("exit", 4), ("import error", 1), ("start", 3)])
def test_an_app_that_never_starts_ends_the_parent(folder: Path, mode: str, status: int) -> None:
    with launched("it:app", *TWO, app_dir=folder, env={"MODE": mode}) as server:
        assert server.wait() == status
        assert server.log.count("before it was ready") == 2
        assert server.log.count("Started worker") == 2


def test_one_worker_that_starts_is_enough(folder: Path) -> None:
    with launched("it:app", *TWO, app_dir=folder, env={"MODE": "half"}) as server:
        server.expect("exited with status 5 before it was ready")
        (folder / "go").touch()
        server.expect("Fluvial running on", 2)
        assert server.log.count("Started worker") == 3
        assert server.stop() == 0


# ---- The end -------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [(), TWO])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_end_as_processes_of_python_s_do(
    folder: Path, number: int, workers: tuple[str, ...]
) -> None:
    env = {"MODE": "end", "PYTHONUNBUFFERED": ""}
    count = 2 if workers else 1
    with launched("it:app", *workers, app_dir=folder, env=env) as server:
        server.expect("Fluvial running on", count)
        assert server.stop(number) == 0
        for line in ("atexit called\n", "thread ended\n", "not flushed by the app\n"):
            assert server.log.count(line) == count


def test_what_workers_have_not_flushed_is_written(folder: Path) -> None:
    with launched("it:app", *TWO, app_dir=folder) as server:
        server.expect("Fluvial running on", 2)
        assert httpx.get(f"{server.url}/note", timeout=PATIENCE).status_code == 200
        assert server.stop() == 0
        assert [file.read_text() for file in folder.glob("notes.*")] == ["noted"]


# ---- Scripts -------------------------------------------------------------------------------

SCRIPT = """
import multiprocessing, os, pathlib, signal, subprocess, tempfile, threading, time
import fluvial

app = fluvial.App()

def wait_for(name, status=0):
    while not os.path.exists(name):
        time.sleep(0.01)
    os._exit(status)

if __name__ == "__main__":
    made = tempfile.TemporaryDirectory()
    daemon = multiprocessing.Process(target=wait_for, args=["never"], daemon=True)
    daemon.start()
    process = multiprocessing.Process(target=wait_for, args=["go", 7])
    process.start()
    shell = "until test -e go; do sleep 0.01; done; exit 9"
    popen = subprocess.Popen(["sh", "-c", shell])
    before, _ = os.pipe(), signal.set_wakeup_fd(-1)
    os.set_blocking(before[1], False)
    signal.set_wakeup_fd(before[1])
    try:
        fluvial.run(app, port=0, workers=2)
    finally:
        print("run() is over", flush=True)
    assert signal.set_wakeup_fd(-1) == before[1]
    process.join()
    print("statuses:", process.exitcode, popen.wait(), flush=True)
    print("still there:", os.path.exists(made.name), daemon.is_alive(), flush=True)
"""


def test_what_a_script_has_made_stays_the_script_s(tmp_path: Path) -> None:
    """Its children, whose statuses it asks for, and what its own end removes."""
    (tmp_path / "script.py").write_text(SCRIPT)
    server = ServerProcess([sys.executable, "script.py"], {}, tmp_path)
    try:
        server.expect("Fluvial running on", 2)
        for times in range(2):
            worker = sorted(workers_of(server))[-1]
            psutil.Process(worker).terminate()
            server.expect(f"Worker {worker} exited with status 0")
            server.expect("Fluvial running on", 3 + times)
        (tmp_path / "go").touch()  # these children end, while workers are watched
        until(lambda: zombies(server.process.pid) == 2)
        assert server.stop() == 0
        assert "statuses: 7 9\n" in server.log
        assert "still there: True True\n" in server.log
        assert server.log.count("run() is over") == 1
        assert "Traceback" not in server.log
    finally:
        server.stop(signal.SIGKILL)


ENDING_SCRIPT = """
import atexit, contextlib, sys, threading, time
import fluvial

def end():
    time.sleep(0.2)
    print("thread ended", flush=True)

@contextlib.asynccontextmanager
async def lifespan(app):
    yield
    threading.Thread(target=end).start()

app = fluvial.App(lifespan=lifespan)

if __name__ == "__main__":
    atexit.register(print, "atexit called")
    fluvial.run(app, port=0, workers=2)
    print("run() is over", flush=True)
"""


def test_workers_of_a_script_end_as_processes_of_python_s_do(tmp_path: Path) -> None:
    """They call the script's atexit functions and join threads, but don't return to the script."""
    (tmp_path / "script.py").write_text(ENDING_SCRIPT)
    server = ServerProcess([sys.executable, "script.py"], {"PYTHONUNBUFFERED": ""}, tmp_path)
    try:
        server.expect("Fluvial running on", 2)
        assert server.stop() == 0
        assert server.log.count("thread ended\n") == 2
        assert server.log.count("atexit called\n") == 3
        assert server.log.count("run() is over") == 1
    finally:
        server.stop(signal.SIGKILL)


def zombies(parent: int) -> int:
    children = psutil.Process(parent).children()
    return [child.status() for child in children].count(psutil.STATUS_ZOMBIE)
