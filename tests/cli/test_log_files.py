"""Log files of a server's process: SIGUSR1, and --log-config."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import httpx
import pytest
from support.command import launched, serving

APP = """
import logging
from fluvial import App
app = App()
@app.get("/{name}")
async def name(name: str) -> str:
    logging.getLogger("app").warning("asked for %s", name)
    return name
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "it.py").write_text(APP)
    return tmp_path


@pytest.mark.parametrize("workers", [1, 2])
def test_sigusr1_opens_the_access_log_anew(folder: Path, workers: int) -> None:
    path = folder / "access.log"
    options = ("--access-log-file", str(path), "--access-logformat", "%(U)s")
    with serving("it:app", *options, "--workers", str(workers), app_dir=folder) as server:
        if workers > 1:
            server.expect("Fluvial running", workers)
        httpx.get(f"{server.url}/one")
        path.rename(folder / "old.log")
        os.kill(server.process.pid, signal.SIGUSR1)
        server.expect("Reopened the access log", workers)
        httpx.get(f"{server.url}/two")
        assert server.stop() == 0
        assert "Ignoring" not in server.log
    old, new = (folder / "old.log").read_text(), path.read_text()
    assert sorted((old + new).splitlines()) == ["/one", "/two"]
    assert "/two" in new


CONFIG = {
    "formatters": {"own": {"format": "own %(name)s %(message)s"}},
    "handlers": {
        "file": {"class": "logging.FileHandler", "filename": "own.log", "formatter": "own"}
    },
    "root": {"handlers": ["file"], "level": "INFO"},
}


@pytest.mark.parametrize("kind", ["json", "toml"])
def test_log_config(folder: Path, kind: str) -> None:
    config = folder / f"log.{kind}"
    if kind == "json":
        config.write_text(json.dumps(CONFIG))
    else:
        config.write_text(
            '[formatters.own]\nformat = "own %(name)s %(message)s"\n'
            '[handlers.file]\nclass = "logging.FileHandler"\nfilename = "own.log"\n'
            'formatter = "own"\n[root]\nhandlers = ["file"]\nlevel = "INFO"\n'
        )
    options = ("--access-log-file", "logging", "--access-logformat", "%(m)s %(U)s")
    with launched("it:app", "--log-config", str(config), *options, app_dir=folder) as server:
        log = folder / "own.log"
        url = wait_for_url(log)
        httpx.get(f"{url}/one")
        assert server.stop() == 0
        lines = log.read_text().splitlines()
    assert "own fluvial.access GET /one" in lines
    assert "own app asked for one" in lines
    assert server.log == ""


def wait_for_url(log: Path) -> str:
    """The URL that the log tells."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if log.exists() and (found := re.search(r"http://[\d.:]+", log.read_text())):
            return found.group()
        time.sleep(0.01)
    raise AssertionError("the server didn't tell its URL")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "can't read log.json: No such file or directory"),
        ("{", "--log-config log.json: Expecting property name"),
        ('{"root": {"handlers": ["x"]}}', "--log-config log.json: Unable to configure root logger"),
        ("[]", "--log-config log.json:"),
    ],
)
def test_a_wrong_log_config(folder: Path, text: str | None, words: str) -> None:
    if text is not None:
        (folder / "log.json").write_text(text)
    with launched("it:app", "--log-config", "log.json", app_dir=folder) as server:
        assert server.wait() == 1
        assert server.log.startswith(f"Error: {words}")
        assert len(server.log.splitlines()) == 1
