"""What the tests of clients share: the command, and programs of which clients are made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from support import forked

if TYPE_CHECKING:
    import subprocess

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# The whole of OpenAPI that FastAPI's own documents have, from tests/openapi.
LARGE = """\
from fluvial import App
from support.openapi_names import names_of
from support.openapi_programs import make_app

app = make_app(names_of("fluvial"))
"""
PROGRAMS = {
    "whole": ("program:app", "--app-dir", str(HERE)),
    "tutorial": ("tutorial:app", "--app-dir", str(ROOT / "examples")),
    "shop": ("shop.main:app", "--as-fastapi", "--app-dir", str(ROOT / "examples")),
    "large": ("large:app", "--app-dir", "."),
}


def make_client(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`fluvial client`, in a folder."""
    command = [sys.executable, "-W", "ignore", "-m", "fluvial", "client", *arguments]
    return forked.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT / "tests"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def write_clients(folder: Path, language: str, suffix: str, *programs: str) -> None:
    """Clients of these programs, each in a file of the program's name."""
    (folder / "large.py").write_text(LARGE)
    for name in programs:
        output = f"{name}{suffix}" if name != "large" else f"large_client{suffix}"
        done = make_client(folder, language, *PROGRAMS[name], "--output", output)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
