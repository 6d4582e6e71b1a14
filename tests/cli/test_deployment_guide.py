"""What docs/guide/deployment.md shows is tried: Caddy's file, the units, a container's commands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx
import pytest
from support.command import PATIENCE, launched
from support.proxies import caddy, free_port

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "deployment.md"

APP = """
from fluvial import App, Request

app = App()

@app.get("/seen")
async def seen(request: Request):
    return [request.client.host, str(request.url), request.scope["root_path"]]
"""
# What a client may send to be taken for somebody else.
LIES = {
    **dict.fromkeys(("X-Forwarded-For", "X-Real-IP"), "192.0.2.66"),
    "Forwarded": "for=192.0.2.66;host=evil.example;proto=https",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Port": "666",
}


def shown(heading: str) -> str:
    """What is indented in the section."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", GUIDE.read_text(), re.M | re.S)
    assert found, heading
    lines = re.findall(r"^(?:    .*|)$", found[1], re.M)
    return textwrap.dedent("\n".join(lines)).strip()


def test_behind_caddy(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(APP)
    socket = tmp_path / "socket"
    with launched("it:app", "--uds", str(socket), app_dir=tmp_path) as server:
        server.expect("running on")
        port, text = free_port(), shown("Caddy")
        text = text.replace("example.org", f"http://127.0.0.1:{port}")
        text = text.replace("/run/app/socket", str(socket))
        with caddy(tmp_path, text, port):
            url = f"http://127.0.0.1:{port}/seen"
            for fields in ({}, LIES):
                answer = httpx.get(url, headers=fields, timeout=PATIENCE)
                assert answer.json() == ["127.0.0.1", url, ""]
        assert server.stop() == 0


def test_units_of_systemd_are_right(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("no systemd-analyze here (Debian's package: systemd)")
    units = re.split(r"^# (app\.\w+)\n", shown("systemd"), flags=re.M)[1:]
    paths = []
    for name, text in zip(units[::2], units[1::2], strict=True):
        path = tmp_path / name
        path.write_text(text.replace("/srv/app/.venv/bin/fluvial", "/bin/true"))
        paths.append(str(path))
    assert [Path(path).name for path in paths] == ["app.socket", "app.service"]
    done = subprocess.run(
        [verify, "verify", "--man=no", *paths], capture_output=True, text=True, check=False
    )
    wrong = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    # An older systemd than the guide names.
    assert [line for line in wrong if "notify-reload" not in line] == []


def test_the_containers_commands(tmp_path: Path) -> None:
    text = shown("Containers")
    (health,) = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.M)
    (command,) = re.findall(r"^CMD (\[.*\])$", text, re.M)
    (tmp_path / "main.py").write_text(APP)
    python, *check = json.loads(health)
    fluvial, run, app, *options = json.loads(command)
    assert (Path(python).name, Path(fluvial).name, run) == ("python", "fluvial", "run")
    with launched(app, *options, app_dir=tmp_path) as server:
        server.wait_until_ready()
        port = str(httpx.URL(server.url).port)
        check = [each.replace("8000", port) for each in check]

        def is_healthy() -> bool:
            env = {name: text for name, text in os.environ.items() if "proxy" not in name.lower()}
            command = [sys.executable, *check]
            done = subprocess.run(command, env=env, check=False, capture_output=True)
            return done.returncode == 0

        assert is_healthy()
        assert server.stop() == 0
        assert not is_healthy()
