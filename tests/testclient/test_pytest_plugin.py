"""The pytest plugin, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = """
import pytest
from {package} import {name}

@pytest.fixture
def app():
    made = {name}()
    made.get("/")(lambda: "hello")
    return made
"""
TESTS = """
import urllib.request

def test_client(client):
    assert client.get("/").json() == "hello"

def test_live_server(live_server):
    with urllib.request.urlopen(live_server.url + "/") as response:
        assert response.read() == b'"hello"'
"""


def pytest(folder: Path, *options: str) -> str:
    (folder / "test_it.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=."]
    command += ["-p", "fluvial.pytest_plugin", *options]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        command, cwd=folder, env=alone, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.format(package="fluvial", name="App"))
    assert "2 passed" in pytest(tmp_path)


def test_as_fastapi(tmp_path: Path) -> None:
    conftest = CONFTEST.format(package="fastapi", name="FastAPI")
    conftest += "\nimport fluvial\nassert issubclass(FastAPI, fluvial.App)\n"
    (tmp_path / "conftest.py").write_text(conftest)
    assert "2 passed" in pytest(tmp_path, "--as-fastapi")
