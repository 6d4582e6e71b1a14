"""`fluvial.GunicornWorker` in a real gunicorn, as its users start it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fluvial import App
from fluvial._serving.gunicorn_hooks import Hooks
from gunicorn.config import Config as GunicornConfig
from support.command import PATIENCE, ServerProcess
from support.workers import until

GUNICORN = str(Path(sys.executable).with_name("gunicorn"))
APP = """
import asyncio, os, sys, time
from fluvial import App

VERSION = 1
app = App()

@app.get("/")
async def index():
    return [os.getpid(), VERSION]

@app.get("/slow")
async def slow(name: str):
    print("slow has begun", flush=True)
    while not os.path.exists(name):
        await asyncio.sleep(0.01)
    return "done"

@app.get("/block")
async def block():
    time.sleep(1000)

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    start = {"type": "http.response.start", "status": 200, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": b"asgi " + scope["scheme"].encode()})

def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi ", environ["wsgi.url_scheme"].encode()]

broken = App()

@broken.on_event("startup")
async def fails():
    raise RuntimeError("no database")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it.py").write_text(APP)
    return tmp_path


@contextlib.contextmanager
def running(
    folder: Path, *options: str, app: str = "it:app", bind: str = "127.0.0.1:0"
) -> Iterator[ServerProcess]:
    """gunicorn, ready to serve. What is left after the block is killed."""
    command = [GUNICORN, "-k", "fluvial.GunicornWorker", "--no-control-socket", "-b", bind]
    server = ServerProcess([*command, *options, app], {}, folder)
    try:
        server.expect("Fluvial running on")
        yield server
    except BaseException as exc:
        exc.add_note(f"gunicorn's log:\n{server.log}")
        raise
    finally:
        server.stop(signal.SIGKILL)


def ask(server: ServerProcess, path: str = "/", **options: str) -> httpx.Response:
    return httpx.get(server.url + path, params=options, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("app", "body"), [("it:app", ",1]"), ("it:asgi", "asgi http"), ("it:wsgi", "wsgi http")]
)
def test_apps_of_each_kind(folder: Path, app: str, body: str) -> None:
    with running(folder, "--access-logfile", "-", app=app) as server:
        response = ask(server)
        assert response.headers["server"] == "fluvial"
        assert response.text.endswith(body)
        server.expect('"GET / HTTP/1.1" 200')
        assert server.stop() == 0


def test_a_stop_finishes_requests(folder: Path) -> None:
    with running(folder) as server:
        url = httpx.URL(server.url)
        request = b"GET /slow?name=go HTTP/1.1\r\nHost: x\r\n\r\n"
        with contextlib.closing(_connect(url)) as sock:
            sock.sendall(request)
            server.expect("slow has begun")
            server.process.send_signal(signal.SIGTERM)
            server.expect("Handling signal: term")
            (folder / "go").touch()
            answer = b""
            while piece := sock.recv(4096):
                answer += piece
            assert answer.endswith(b'"done"')
        assert server.wait() == 0


def _connect(url: httpx.URL) -> socket.socket:
    sock = socket.create_connection((url.host, url.port or 80))
    sock.settimeout(PATIENCE)
    return sock


def test_sigusr1_opens_the_access_log_anew(folder: Path) -> None:
    log = folder / "access.log"
    with running(folder, "--access-logfile", str(log)) as server:
        ask(server)
        until(lambda: log.exists() and "GET / " in log.read_text())
        log.rename(folder / "old.log")
        server.process.send_signal(signal.SIGUSR1)
        until(log.exists)

        def is_told() -> bool:
            ask(server, "/none")
            return "GET /none" in log.read_text()

        until(is_told)
        assert server.stop() == 0


def test_the_proxy_protocol(folder: Path) -> None:
    with running(folder, "--proxy-protocol", "--access-logfile", "-") as server:
        with contextlib.closing(_connect(httpx.URL(server.url))) as sock:
            sock.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 1234 80\r\n")
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        server.expect(r"192\.0\.2\.7 .*\"GET / HTTP/1.1\" 200")
        assert server.stop() == 0


def test_unix_sockets(folder: Path) -> None:
    path = folder / "s"
    with running(folder, bind=f"unix:{path}") as server:
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, timeout=PATIENCE) as client:
            assert client.get("http://x/").json()[1] == 1
        assert server.stop() == 0


def test_workers_are_replaced_after_max_requests(folder: Path) -> None:
    with running(folder, "--max-requests", "3") as server:
        first = ask(server).json()[0]
        until(lambda: ask(server).json()[0] != first)
        server.expect("Autorestarting worker after")
        server.stop()


def test_a_loop_that_stands_still_is_replaced(folder: Path) -> None:
    with running(folder, "--timeout", "8") as server:
        with contextlib.suppress(httpx.TransportError):
            ask(server, "/block")
        server.expect("WORKER TIMEOUT")
        server.expect("Fluvial running on", 2)  # the old one, which is told so first, has ended
        assert ask(server).json()[1] == 1


def test_a_restart_reads_the_code_again(folder: Path) -> None:
    with running(folder) as server:
        (folder / "it.py").write_text(APP.replace("VERSION = 1", "VERSION = 1000"))
        server.process.send_signal(signal.SIGHUP)
        server.expect("Fluvial running on", 2)
        until(lambda: ask(server).json()[1] == 1000)
        assert server.stop() == 0


def test_reload(folder: Path) -> None:
    with running(folder, "--reload", "--reload-engine", "poll") as server:
        (folder / "it.py").write_text(APP.replace("VERSION = 1", "VERSION = 1000"))

        def is_new() -> bool:
            """gunicorn's reloader compares with what its first look found, whenever that is."""
            os.utime(folder / "it.py")
            with contextlib.suppress(httpx.TransportError):
                return ask(server).json()[1] == 1000
            return False

        until(is_new)


def test_the_access_log_may_be_a_file(folder: Path) -> None:
    log = folder / "access"
    with running(folder, "--access-logfile", str(log)) as server:
        ask(server, "/first")
        until(lambda: "/first" in log.read_text())
        log.rename(folder / "rotated")
        server.process.send_signal(signal.SIGUSR1)
        until(log.exists)

        def is_logged() -> bool:
            """gunicorn makes the file before its workers, which hear of it later, open it."""
            ask(server, "/second")
            return "/second" in log.read_text()

        until(is_logged)
        assert server.stop() == 0


def test_a_startup_that_fails_ends_gunicorn(folder: Path) -> None:
    command = [GUNICORN, "-k", "fluvial.GunicornWorker", "-b", "127.0.0.1:0", "--no-control-socket"]
    server = ServerProcess([*command, "it:broken"], {}, folder)
    assert server.wait() == 3
    assert "Application startup failed" in server.log
    assert "no database" in server.log


# ---- Hooks of requests --------------------------------------------------------------------------

HOOKS = """
import json

def seen(req):
    headers = dict(req.headers)
    return [req.method, req.uri, req.path, req.query, req.version, headers["X-TEST"], req.scheme]

def pre_request(worker, req):
    if req.path == "/refused":
        raise ValueError("refused by a hook")
    print("PRE", worker.pid, json.dumps(seen(req)), flush=True)

def post_request(worker, req, environ, resp):
    told = [resp.status, resp.status_code, dict(resp.headers).get("X-Answer"), resp.sent]
    of = [environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["HTTP_X_TEST"]]
    print("POST", json.dumps([seen(req), of, told]), flush=True)
    raise RuntimeError("after the response")
"""
HOOKED = """
from fluvial import App, Response

native = App()

@native.get("/{name}")
async def get(name: str):
    if name == "fails":
        raise RuntimeError("on purpose")
    return Response(b"1234", status_code=201, headers={"X-Answer": "yes"})

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    if scope["path"] == "/fails":
        raise RuntimeError("on purpose")
    headers = iter([(b"X-Answer", b"yes")])
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": b"12", "more_body": True})
    await send({"type": "http.response.body", "body": b"34"})

def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/fails":
        raise RuntimeError("on purpose")
    write = start_response("201 Created", [("X-Answer", "yes")])
    if environ["PATH_INFO"] == "/whole":
        return [b"1234"]
    write(b"12")
    return [b"34"]
"""


@pytest.mark.parametrize("app", ["native", "asgi", "wsgi"])
def test_hooks_of_requests(folder: Path, app: str) -> None:
    (folder / "hooked.py").write_text(HOOKED)
    (folder / "conf.py").write_text(HOOKS)
    with running(folder, "-c", "conf.py", app=f"hooked:{app}") as server:

        def get(path: str) -> httpx.Response:
            return httpx.get(f"{server.url}{path}", headers={"X-Test": "1"}, timeout=PATIENCE)

        response = get("/a%20b?c=d")
        assert (response.status_code, response.content) == (201, b"1234")
        assert response.headers["x-answer"] == "yes"
        req = ["GET", "/a%20b?c=d", "/a b", "c=d", [1, 1], "1", "http"]
        (told,) = server.expect(r"PRE \d+ (.*)")
        assert json.loads(told) == req
        (told,) = server.expect(r"POST (.*)")
        resp = ["201 Created", 201, "yes", 4]
        posted, environ, answer = json.loads(told)
        assert (posted, environ) == (req, ["GET", "/a b", "1"])
        # The names of native responses are in lower case.
        assert answer in (resp, [*resp[:2], None, 4])
        server.expect("Exception in post_request hook")
        assert get("/fails").status_code == 500
        told = server.expect(r"POST (.*)", 2)[1]
        assert json.loads(told)[2][:2] == ["500 Internal Server Error", 500]
        assert get("/refused").status_code == 500
        server.expect("ValueError: refused by a hook")
        told = server.expect(r"POST (.*)", 3)[2]  # gunicorn calls it all the same
        assert json.loads(told)[2][1] == 500
        if app == "wsgi":
            assert get("/whole").headers["content-length"] == "4"
        assert server.stop() == 0


def test_hooks_that_are_not_set_leave_the_app_alone() -> None:
    log = SimpleNamespace(error_log=logging.getLogger("quiet"))
    worker = SimpleNamespace(cfg=GunicornConfig(), log=log)
    app = App()
    assert Hooks.of(worker).around(app) is app
    assert app.user_middleware == []
    worker.cfg.set("pre_request", lambda worker, req: None)
    Hooks.of(worker).around(app)
    assert len(app.user_middleware) == 1


@pytest.mark.parametrize(("allowed", "trusted"), [("127.0.0.1", "192.0.2.1"), ("192.0.2.1", "*")])
def test_who_may_send_a_header_of_the_proxy_protocol(
    folder: Path, allowed: str, trusted: str
) -> None:
    options = ("--proxy-allow-from", allowed, "--forwarded-allow-ips", trusted)
    with (
        running(folder, "--proxy-protocol", *options) as server,
        contextlib.closing(_connect(httpx.URL(server.url))) as sock,
    ):
        with contextlib.suppress(ConnectionError):
            sock.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 1234 80\r\n")
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        if allowed == "127.0.0.1":
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        else:
            server.expect("Closed a connection from 127.0.0.1.*: it isn't one of --proxy-allow")
