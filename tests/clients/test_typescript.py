"""`fluvial client --typescript`: it compiles with --strict, and node uses it against the server."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from clients.conftest import HERE, write_clients
from support.command import serving
from support.typescript import compile_files

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)  # the compiler takes ten seconds of CPU


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With clients of all programs, and the program that uses one, compiled."""
    folder = tmp_path_factory.mktemp("clients")
    write_clients(folder, "--typescript", ".ts", "whole", "tutorial", "shop", "large")
    shutil.copy(HERE / "use_client.ts", folder)
    names = ("use_client.ts", "whole.ts", "tutorial.ts", "shop.ts", "large_client.ts")
    assert compile_files(folder, *names) == ""
    return folder


def test_use(folder: Path) -> None:
    with serving("program:app", app_dir=HERE) as server:
        command = ["node", "use_client.js", server.url]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_types_are_of_use(folder: Path) -> None:
    """What the server would refuse is refused by the compiler."""
    (folder / "wrong.ts").write_text(
        'import { Client } from "./whole.js";\n'
        'const client = new Client("http://127.0.0.1");\n'
        "await client.readQuery({ level: 7 });\n"
        'await client.echoTree({ body: { message: "x" } });\n'
        "console.log((await client.maybeMade({ made: true })).message);\n"
        'await client.echoShapes({ body: [{ type: "circle", side: 1 }] });\n'
        "await client.upload();\n"
    )
    said = compile_files(folder, "wrong.ts")
    lines = {int(line.split("(")[1].split(",")[0]) for line in said.splitlines() if "wrong" in line}
    assert lines == {3, 4, 5, 6, 7}, said
