"""Signals: what stops a server, how long that takes at most, and what is ignored."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from support.command import PATIENCE, ServerProcess, command_of, launched, serving

APP = """
import asyncio, atexit, contextlib, ctypes, functools, itertools, logging, operator, os
import signal, threading, time
from fluvial import App

mode = os.environ.get("MODE", "")

def hang(kind):
    print("hangs", flush=True)
    if kind == "sleep":
        time.sleep(1000)
    if kind == "compute":
        sum(itertools.repeat(1))  # keeps the GIL, looks at no signal
    if kind.startswith("unseen"):
        # Between these calls, which C makes, Python doesn't look for signals.
        kill = functools.partial(ctypes.PyDLL(None).kill, os.getpid(), int(kind.split()[1]))
        list(map(operator.call, [kill, functools.partial(time.sleep, 1000)]))
    while kind == "refuse":
        with contextlib.suppress(BaseException):
            time.sleep(1000)

async def hang_async(kind):
    if kind == "await":
        print("hangs", flush=True)
        await asyncio.Event().wait()
    if kind == "thread":
        print("hangs", flush=True)
        await asyncio.to_thread(time.sleep, 1000)
    if kind == "swallow":
        print("hangs", flush=True)
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1000)
    hang(kind)

if mode.startswith("import "):
    hang(mode.removeprefix("import "))
if mode.startswith("ready "):
    class Ready(logging.StreamHandler):
        def emit(self, record):
            super().emit(record)
            os.kill(os.getpid(), int(mode.removeprefix("ready ")))
            self.setLevel("ERROR")
    logging.getLogger("fluvial").addHandler(Ready())
if mode == "atexit":
    atexit.register(hang, "sleep")
if mode == "no stacks":  # as faulthandler leaves it when the interpreter has ended
    import faulthandler
    from fluvial._serving import stacks
    threading._register_atexit(faulthandler.unregister, stacks.SIGNAL)
    threading.Thread(target=time.sleep, args=(1000,)).start()
if mode == "thread":
    threading.Thread(target=time.sleep, args=(1000,)).start()
if mode == "files":
    class Wait:
        def __init__(self, what):
            print(what, flush=True)
            while not os.path.exists(what):
                time.sleep(0.01)
    Wait("importing")
    atexit.register(Wait, "exiting")

@contextlib.asynccontextmanager
async def lifespan(app):
    if mode.startswith("start "):
        await hang_async(mode.removeprefix("start "))
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "chained":
        before = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *args: (print("seen", flush=True), before(*args)))
    if mode == "files":
        Wait("starting")
    yield
    if mode.startswith("end "):
        await hang_async(mode.removeprefix("end "))
    if mode == "files":
        Wait("ending")
    print("app stopped", flush=True)

app = App(lifespan=lifespan)

@app.get("/async/{kind}")
async def handler(kind: str):
    await hang_async(kind)

@app.get("/def/{kind}")
def blocking(kind: str):
    hang(kind)

@app.get("/slow")
async def slow(name: str):
    print("waits", flush=True)
    while not os.path.exists(name):
        await asyncio.sleep(0.01)
    return "finished"

@app.get("/forked")
async def forked():
    pid = os.fork()
    if pid == 0:
        print("forked", flush=True)
        time.sleep(1000)
        os._exit(0)
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

async def scope_only(scope, receive, send):
    assert scope["type"] == "lifespan"
    await hang_async(mode.removeprefix("start "))
"""

# Seconds. What ends in time ends in half a second; what the guard has to end takes all of it.
QUICK = ("--graceful-timeout", "0.3", "--cleanup-timeout", "0.5")
# With these only what doesn't wait for a deadline ends while a test has patience.
PATIENT = ("--graceful-timeout", "1000", "--cleanup-timeout", "1000")
WORKERS = [(), ("--workers", "2")]
STOPS = [signal.SIGINT, signal.SIGTERM]
IGNORED = ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it.py").write_text(APP)
    return tmp_path


def request(server: ServerProcess, path: str) -> concurrent.futures.Future[httpx.Response]:
    """Asks in a thread of its own."""
    answer: concurrent.futures.Future[httpx.Response] = concurrent.futures.Future()

    def ask() -> None:
        try:
            answer.set_result(httpx.get(server.url + path, timeout=PATIENCE))
        except httpx.TransportError as exc:
            answer.set_exception(exc)

    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.submit(ask)
    pool.shutdown(wait=False)
    return answer


def deliver(pid: int, number: int) -> None:
    """Sends a signal and returns when it isn't pending any more, so that a second one is seen."""
    os.kill(pid, number)
    bit = 1 << (number - 1)
    deadline = time.monotonic() + PATIENCE
    while pending(pid) & bit:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def pending(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^ShdPnd:\s*(\w+)", status, re.MULTILINE)[1], 16)  # type: ignore[index]


def interrupt_twice(server: ServerProcess, workers: tuple[str, ...]) -> None:
    deliver(server.process.pid, signal.SIGINT)
    if workers:
        server.expect("sending SIGTERM to")
    server.stop(signal.SIGINT)


# ---- The start -----------------------------------------------------------------------------


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("mode", ["import sleep", "start await", "start sleep"])
def test_the_first_signal_ends_a_start(
    folder: Path, mode: str, number: int, workers: tuple[str, ...]
) -> None:
    with launched("it:app", *PATIENT, *workers, app_dir=folder, env={"MODE": mode}) as server:
        server.expect("hangs", 2 if workers else 1)
        assert server.stop(number) == (130 if number == signal.SIGINT and not workers else 0)


@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("when", ["import", "start"])
def test_a_signal_just_before_a_call_that_blocks(folder: Path, when: str, number: int) -> None:
    """Python looks for signals before the call, and after it."""
    mode = f"{when} unseen {int(number)}"
    with launched("it:app", *PATIENT, app_dir=folder, env={"MODE": mode}) as server:
        assert server.wait() == (130 if number == signal.SIGINT else 0)


@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("mode", ["start await", "start sleep"])
def test_the_first_signal_ends_the_start_of_an_asgi_app(
    folder: Path, mode: str, number: int
) -> None:
    with launched("it:scope_only", *PATIENT, app_dir=folder, env={"MODE": mode}) as server:
        server.expect("hangs")
        assert server.stop(number) == (130 if number == signal.SIGINT else 0)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize(
    "mode",
    ["import refuse", "import compute", "start thread", "start swallow", "start compute"],
)
def test_a_start_that_refuses_to_end(folder: Path, mode: str, workers: tuple[str, ...]) -> None:
    with launched("it:app", *QUICK, *workers, app_dir=folder, env={"MODE": mode}) as server:
        server.expect("hangs", 2 if workers else 1)
        server.stop()


@pytest.mark.parametrize("mode", ["import sleep", "import compute", "start await", "start sleep"])
def test_workers_end_with_their_parent_while_they_start(folder: Path, mode: str) -> None:
    options = ("--workers", "2", *QUICK)
    with launched("it:app", *options, app_dir=folder, env={"MODE": mode}) as server:
        server.expect("hangs", 2)
        server.stop(signal.SIGKILL)  # returns when no process has the log's pipe any more


# ---- The end -------------------------------------------------------------------------------

REFUSALS = [
    "/async/sleep",
    "/async/compute",
    "/async/swallow",
    "/async/refuse",
    "/async/thread",
    "/def/sleep",
    "/def/compute",
]


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("path", REFUSALS)
def test_stopping_is_bounded(folder: Path, path: str, workers: tuple[str, ...]) -> None:
    with launched("it:app", *QUICK, *workers, app_dir=folder) as server:
        server.wait_until_ready()
        request(server, path)
        server.expect("hangs")
        assert server.stop() == 0


@pytest.mark.parametrize("path", ["/async/sleep", "/async/compute", "/def/sleep"])
def test_what_keeps_a_stop_from_ending_is_shown(folder: Path, path: str) -> None:
    with launched("it:app", *QUICK, app_dir=folder) as server:
        server.wait_until_ready()
        request(server, path)
        server.expect("hangs")
        assert server.stop() == 0
        assert "The server did not stop in time" in server.log
        assert re.search(r'File ".*it.py", line \d+ in hang\n', server.log)


def test_a_deadline_after_the_end_of_faulthandler(folder: Path) -> None:
    with launched("it:app", *QUICK, app_dir=folder, env={"MODE": "no stacks"}) as server:
        server.wait_until_ready()
        assert server.stop() == 0
        assert "The server did not stop in time" in server.log


def test_stacks_that_nobody_reads_hold_nothing_up(folder: Path) -> None:
    """The pipe of the log is full when the stacks are to be written."""
    read, write = os.pipe()
    command = command_of("it:app", folder, *QUICK)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=write, text=True)
    try:
        assert process.stdout is not None
        port = re.search(r":(\d+) ", os.read(read, 1000).decode())
        assert port is not None
        with socket.create_connection(("127.0.0.1", int(port[1]))) as sock:
            sock.sendall(b"GET /async/compute HTTP/1.1\r\nHost: x\r\n\r\n")
            assert process.stdout.readline() == "hangs\n"
            size = fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
            os.write(write, b"x" * (size - 200))  # the first line fits, the stacks don't
            process.terminate()
            assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        os.close(read)
        os.close(write)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("mode", ["end await", "end sleep", "end compute", "atexit", "thread"])
def test_the_end_of_the_app_is_bounded(folder: Path, mode: str, workers: tuple[str, ...]) -> None:
    with launched("it:app", *QUICK, *workers, app_dir=folder, env={"MODE": mode}) as server:
        server.wait_until_ready()
        assert server.stop() == 0


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("path", REFUSALS)
def test_a_second_interrupt_ends_anything(
    folder: Path, path: str, workers: tuple[str, ...]
) -> None:
    options = ("--graceful-timeout", "1000", "--cleanup-timeout", "0.5", *workers)
    with launched("it:app", *options, app_dir=folder) as server:
        server.wait_until_ready()
        request(server, path)
        server.expect("hangs")
        interrupt_twice(server, workers)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("mode", ["end await", "end sleep"])
def test_a_second_interrupt_ends_the_lifespan_s_end(
    folder: Path, mode: str, workers: tuple[str, ...]
) -> None:
    options = ("--graceful-timeout", "1000", "--cleanup-timeout", "0.5", *workers)
    with launched("it:app", *options, app_dir=folder, env={"MODE": mode}) as server:
        server.expect("Fluvial running on", 2 if workers else 1)
        server.process.send_signal(signal.SIGINT)
        server.expect("hangs", 2 if workers else 1)
        server.stop(signal.SIGINT)


@pytest.mark.parametrize("workers", WORKERS)
def test_a_second_sigterm_cuts_nothing_off(folder: Path, workers: tuple[str, ...]) -> None:
    """A service manager signals each process, besides what the parent passes on."""
    with launched("it:app", *PATIENT, *workers, app_dir=folder) as server:
        server.wait_until_ready()
        answer = request(server, "/slow?name=go")
        server.expect("waits")
        parent = psutil.Process(server.process.pid)
        everyone = [parent, *parent.children()]
        for _ in range(2):
            for process in everyone:
                with contextlib.suppress(ProcessLookupError, FileNotFoundError):
                    deliver(process.pid, signal.SIGTERM)  # an idle worker ends at once
        (folder / "go").touch()
        assert answer.result(PATIENCE).json() == "finished"
        assert server.wait() == 0
        assert "app stopped" in server.log


def test_one_interrupt_for_each_process_cuts_nothing_off(folder: Path) -> None:
    with launched("it:app", *PATIENT, "--workers", "2", app_dir=folder) as server:
        server.wait_until_ready()
        answer = request(server, "/slow?name=go")
        server.expect("waits")
        parent = psutil.Process(server.process.pid)
        for process in [*parent.children(), parent]:
            deliver(process.pid, signal.SIGINT)
        server.expect("sending SIGTERM to")
        (folder / "go").touch()
        assert answer.result(PATIENCE).json() == "finished"
        assert server.wait() == 0


def test_workers_that_hear_nothing_are_killed(folder: Path) -> None:
    options = ("--workers", "2", *QUICK)
    with launched("it:app", *options, app_dir=folder, env={"MODE": "deaf"}) as server:
        server.expect("Fluvial running on", 2)
        assert server.stop() == 0
        assert server.log.count("did not stop in time and was killed") == 2


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_that_comes_with_the_start_line_interrupts_nothing(
    folder: Path, number: int
) -> None:
    with launched("it:app", *PATIENT, app_dir=folder, env={"MODE": f"ready {number}"}) as server:
        assert server.wait() == 0
        assert "Fluvial running on" in server.log
        assert "app stopped" in server.log


def test_a_handler_of_the_app_s_may_call_the_server_s(folder: Path) -> None:
    with launched("it:app", *PATIENT, app_dir=folder, env={"MODE": "chained"}) as server:
        server.wait_until_ready()
        assert server.stop() == 0
        assert "seen\n" in server.log
        assert "app stopped" in server.log


def test_what_an_app_forks_dies_of_sigterm(folder: Path) -> None:
    with launched("it:app", *PATIENT, app_dir=folder) as server:
        server.wait_until_ready()
        assert httpx.get(f"{server.url}/forked", timeout=PATIENCE).json() == -signal.SIGTERM
        assert server.stop() == 0


# ---- Signals without a meaning -------------------------------------------------------------


@pytest.mark.parametrize("name", IGNORED)
def test_signals_are_ignored_from_the_start_to_the_end(folder: Path, name: str) -> None:
    number = getattr(signal, name)
    with launched("it:app", *PATIENT, app_dir=folder, env={"MODE": "files"}) as server:
        for times, step in enumerate(["importing", "starting", "ending", "exiting"]):
            server.expect(step)
            if name not in {"SIGTTIN", "SIGTTOU"} or times == 0:  # else: ignored silently
                server.process.send_signal(number)
                server.expect(f"WARNING Ignoring {name}", times + 1)
            else:
                server.process.send_signal(number)
            (folder / step).touch()
            if step == "starting":
                server.wait_until_ready()
                server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert "app stopped" in server.log


@pytest.mark.parametrize("name", IGNORED)
def test_parents_and_workers_ignore_them_too(folder: Path, name: str) -> None:
    with launched("it:app", "--workers", "2", *PATIENT, app_dir=folder) as server:
        server.expect("Fluvial running on", 2)
        parent = psutil.Process(server.process.pid)
        means = name != "SIGUSR1"  # to a parent, see test_rolling.py and test_succession.py
        for times, process in enumerate(
            parent.children() if means else [parent, *parent.children()]
        ):
            process.send_signal(getattr(signal, name))
            server.expect(f"WARNING Ignoring {name}", times + 1)
        assert httpx.get(f"{server.url}/nothing").status_code == 404
        assert server.stop() == 0
        assert server.log.count("Started worker") == 2


@pytest.mark.parametrize("workers", WORKERS)
def test_what_nohup_ignores_stays_ignored(folder: Path, workers: tuple[str, ...]) -> None:
    prefix = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    with launched("it:app", *workers, app_dir=folder, prefix=prefix) as server:
        server.wait_until_ready()
        server.process.send_signal(signal.SIGHUP)
        server.process.send_signal(signal.SIGUSR1)  # comes second
        server.expect("Ignoring SIGUSR1")
        assert server.stop() == 0
        assert "SIGHUP" not in server.log


LATE = """
import asyncio, os, signal
from fluvial import App

app = App()
close = asyncio.Runner.close

def close_and_stop(runner):
    close(runner)
    os.kill(os.getpid(), signal.SIGINT)
    print("closed", flush=True)

asyncio.Runner.close = close_and_stop
"""


@pytest.mark.parametrize("workers", WORKERS)
def test_a_signal_that_finds_the_loop_closed(tmp_path: Path, workers: tuple[str, ...]) -> None:
    (tmp_path / "it.py").write_text(LATE)
    with launched("it:app", *workers, app_dir=tmp_path) as server:
        server.wait_until_ready()
        status = server.stop()
        # The signal hurries what is left: a slow exit is ended.
        assert status == 0 or (status == 130 and "did not stop in time" in server.log)
        assert "closed" in server.log
        assert "Traceback" not in server.log


AT_THE_EDGES = """
import functools, os, signal, sys, threading
from fluvial import App
from fluvial._serving.config import Config
from fluvial._serving.load import make_app
from fluvial._serving.run import start
from fluvial._serving.signals import StopSignals

method, number, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
original = getattr(StopSignals, method)

def signalled(self, *args):
    original(self, *args)
    print("signalled", flush=True)
    signal.pthread_kill(threading.get_ident(), number)  # no other thread takes it

app = App()
if method == "open":
    StopSignals.open = signalled
else:  # what ends the service comes from the service
    started = StopSignals.started
    def stop(self):
        started(self)
        os.kill(os.getpid(), signal.SIGTERM)
        StopSignals.detach = signalled
    StopSignals.started = stop
load = functools.partial(make_app, app, "app", factory=False, interface="auto")
config = Config(port=0, workers=workers)
sys.exit(start(load, config, to_the_end=True))
"""


# SIGTERM after the service is nothing to be seen: the process ends anyway.
EDGES = [("open", signal.SIGINT), ("open", signal.SIGTERM), ("detach", signal.SIGINT)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("method", "number"), EDGES)
def test_a_signal_before_and_after_the_service(
    tmp_path: Path, method: str, number: int, workers: int
) -> None:
    script = tmp_path / "script.py"
    script.write_text(AT_THE_EDGES)
    process = subprocess.Popen(
        [sys.executable, str(script), method, str(int(number)), str(workers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        if workers > 1 and method == "detach":  # others take the places of those that have ended
            assert process.stdout is not None
            assert process.stdout.readline() == "signalled\n"
            process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=PATIENCE)
    except BaseException:
        process.terminate()
        print(*process.communicate())  # for the report
        raise
    assert "Traceback" not in errors
    if workers == 1:
        assert "signalled" in output
        assert process.returncode == (0 if number == signal.SIGTERM else 130)


def test_run_leaves_signals_as_they_were(folder: Path) -> None:
    script = folder / "script.py"
    script.write_text(
        "import faulthandler, os, signal, threading\n"
        "from fluvial import App, Config, run\n"
        "faulthandler.register(signal.SIGUSR1)\n"
        "numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)\n"
        "before = [signal.getsignal(number) for number in numbers]\n"
        "app = App()\n"
        "def stop():\n"
        "    for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM):\n"
        "        os.kill(os.getpid(), number)\n"
        "import contextlib\n"
        "@contextlib.asynccontextmanager\n"
        "async def lifespan(app):\n"
        "    threading.Timer(0.1, stop).start()\n"
        "    yield\n"
        "app = App(lifespan=lifespan)\n"
        "run(app, Config(port=0, graceful_timeout=0, cleanup_timeout=0.1))\n"
        "assert before == [signal.getsignal(number) for number in numbers]\n"
        "import time\n"
        "time.sleep(0.5)  # no deadline is left\n"
        "print('goes on', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stdout == "goes on\n", done.stderr
    assert done.returncode == -signal.SIGTERM
    assert "Ignoring SIGHUP" in done.stderr
    assert "most recent call first" in done.stderr  # faulthandler's, which stays in place


# A library that the command imports: it takes long, as on a slow disk.
SLOW_LIBRARY = """
import time
print("importing", flush=True)
time.sleep(600)
"""
COMMANDS = {
    "fluvial": [str(Path(sys.executable).with_name("fluvial"))],
    "python -m": [sys.executable, "-m", "fluvial"],
}


@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize("library", ["click", "msgspec"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_signal_while_the_command_is_imported(
    tmp_path: Path, command: str, library: str, number: signal.Signals
) -> None:
    (tmp_path / f"{library}.py").write_text(SLOW_LIBRARY)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    with subprocess.Popen(
        [*COMMANDS[command], "run", "it:app"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "importing\n"
            process.send_signal(number)
            assert process.wait(PATIENCE) == (130 if number == signal.SIGINT else 0)
            assert process.stdout.read() == ""
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["fluvial.py", "other.py"])
def test_programs_keep_their_signals(tmp_path: Path, name: str) -> None:
    """Only the command's are ours from the first; not those of who imports fluvial."""
    script = tmp_path / name
    script.write_text(
        "import signal, sys; sys.path.pop(0); import fluvial\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    )
    subprocess.run([sys.executable, str(script), "run"], check=True, timeout=PATIENCE)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_delay_for_load_balancers(workers: int) -> None:
    options = ("--health", "--drain-delay", "60", "--cleanup-timeout", "60")
    options += ("--workers", str(workers))
    with serving("tutorial:app", *options) as server:
        server.expect("Fluvial running", workers)
        assert httpx.get(f"{server.url}/-/ready").status_code == 200
        os.kill(server.process.pid, signal.SIGTERM)
        server.expect("Not ready any more; still serving for 60 seconds", workers)
        assert httpx.get(f"{server.url}/-/ready").status_code == 503
        assert httpx.get(f"{server.url}/-/live").status_code == 200
        server.process.send_signal(signal.SIGINT)  # ends the delay
        assert server.wait() == 0


ENDS = """
import os, sys
from fluvial import App
app = App()
@app.on_event("shutdown")
def end():
    if not os.path.exists("fine"):
        sys.exit(5)
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_an_end_that_exits(tmp_path: Path, workers: int) -> None:
    (tmp_path / "ends.py").write_text(ENDS)
    with launched("ends:app", "--workers", str(workers), app_dir=tmp_path) as server:
        server.expect("Fluvial running on", workers)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 5


def test_the_end_of_workers_that_were_replaced(tmp_path: Path) -> None:
    """It is no matter of the service's status."""
    (tmp_path / "ends.py").write_text(ENDS)
    with launched("ends:app", "--workers", "2", app_dir=tmp_path) as server:
        server.expect("Fluvial running on", 2)
        server.process.send_signal(signal.SIGHUP)
        server.expect("has ended", 2)
        (tmp_path / "fine").touch()
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
