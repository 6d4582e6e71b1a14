"""`fluvial run` and what it says."""

from __future__ import annotations

import concurrent.futures
import json
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
from fluvial import __version__, _core
from fluvial._serving.limits import LIMITS, PYTHON_LIMITS
from support import forked
from support.command import URL, serving
from support.forked import FLUVIAL
from support.sanitizer import measures_memory

TIMEOUT = 60

APP = """
import asyncio, contextlib, os, time
from fluvial import App, Body

@contextlib.asynccontextmanager
async def lifespan(app):
    print("app started", flush=True)
    yield
    print("app stopped", flush=True)

app = App(lifespan=lifespan)

@app.get("/pid")
def pid():
    return os.getpid()

@app.get("/slow")
async def slow(seconds: float):
    print("slow started", flush=True)
    await asyncio.sleep(seconds)
    return "finished"

@app.get("/stuck")
def stuck():
    print("stuck started", flush=True)
    time.sleep(1000)

@app.post("/body")
def body(text: str = Body()):
    return len(text)

@app.get("/exit")
def leave():
    os._exit(7)

def make():
    return app

@contextlib.asynccontextmanager
async def broken_lifespan(app):
    raise RuntimeError("no database")
    yield

broken = App(lifespan=broken_lifespan)

async def asgi(scope, receive, send):
    assert scope["type"] == "http"
    if "http.response.debug" in scope["extensions"]:
        await send({"type": "http.response.debug", "info": {"template": "a"}})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it.py").write_text(APP)
    return tmp_path


def fluvial(
    *arguments: str, folder: Path | None = None, fork: bool = True
) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end."""
    return forked.run(
        [FLUVIAL, *arguments],
        fork=fork,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_version_and_help() -> None:
    words = f"fluvial, version {__version__}\nContent codings: gzip, br, zstd\n"
    found = fluvial("--version", fork=False).stdout
    assert found.startswith(words)
    assert f"nghttp2 {_core.nghttp2_version}".rstrip() in found
    text = fluvial("run", "--help", fork=False).stdout
    for flag in ("--host", "--uds", "--workers", "--factory", "--graceful-timeout"):
        assert flag in text
    for limit in LIMITS:
        assert limit.flag in text
    module = [sys.executable, "-m", "fluvial", "--version"]
    assert __version__ in subprocess.run(module, capture_output=True, text=True, check=True).stdout


def test_limits_have_the_defaults_of_the_core() -> None:
    header = Path(__file__).parents[2] / "ext" / "http" / "limits.h"
    struct = (
        header.read_text().partition("typedef struct HttpLimits")[2].partition("} HttpLimits")[0]
    )
    fields = re.findall(r"\buint(?:32|64)_t\s+(\w+);", struct)
    for name in ("h2", "ws_deflate", "cancel_on_disconnect"):  # no numbers: flags of their own
        fields.remove(name)
    limits = [limit for limit in LIMITS if limit.name not in PYTHON_LIMITS]
    assert fields == [limit.name for limit in limits]
    code = header.with_name("server_settings.c").read_text()
    for limit in limits:
        match = re.search(rf"\.{limit.name} = ([\d* ]+)", code)
        assert match is not None, limit.name
        product = 1
        for factor in match[1].split("*"):
            product *= int(factor)
        assert product == limit.default * limit.scale, limit.name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere:app"], "Error: there is no module 'nowhere'"),
        (["it:nope"], "Error: module 'it' has no attribute 'nope'"),
        (["it"], "Error: 'it' must be of the form module:attribute"),
        (["it:os"], "Error: it:os is not an app but an object of type module"),
        (["it:lifespan", "--interface", "fluvial"], "Error: it:lifespan is not a Fluvial app"),
        (["it:app", "--uds", "/nowhere/at/all"], "Error: can't listen on /nowhere/at/all"),
        (
            ["it:app", "--host", "no.such.host.invalid"],
            "Error: can't listen on no.such.host.invalid",
        ),
        (["it:app", "--host", "192.0.2.1"], "Error: can't listen on 192.0.2.1:0"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_mistakes_take_one_line(
    folder: Path, arguments: list[str], message: str, workers: str
) -> None:
    port = () if "--uds" in arguments else ("--port", "0")
    options = (*port, "--workers", workers, "--log-level", "critical")
    done = fluvial("run", *arguments, *options, folder=folder)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert "Traceback" not in done.stderr
    if workers == "1":
        assert done.stderr.count("\n") == 1


def test_wrong_options_are_click_s_own() -> None:
    done = fluvial("run", "it:app", "--port", "x", fork=False)
    assert done.returncode == 2
    assert "Invalid value for '--port'" in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_busy_port(folder: Path, workers: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = fluvial("run", "it:app", "--port", str(port), "--workers", workers, folder=folder)
    expected = f"Error: can't listen on 127.0.0.1:{port}: the port is in use already\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_a_start_that_fails_has_a_status_of_its_own(folder: Path) -> None:
    done = fluvial("run", "it:broken", "--port", "0", folder=folder, fork=False)
    assert done.returncode == 3
    assert "RuntimeError: no database" in done.stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_requests_under_way_are_finished(folder: Path, signum: int) -> None:
    with (
        serving("it:app", app_dir=folder) as server,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        answer = pool.submit(httpx.get, f"{server.url}/slow?seconds=0.5", timeout=TIMEOUT)
        wait_for(lambda: "slow started" in server.log)
        assert server.stop(signum) == 0
        assert answer.result().json() == "finished"
        assert server.log.index("app started") < server.log.index("app stopped")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("path", ["/slow?seconds=1000", "/stuck"])
def test_an_interrupt_stops_at_once_after_another_signal(
    folder: Path, path: str, signum: int
) -> None:
    with (
        serving("it:app", app_dir=folder) as server,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        answer = pool.submit(httpx.get, server.url + path, timeout=TIMEOUT)
        wait_for(lambda: "started\n" in server.log.replace("app started\n", ""))
        server.process.send_signal(signum)
        wait_for(lambda: not can_connect(server.url))
        assert server.stop(signal.SIGINT) == 0
        assert isinstance(answer.exception(), httpx.RemoteProtocolError)
        assert "app stopped" in server.log


def can_connect(url: str) -> bool:
    parts = httpx.URL(url)
    try:
        socket.create_connection((parts.host, parts.port)).close()
    except (ConnectionRefusedError, ConnectionResetError):  # reset: it was still in the queue
        return False
    return True


def test_the_graceful_timeout(folder: Path) -> None:
    options = ("--graceful-timeout", "0.2")
    with (
        serving("it:app", *options, app_dir=folder) as server,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        answer = pool.submit(httpx.get, f"{server.url}/slow?seconds=1000", timeout=TIMEOUT)
        wait_for(lambda: "slow started" in server.log)
        assert server.stop() == 0
        assert isinstance(answer.exception(), httpx.RemoteProtocolError)
        assert "Cut off 1 request after 0.2 seconds: GET /slow (" in server.log


def test_access_log(folder: Path) -> None:
    with serving("it:app", app_dir=folder) as server:
        httpx.get(f"{server.url}/pid?x=1")
        wait_for(lambda: "GET /pid?x=1" in server.log)
    with serving("it:app", "--no-access-log", app_dir=folder) as server:
        httpx.get(f"{server.url}/pid?x=1")
        assert server.stop() == 0
        assert "GET" not in server.log


def test_log_level(folder: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    command = [FLUVIAL, "run", "it:app", "--port", str(port), "--log-level", "warning"]
    process = forked.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: can_connect(f"http://127.0.0.1:{port}"))
    finally:
        process.terminate()
        assert process.communicate(timeout=TIMEOUT)[1] == ""


@pytest.mark.parametrize("options", [(), ("--asgi-debug",)])
def test_asgi_debug(folder: Path, options: tuple[str, ...]) -> None:
    options = ("--log-level", "debug", *options)
    with serving("it:asgi", *options, app_dir=folder) as server:
        assert httpx.get(server.url).text == "page"
    told = "DEBUG http.response.debug: {'template': 'a'}" in server.log
    assert told == ("--asgi-debug" in options)


@pytest.mark.parametrize("options", [(), ("--asgi-extensions",)])
def test_asgi_extensions(folder: Path, options: tuple[str, ...]) -> None:
    (folder / "offered.py").write_text(
        "async def app(scope, receive, send):\n"
        "    offered = ' '.join(scope['extensions']).encode()\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': offered})\n"
    )
    options = ("--lifespan", "off", *options)
    with serving("offered:app", *options, app_dir=folder) as server:
        offered = httpx.get(server.url).text
    assert ("http.response.pathsend" in offered) == ("--asgi-extensions" in options)


def test_factory_and_limits(folder: Path) -> None:
    options = ("--factory", "--limit-body", "10", "--limit-request-line", "100", "--threads", "2")
    with serving("it:make", *options, app_dir=folder) as server:
        assert httpx.post(f"{server.url}/body", json="x" * 8).json() == 8
        assert httpx.post(f"{server.url}/body", json="x" * 9).status_code == 413
        assert httpx.get(f"{server.url}/pid?{'x' * 100}").status_code == 414


def test_ipv6(folder: Path) -> None:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving("it:app", "--host", "::1", app_dir=folder) as server:
        assert server.url.startswith("http://[::1]:")
        assert httpx.get(f"{server.url}/pid").json() == server.process.pid


def test_unix_socket(folder: Path) -> None:
    path = folder / "socket"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()  # its file stays behind
    command = [FLUVIAL, "run", "it:app", "--uds", str(path)]
    process = forked.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as client:
            wait_for(lambda: can_connect_to(path))
            assert client.get("http://x/pid").json() == process.pid
            done = fluvial("run", "it:app", "--uds", str(path), folder=folder)
            assert done.stderr == f"Error: can't listen on {path}: another server listens there\n"
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert not path.exists()
    path.write_text("not a socket")
    done = fluvial("run", "it:app", "--uds", str(path), folder=folder)
    assert "there is a file that is not a socket" in done.stderr


def can_connect_to(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0


# ---- Several processes ---------------------------------------------------------------------


def pids_that_answer(url: str, count: int) -> set[int]:
    found: set[int] = set()
    deadline = time.monotonic() + TIMEOUT
    while len(found) < count:
        assert time.monotonic() < deadline
        found.add(httpx.get(f"{url}/pid").json())
    return found


def test_workers_share_a_port(folder: Path) -> None:
    with serving("it:app", "--workers", "3", app_dir=folder) as server:
        pids = pids_that_answer(server.url, 3)
        assert server.process.pid not in pids
        children = {child.pid for child in psutil.Process(server.process.pid).children()}
        assert children == pids
    assert not any(map(psutil.pid_exists, pids))


def test_a_worker_that_dies_is_replaced(folder: Path) -> None:
    with serving("it:app", "--workers", "2", app_dir=folder) as server:
        before = pids_that_answer(server.url, 2)
        wait_for(lambda: all(age(pid) > 1.5 for pid in before))
        os.kill(min(before), signal.SIGKILL)
        after = {max(before)}
        deadline = time.monotonic() + TIMEOUT
        while len(after) < 2:
            assert time.monotonic() < deadline
            try:
                after.add(httpx.get(f"{server.url}/pid").json())
            except httpx.TransportError:
                continue
        assert min(before) not in after


def test_workers_stop_when_their_parent_is_killed(folder: Path) -> None:
    command = [FLUVIAL, "run", "it:app", "--workers", "2", "--port", "0"]
    process = forked.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    while not (found := URL.search(process.stdout.readline())):
        continue
    pids_that_answer(found.group(), 2)
    process.kill()
    # The pipe is at its end when the last process that writes to it is gone.
    output, _ = process.communicate(timeout=TIMEOUT)
    assert output.count("has lost its parent process; shutting down") == 2
    assert output.count("app stopped") == 2


def test_ctrl_c_reaches_workers_once(folder: Path) -> None:
    command = [FLUVIAL, "run", "it:app", "--workers", "2", "--port", "0"]
    process = forked.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    url = ""
    while not url:
        found = URL.search(process.stdout.readline())
        url = found.group() if found else ""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(httpx.get, f"{url}/slow?seconds=0.5", timeout=TIMEOUT)
        while "slow started" not in process.stdout.readline():
            continue
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert answer.result().json() == "finished"
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


def age(pid: int) -> float:
    return time.time() - psutil.Process(pid).create_time()


@measures_memory
def test_the_tutorial_is_small() -> None:
    with serving("tutorial:app", "--no-access-log", fork=False) as server:
        for path in ("/sync", "/async", "/items/5?q=x"):
            assert httpx.get(server.url + path).status_code == 200
        rss = psutil.Process(server.process.pid).memory_info().rss
    # asyncio and ssl alone take 1 MiB more on 3.14 than on 3.11, and 2.4 on 3.15.
    limit = 35 if sys.version_info < (3, 14) else 40
    assert rss <= limit * 1024 * 1024, json.dumps(rss)
