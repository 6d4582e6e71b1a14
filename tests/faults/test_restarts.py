"""Restarts under load, where nginx has connections to the server that it keeps."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import httpx
from support.command import launched
from support.proxies import nginx
from support.workers import Load

if TYPE_CHECKING:
    from pathlib import Path

RESTARTS = 100 if os.environ.get("FAULTS") else 2

APP = """
import os
from fluvial import App

app = App()

@app.get("/pid")
async def pid():
    return os.getpid()
"""


def test_a_restart_behind_nginx_fails_no_request(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(APP)
    options = ("--workers", "2", "--no-access-log", "--graceful-timeout", "30")
    with launched("it:app", *options, app_dir=tmp_path) as server:
        server.expect("Fluvial running on", 2)
        address = f"127.0.0.1:{httpx.URL(server.url).port}"
        with nginx(tmp_path, address) as port, Load(f"http://127.0.0.1:{port}") as load:
            for times in range(1, RESTARTS + 1):
                server.process.send_signal(signal.SIGHUP)
                server.expect("takes the place of worker", 2 * times)
                load.wait_for(20)
        server.expect("has ended", 2 * RESTARTS)
        assert "killed" not in server.log
        assert server.stop() == 0
