"""SIGHUP reads the configuration's files again, and new workers have what they say then."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
from support.command import PATIENCE, launched

APP = """
import os
from fluvial import App, Request
app = App()

@app.get("/")
async def index():
    return [os.environ.get("FIRST"), os.environ.get("SECOND")]

@app.post("/")
async def post(request: Request):
    return len(await request.body())
"""


def test_restarts_read_the_files_again(tmp_path: Path) -> None:
    settings, variables = tmp_path / "fluvial.toml", tmp_path / "e"
    (tmp_path / "it.py").write_text(APP)
    settings.write_text("workers = 2\nenv-file = 'e'\nlimit-body = 3\nworker-timeout = 0\n")
    variables.write_text("FIRST=1\n")
    with launched("it:app", app_dir=tmp_path) as server:

        def answers() -> tuple[list[str | None], int]:
            with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
                return client.get("/").json(), client.post("/", content=b"1234").status_code

        server.expect("Fluvial running on", 2)
        assert answers() == (["1", None], 413)

        settings.write_text("worker = 2\n")
        server.process.send_signal(signal.SIGHUP)
        server.expect(r"No worker was restarted: fluvial.toml: unknown key 'worker'; did you mean")
        assert answers() == (["1", None], 413)

        settings.write_text("workers = 1\nenv-file = 'e'\nbacklog = 7\nworker-timeout = 0\n")
        variables.write_text("SECOND=2\n")
        server.process.send_signal(signal.SIGHUP)
        server.expect("backlog can't change while the server runs: start it anew for that")
        server.expect("has ended", 2)
        assert answers() == ([None, "2"], 200)
        assert len(server.expect("Started worker")) == 3

        server.process.send_signal(signal.SIGUSR1)
        server.expect("Ignoring SIGUSR1")

        settings.write_text("workers = 2\naccess-log-file = 'access.log'\n")
        server.process.send_signal(signal.SIGHUP)
        server.expect("Fluvial running on", 5)
        server.expect("has ended", 3)
        assert answers() == ([None, None], 200)
        server.process.send_signal(signal.SIGUSR1)
        server.expect("Reopened the access log", 2)
        assert server.stop() == 0
