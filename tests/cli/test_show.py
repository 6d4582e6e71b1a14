"""`fluvial openapi` and `fluvial routes`: what an app has, without serving it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from support import forked

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

PROGRAM = """
from {framework} import {App}, WebSocket

app = {App}(title="Käse", docs_url=None, redoc_url=None)


@app.get("/items/{{item_id}}", name="read")
async def read_item(item_id: int) -> str: ...


@app.post("/items")
def create_item(name: str) -> None: ...


@app.websocket("/live")
async def live(socket: WebSocket) -> None: ...


async def other(scope, receive, send): ...


app.mount("/other", other)


def make():
    return app
"""


def fluvial(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fluvial", *arguments, "--app-dir", str(folder)]
    return forked.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a program for Fluvial, and the same for FastAPI."""
    (tmp_path / "ours.py").write_text(PROGRAM.format(framework="fluvial", App="App"))
    (tmp_path / "theirs.py").write_text(PROGRAM.format(framework="fastapi", App="FastAPI"))
    return tmp_path


def test_the_document(folder: Path) -> None:
    done = fluvial(folder, "openapi", "ours:app")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["info"] == {"title": "Käse", "version": "0.1.0"}
    assert list(document["paths"]) == ["/items/{item_id}", "/items"]
    file = folder / "openapi.json"
    done = fluvial(folder, "openapi", "theirs:app", "--as-fastapi", "--output", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads(file.read_text()) == document


def test_the_routes(folder: Path) -> None:
    done = fluvial(folder, "routes", "ours:make", "--factory")
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout
        == """\
METHODS    PATH              NAME         RUNS IN
GET        /openapi.json     openapi      thread
GET        /items/{item_id}  read         loop
POST       /items            create_item  thread
WebSocket  /live             live         loop
mount      /other
"""
    )


@pytest.mark.parametrize(
    ("target", "message"),
    [("none:app", "no module"), ("ours:other", "ours:other is not a Fluvial App")],
)
def test_what_is_no_app(folder: Path, target: str, message: str) -> None:
    for command in ("openapi", "routes"):
        done = fluvial(folder, command, target)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
