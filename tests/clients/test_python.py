"""`fluvial client --python`: the client is used against the server, and mypy is content."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from clients.conftest import HERE, write_clients
from support.command import serving

# Seconds: mypy without its cache takes twelve of CPU, and some of these tests run it first.
PATIENCE = 280
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With clients of all programs, and the programs that use them."""
    folder = tmp_path_factory.mktemp("clients")
    write_clients(folder, "--python", ".py", "whole", "tutorial", "shop", "large")
    for use in HERE.glob("use_*.py"):
        shutil.copy(use, folder)
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=PATIENCE
    )


def test_types(folder: Path) -> None:
    files = ["use_client.py", "use_shop.py", "whole.py", "tutorial.py", "shop.py"]
    done = run(folder, "-m", "mypy", "--strict", *files, "large_client.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_types_are_of_use(folder: Path) -> None:
    """What the server would refuse is refused by the type checker."""
    wrong = folder / "wrong.py"
    wrong.write_text(
        "import whole\n"
        "client = whole.Client('http://127.0.0.1')\n"
        "client.read_query(level=7)\n"
        "client.echo_tree(whole.Message(message='x'))\n"
        "client.maybe_made(made=True).message\n"
        "whole.Circle(radius='x', type='square')\n"
        "client.upload()\n"
    )
    done = run(folder, "-m", "mypy", "--strict", "wrong.py")
    lines = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    assert lines == {3, 4, 5, 6, 7}, done.stdout


def test_use(folder: Path) -> None:
    with serving("program:app", app_dir=HERE) as server:
        done = run(folder, "-W", "error", "use_client.py", server.url)
    assert done.returncode == 0, done.stderr


def test_use_of_the_shop(folder: Path) -> None:
    with serving("shop.main:app", "--as-fastapi") as server:
        done = run(folder, "-W", "error", "use_shop.py", server.url)
    assert done.returncode == 0, done.stderr


def test_use_of_the_tutorial(folder: Path) -> None:
    program = (
        "import sys, tutorial\n"
        "with tutorial.Client(sys.argv[1]) as client:\n"
        "    print(client.read_item(42, q='river'))\n"
    )
    with serving("tutorial:app") as server:
        done = run(folder, "-c", program, server.url)
    assert done.stdout == "{'item_id': 42, 'q': 'river'}\n", done.stderr
