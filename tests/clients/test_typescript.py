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


# What the server would refuse, from line 3 on.
WRONG = """\
import { Client } from "./whole.js";
const client = new Client("http://127.0.0.1");
await client.readQuery({ level: 7 });
await client.echoTree({ body: { message: "x" } });
console.log((await client.maybeMade({ made: true })).message);
await client.echoShapes({ body: [{ type: "circle", side: 1 }] });
await client.upload();
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with clients of all programs, the program that uses one and a wrong one, compiled
    together, and what the compiler said."""
    folder = tmp_path_factory.mktemp("clients")
    write_clients(folder, "--typescript", ".ts", "whole", "tutorial", "shop", "large")
    shutil.copy(HERE / "use_client.ts", folder)
    (folder / "wrong.ts").write_text(WRONG)
    names = ("use_client.ts", "whole.ts", "tutorial.ts", "shop.ts", "large_client.ts")
    return folder, compile_files(folder, *names, "wrong.ts")


def test_it_compiles(compiled: tuple[Path, str]) -> None:
    starts = [line for line in compiled[1].splitlines() if not line.startswith((" ", "wrong.ts("))]
    assert starts == []


def test_use(compiled: tuple[Path, str]) -> None:
    folder, said = compiled
    with serving("program:app", app_dir=HERE) as server:
        command = ["node", "use_client.js", server.url]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), said


def test_types_are_of_use(compiled: tuple[Path, str]) -> None:
    """What the server would refuse is refused by the compiler."""
    said = compiled[1]
    lines = {int(line.split("(")[1].split(",")[0]) for line in said.splitlines() if "wrong" in line}
    assert lines == {3, 4, 5, 6, 7}, said
