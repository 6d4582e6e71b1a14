"""`fluvial run --reload`: which changes count, and what is served meanwhile."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from fluvial._serving.watched_files import INCLUDED, WatchedFiles
from support import forked
from support.command import PATIENCE, launched
from support.forked import FLUVIAL

READY = "running on http"
APP = """
import pathlib
from fluvial import App

app = App()

@app.get("/")
def read():
    return {"number": 1, "page": pathlib.Path("page.html").read_text()}
"""


def test_changes_are_served_on_the_same_port(tmp_path: Path) -> None:
    """Also after a syntax error, until which is mended clients wait."""
    (tmp_path / "it.py").write_text(APP)
    (tmp_path / "page.html").write_text("old")
    (tmp_path / "ignored.py").write_text("")
    options = ("--reload", "--reload-include", "*.html", "--reload-exclude", "ignored.py")
    with launched("it:app", *options, app_dir=tmp_path) as server:
        server.wait_until_ready()
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
            assert client.get("/").json() == {"number": 1, "page": "old"}
            (tmp_path / "it.py").write_text(APP + "\ndef broken(:\n")
            server.expect("starts again when a file changes")
            (tmp_path / "ignored.py").write_text("x = 1")
            (tmp_path / "it.py").write_text(APP.replace('"number": 1', '"number": 2'))
            assert client.get("/").json() == {"number": 2, "page": "old"}
            server.expect(READY, 2)
            (tmp_path / "page.html").write_text("new")
            server.expect("page.html changed")
            server.expect(READY, 3)
            assert client.get("/").json() == {"number": 2, "page": "new"}
        assert not re.search("ignored.py.* changed", server.log)
        assert server.stop() == 0


def test_a_change_while_the_program_starts_counts(tmp_path: Path) -> None:
    """Watching begins later than the program, which is started at the same time."""
    writes = "other = pathlib.Path('other.py')\nif not other.exists(): other.touch()\n"
    (tmp_path / "it.py").write_text(APP + writes)
    with launched("it:app", "--reload", app_dir=tmp_path) as server:
        server.expect("other.py changed")
        server.wait_until_ready()
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--reload", "--workers", "2"), "--reload and --workers can't be combined"),
        (("--reload", "--max-rss", "9"), "--reload and --max-rss can't be combined"),
        (("--reload-include", "*.html"), "need --reload"),
        (("--reload-exclude", "x"), "need --reload"),
        (("--reload-dir", "."), "need --reload"),
    ],
)
def test_options_that_mean_nothing_together(options: tuple[str, ...], words: str) -> None:
    done = forked.run([FLUVIAL, "run", "it:app", *options], capture_output=True, text=True)
    assert done.returncode == 2
    assert words in done.stderr


@pytest.mark.parametrize(
    ("name", "included", "excluded", "counts"),
    [
        ("a.py", (), (), True),
        ("a.html", (), (), False),
        ("a.html", ("*.html",), (), True),
        ("a.py", (), ("a.py",), False),
        ("pages/a.html", ("pages/*.html",), (), True),
        ("pages/a.html", ("other/*.html",), (), False),
        ("tests/deep/a.py", (), ("tests",), False),
        ("tests/deep/a.py", (), ("./tests/",), False),
        ("tests/deep/a.py", (), ("/folder/tests",), False),
        ("tests2/a.py", (), ("tests",), True),
        ("a.py", (), ("*.txt",), True),
    ],
)
def test_patterns(
    name: str, included: tuple[str, ...], excluded: tuple[str, ...], counts: bool
) -> None:
    files = WatchedFiles(("/elsewhere", "/folder"), (*INCLUDED, *included), excluded)
    assert files.has(f"/folder/{name}") is counts
