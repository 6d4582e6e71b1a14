"""A disk that is full: below spooled uploads, and below the access log."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from support.command import PATIENCE, launched

if TYPE_CHECKING:
    from pathlib import Path

TIMES = 200 if os.environ.get("FAULTS") else 3
MEMORY = 24 * 1024 * 1024  # bytes by which a server may grow
# With a disk of 1 MiB for temporary files, in a mount namespace of its own.
SMALL_DISK = (
    *("unshare", "--mount", "sh", "-c"),
    'mount -t tmpfs -o size=1m none "$TMPDIR" && exec "$@"',
    "sh",
)


def can_mount() -> bool:
    return subprocess.call(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL) == 0


APP = """
from fluvial import App, Request, UploadFile

app = App()

@app.post("/async")
async def upload(file: UploadFile):
    return len(await file.read())

@app.post("/def")
def def_upload(file: UploadFile):
    return len(file.file.read())

@app.post("/form")
async def form(request: Request):
    async with request.form() as fields:
        return fields["file"].size

@app.get("/ping")
async def ping():
    return "pong"
"""


@pytest.mark.skipif(not can_mount(), reason="only root can mount a disk, and not everywhere")
def test_uploads_that_the_disk_has_no_room_for(tmp_path: Path) -> None:
    """They fail, with a word in the log, and give their room back."""
    (tmp_path / "it.py").write_text(APP)
    (tmp_path / "disk").mkdir()
    env = {"TMPDIR": str(tmp_path / "disk")}
    large, fits = b"x" * 3_000_000, b"x" * 700_000
    options = ("--no-access-log", "--form-spool", "65536")
    with launched("it:app", *options, app_dir=tmp_path, prefix=SMALL_DISK, env=env) as server:
        server.wait_until_ready()
        process = psutil.Process(server.process.pid)
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:

            def upload(path: str, body: bytes) -> httpx.Response:
                return client.post(path, files={"file": body})

            for path in ("/async", "/def", "/form"):
                assert upload(path, fits).json() == len(fits)
            before = process.num_fds(), process.memory_info().rss
            for _ in range(TIMES):
                for path in ("/async", "/def", "/form"):
                    assert upload(path, large).status_code == 500
                    assert client.get("/ping").json() == "pong"
            for path in ("/async", "/def", "/form"):
                assert upload(path, fits).json() == len(fits)
            assert process.num_fds() <= before[0] + 2
            assert process.memory_info().rss - before[1] < MEMORY
        assert len(server.expect("No space left on device", 3 * TIMES)) == 3 * TIMES
        assert server.stop() == 0


def test_an_access_log_that_the_disk_has_no_room_for(tmp_path: Path) -> None:
    """Requests are answered, and stderr says once what is wrong."""
    (tmp_path / "it.py").write_text(APP)
    options = ("--access-log-file", "/dev/full")
    with launched("it:app", *options, app_dir=tmp_path) as server:
        server.wait_until_ready()
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
            for _ in range(20):
                assert client.get("/ping").json() == "pong"
            server.expect("WARNING access log: No space left on device; its lines wait")
            for _ in range(20):
                assert client.get("/ping").json() == "pong"
        assert server.stop() == 0
        assert server.log.count("No space left on device") == 1
