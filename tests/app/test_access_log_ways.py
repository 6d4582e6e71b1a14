"""Where the access log goes: files that are opened anew, the logging module, syslog."""

from __future__ import annotations

import logging
import os
import re
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fluvial import App, Config
from support.serving import Served, serving

PATIENCE = 60

app = App()


@app.get("/{name}")
async def name(name: str) -> str:
    return name


def on_loop(server: Served, function: Any) -> None:
    """Calls a function in the loop's thread, and returns when it has ended."""
    assert server.loop is not None
    done = threading.Event()

    def call() -> None:
        function()
        done.set()

    server.loop.call_soon_threadsafe(call)
    assert done.wait(PATIENCE)


def test_a_file_that_was_renamed_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    options = {"access_log_file": str(path), "access_logformat": "%(U)s"}
    with serving(app, access_log=True, **options) as server:
        assert server.service is not None
        server.client.get("/one")
        path.rename(tmp_path / "old.log")
        on_loop(server, server.service.reopen_logs)
        server.client.get("/two")
        path.rename(tmp_path / "second.log")
        on_loop(server, server.service.reopen_logs)  # twice, perhaps before the thread has looked
        on_loop(server, server.service.reopen_logs)
        server.client.get("/three")
    names = ("old.log", "second.log", "access.log")
    lines = [(tmp_path / each).read_text().splitlines() for each in names]
    assert [line for each in lines for line in each] == ["/one", "/two", "/three"]
    assert lines[2][-1] == "/three"  # earlier ones may have waited for the thread


def test_a_file_that_cant_be_opened_anew_stays_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    options = {"access_log_file": str(folder / "access.log"), "access_logformat": "%(U)s"}
    caplog.set_level(logging.INFO, "fluvial")
    logging.getLogger("fluvial").addHandler(caplog.handler)
    try:
        with serving(app, access_log=True, **options) as server:
            assert server.service is not None
            folder.rename(tmp_path / "gone")
            on_loop(server, server.service.reopen_logs)
            server.client.get("/one")
    finally:
        logging.getLogger("fluvial").removeHandler(caplog.handler)
    assert (tmp_path / "gone" / "access.log").read_text() == "/one\n"
    assert "The access log was not reopened: can't open the access log" in caplog.text


@contextmanager
def heard(handler: logging.Handler) -> Iterator[None]:
    """Gives the logger "fluvial.access" a handler."""
    logger = logging.getLogger("fluvial.access")
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


class Records(logging.Handler):
    """Keeps (level, text) of each record."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._more = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._more:
            self.found.append((record.levelname, record.getMessage()))
            self._more.notify_all()

    def wait(self, is_enough: Callable[[], bool]) -> None:
        """Returns when it is so."""
        with self._more:
            assert self._more.wait_for(is_enough, PATIENCE)


@pytest.mark.parametrize(
    ("layout", "text"),
    [("%(m)s %(U)s", "GET /100%s"), ("plain", '127.0.0.1:N - "GET /100%s HTTP/1.1" 200 OK')],
)
def test_the_logging_module(layout: str, text: str) -> None:
    handler = Records()
    handler.addFilter(lambda record: "/hidden" not in record.getMessage())
    options = {"access_log_file": "logging", "access_logformat": layout}
    with heard(handler), serving(app, access_log=True, **options) as server:
        request = b"GET %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        for path in (b"/100%s", b"/hidden", b"/100%s"):
            server.exchange(request % path)
        handler.wait(lambda: len(handler.found) == 2)
    found = [(level, re.sub(r"(:)\d+ -", r"\1N -", each)) for level, each in handler.found]
    assert found == [("INFO", text)] * 2


def test_a_handler_that_hangs_does_not_stop_the_server() -> None:
    free, count = threading.Event(), 20_000

    class Hanging(Records):
        def emit(self, record: logging.LogRecord) -> None:
            assert free.wait(PATIENCE)
            super().emit(record)

    handler = Hanging()
    options: dict[str, Any] = {"access_log_file": "logging", "limits": {"log_buffer": 16384}}
    with heard(handler), serving(app, access_log=True, **options) as server:
        with server.connect() as sock:
            sender = threading.Thread(
                target=sock.sendall, args=(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n" * count,)
            )
            sender.start()
            got = b""
            while got.count(b"HTTP/1.1 200") < count:
                got += sock.recv(1 << 20)
            sender.join()
        free.set()
        server.finish()
        handler.wait(lambda: any(level == "WARNING" for level, _ in handler.found))
    levels = [level for level, _ in handler.found]
    assert 0 < levels.count("INFO") < count
    assert set(levels) == {"INFO", "WARNING"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a name that is short enough for a socket's path."""
    with tempfile.TemporaryDirectory(prefix="fl") as path:
        yield Path(path)


@pytest.mark.parametrize("way", ["unix", "udp"])
def test_syslog(folder: Path, way: str) -> None:
    with socket.socket(
        socket.AF_UNIX if way == "unix" else socket.AF_INET, socket.SOCK_DGRAM
    ) as sock:
        sock.settimeout(PATIENCE)
        if way == "unix":
            sock.bind(str(folder / "log"))
            address = str(folder / "log")
        else:
            sock.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{sock.getsockname()[1]}"
        options = {"access_log_file": f"syslog:{address}", "access_logformat": "%(U)s %(s)s"}
        with serving(app, access_log=True, **options) as server:
            server.client.get("/one")
            server.client.get("/two")
            expected = [f"<30>fluvial[{os.getpid()}]: /{name} 200" for name in ("one", "two")]
            assert [sock.recv(1000).decode() for _ in range(2)] == expected


def test_a_syslog_that_isnt_there(folder: Path) -> None:
    handler = Records()
    logging.getLogger("fluvial").addHandler(handler)
    try:
        with serving(app, access_log=True, access_log_file=f"syslog:{folder}/none") as server:
            assert [server.client.get("/one").status_code for _ in range(3)] == [200] * 3
            handler.wait(lambda: any("doesn't take lines" in text for _, text in handler.found))
    finally:
        logging.getLogger("fluvial").removeHandler(handler)
    assert sum("none doesn't take lines" in text for _, text in handler.found) == 1


@pytest.mark.parametrize("where", ["syslog:host", "syslog:host:x", "syslog::5", "syslog:h:70000"])
def test_a_wrong_syslog(where: str) -> None:
    with pytest.raises(ValueError, match="access_log_file takes syslog:/dev/log or syslog:HOST"):
        Config(access_log_file=where)


def test_no_file() -> None:
    with pytest.raises(ValueError, match="access_log_file must be"):
        Config(access_log_file="")
