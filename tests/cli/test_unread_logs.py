"""Logs that nobody reads, or that there is no descriptor for: the server goes on, and stops."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import httpx
import pytest
from support import forked
from support.command import PATIENCE, command_of

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = """
import os
from fluvial import App

app = App()

@app.get("/")
async def index():
    return "page"

@app.get("/fails")
async def fails():
    raise RuntimeError("x" * 2000)

@app.get("/opens")
async def opens(name: str):
    app.opened = os.open(name, os.O_CREAT | os.O_WRONLY)
    return app.opened
"""
COUNT = 4000  # requests; their lines are four times what a pipe takes
WORKERS = [(), ("--workers", "2")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it.py").write_text(APP)
    return tmp_path


@contextmanager
def running(
    folder: Path, *options: str, prefix: tuple[str, ...] = (), **streams: Any
) -> Iterator[subprocess.Popen[bytes]]:
    command = command_of("it:app", folder, "--uds", str(folder / "socket"), *options)
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | streams
    process = forked.Popen([*prefix, *command], stdin=subprocess.DEVNULL, **streams)
    try:
        deadline = time.monotonic() + PATIENCE
        while not can_connect(folder):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        yield process
        assert stop(process) == 0
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def can_connect(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(folder / "socket")) == 0


def stop(process: subprocess.Popen[bytes]) -> int:
    """The output isn't read meanwhile."""
    process.send_signal(signal.SIGTERM)
    return process.wait(PATIENCE)


def ask(folder: Path, path: str, count: int) -> None:
    """Sends so many requests, and returns when all are answered."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(folder / "socket"))
        sock.settimeout(PATIENCE)
        request = f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
        for _ in range(count // 100):
            sock.sendall(request * 100)
            got = b""
            while got.count(b'"page"') < 100:
                more = sock.recv(65536)
                assert more
                got += more


def get(folder: Path, path: str) -> httpx.Response:
    transport = httpx.HTTPTransport(uds=str(folder / "socket"), verify=False)  # it's slow to set up
    with httpx.Client(transport=transport, timeout=PATIENCE) as client:
        return client.get(f"http://x{path}")


@pytest.mark.parametrize("workers", WORKERS)
def test_an_access_log_that_nobody_reads(folder: Path, workers: tuple[str, ...]) -> None:
    with running(folder, *workers, stdout=subprocess.PIPE) as process:
        ask(folder, "/", COUNT)
        assert get(folder, "/").json() == "page"
        assert stop(process) == 0


def test_dropped_lines_are_counted_and_reported(folder: Path) -> None:
    options = ("--access-log-buffer", "16384")
    with running(folder, *options, stdout=subprocess.PIPE) as process:
        ask(folder, "/", COUNT)
        lines, dropped = 0, 0
        assert process.stdout is not None
        for line in process.stdout:
            found = re.fullmatch(rb"WARNING:  access log: (\d+) lines? dropped\n", line)
            if found is not None:
                dropped += int(found[1])
                continue
            assert re.fullmatch(rb'INFO:     .* - "GET /(late)? HTTP/1.1" \d+ .*\n', line)
            lines += b"/late" not in line
            if dropped > 0 and lines + dropped >= COUNT:
                break
            if lines % 100 == 0:
                get(folder, "/late")  # no more than the buffer takes
        assert dropped > 0
        assert lines + dropped >= COUNT


def test_the_number_of_dropped_lines_is_exact(folder: Path) -> None:
    options = ("--access-log-buffer", "16384")
    with running(folder, *options, stdout=subprocess.PIPE) as process:
        ask(folder, "/", COUNT)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        text = process.stdout.read()  # to its end; the last report comes when the server stops
        assert process.wait(PATIENCE) == 0
    dropped = sum(map(int, re.findall(rb"access log: (\d+) lines? dropped\n", text)))
    assert dropped > 0
    assert text.count(b'"GET / HTTP/1.1" 200 OK\n') + dropped == COUNT


@pytest.mark.parametrize("workers", WORKERS)
def test_an_error_log_that_nobody_reads(folder: Path, workers: tuple[str, ...]) -> None:
    options = ("--no-access-log", *workers)
    with running(folder, *options, stderr=subprocess.PIPE) as process:
        for _ in range(100):
            assert get(folder, "/fails").status_code == 500
        for name in ("SIGHUP", "SIGUSR1"):  # logged by the parent as well
            process.send_signal(getattr(signal, name))
        assert stop(process) == 0


def test_dropped_records_are_counted_and_reported(folder: Path) -> None:
    with running(folder, "--no-access-log", stderr=subprocess.PIPE) as process:
        for _ in range(100):
            get(folder, "/fails")
        assert process.stderr is not None
        read_until(process.stderr, rb"RuntimeError: x+\n", 5)
        get(folder, "/fails")
        read_until(process.stderr, rb"\d+ log records dropped\n", 1)


def read_until(stream: IO[bytes], pattern: bytes, count: int) -> None:
    for line in stream:
        count -= re.fullmatch(pattern, line) is not None
        if count == 0:
            return


@pytest.mark.parametrize("workers", WORKERS)
def test_a_log_on_a_full_disk(folder: Path, workers: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full, running(folder, *workers, stdout=full, stderr=full):
        ask(folder, "/", COUNT)
        assert get(folder, "/fails").status_code == 500


def test_a_log_whose_reader_is_gone(folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with running(folder, stdout=writer, stderr=writer):
        ask(folder, "/", COUNT)
        assert get(folder, "/fails").status_code == 500
    os.close(writer)


def test_records_that_found_no_reader_are_counted(folder: Path) -> None:
    log, found = folder / "log", []
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(log, os.O_WRONLY)
    with running(folder, "--no-access-log", stderr=writer):
        started = b""
        while b"running on" not in started:  # or this line counts as well
            assert select.select([reader], [], [], PATIENCE)[0]
            started += os.read(reader, 65536)
        os.close(writer)
        os.close(reader)
        assert get(folder, "/fails").status_code == 500
        with open(log, "rb") as lines:
            assert get(folder, "/fails").status_code == 500
            for line in lines:
                found.append(line)
                if line.startswith(b"RuntimeError: "):
                    break
    assert b"1 log records dropped\n" in found


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_no_file_of_the_app_s_gets_log_lines(
    folder: Path, closed: str, workers: tuple[str, ...]
) -> None:
    prefix = ("sh", "-c", f'exec "$@" {closed}', "sh")
    with running(folder, *workers, prefix=prefix):
        assert get(folder, f"/opens?name={folder}/opened").json() > 2
        assert get(folder, "/fails").status_code == 500
        ask(folder, "/", 100)
    assert (folder / "opened").read_bytes() == b""


SCRIPT = """
import os, sys, time
import fluvial

file = open("opened", "w")
app = fluvial.App()

@app.get("/")
async def index():
    return file.fileno()

@app.get("/fails")
async def fails():
    print("printed", flush=True)
    raise RuntimeError

@app.get("/hangs")
async def hangs():
    time.sleep(1000)

if __name__ == "__main__":
    config = fluvial.Config(graceful_timeout=0, cleanup_timeout=0.1)
    fluvial.run(app, config, uds="socket", workers=int(sys.argv[1]))
"""


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("closed", "number"), [("0<&-", 0), ("1>&-", 1), ("2>&-", 2)])
def test_a_file_that_a_script_has_opened_before_gets_none_either(
    tmp_path: Path, closed: str, number: int, workers: str
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "script.py", workers]
    process = subprocess.Popen(command, cwd=tmp_path)
    try:
        deadline = time.monotonic() + PATIENCE
        while not can_connect(tmp_path):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        assert get(tmp_path, "/").json() == number
        assert get(tmp_path, "/fails").status_code == 500
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(tmp_path / "socket"))
            sock.sendall(b"GET /hangs HTTP/1.1\r\nHost: h\r\n\r\n")
            assert stop(process) == 0
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "opened").read_bytes() == b""
