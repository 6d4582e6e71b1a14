"""examples/shop is written in FastAPI's grammar: its tests pass on FastAPI and on Fluvial."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from support.command import EXAMPLES, serving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("options", [(), ("--as-fastapi",)], ids=["on FastAPI", "on Fluvial"])
def test_its_own_tests_pass(tmp_path: Path, options: tuple[str, ...]) -> None:
    """In a pytest of its own: the map of names is in force for a whole process."""
    command = [sys.executable, "-W", "ignore", "-m", "pytest", "-c", "/dev/null", "-q", "-ra"]
    command += ["-W", "ignore", "-p", "no:cacheprovider", "--rootdir", str(EXAMPLES)]
    done = subprocess.run(
        [*command, *options, str(EXAMPLES / "shop")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b11 passed", done.stdout)


def test_the_documents_are_equal() -> None:
    """But for what each is called."""
    program = "import json; from shop.main import app; print(json.dumps(app.openapi()))"
    before = ("", "import fluvial.compat; fluvial.compat.install(); ")
    documents = [
        json.loads(
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", each + program],
                cwd=EXAMPLES,
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            ).stdout
        )
        for each in before
    ]
    assert documents[0] == documents[1]


def test_it_is_served() -> None:
    with serving("shop.main:app", "--as-fastapi") as server:
        assert httpx.get(f"{server.url}/items/").json() == []
        assert "Nothing is sold yet." in httpx.get(server.url).text
