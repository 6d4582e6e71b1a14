"""FastAPI's and Starlette's sources: where they come from, and the folder in which tests run."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.append(str(ROOT / "scripts"))

import vendor  # noqa: E402

FASTAPI = vendor.Pin(
    dist="fastapi",
    version="0.165.0",
    sha256="dd94d4128319c1e1d50535ab023ab698f850a4d2822f0e181747b46f4ff3c0ab",
    folder="",
)
STARLETTE = vendor.Pin(
    dist="starlette",
    version="1.10.0",
    sha256="b8399098d4c1e3522734f7235dc79b1fc967f96cf139c81e0fa30479e0685f9b",
    folder="",
)
# What their pyproject.toml says of pytest.
FASTAPI_SETTINGS = """[pytest]
addopts = --strict-config --strict-markers --ignore=docs_src
xfail_strict = true
filterwarnings = error
timeout = 20
"""
STARLETTE_SETTINGS = """[pytest]
addopts = --strict-config --strict-markers
xfail_strict = true
filterwarnings =
    error
    ignore: run_until_first_complete is deprecated:starlette.exceptions.StarletteDeprecationWarning
    ignore: starlette.middleware.wsgi is deprecated:starlette.exceptions.StarletteDeprecationWarning
    ignore: Use 'content=<...>' to upload raw bytes/text content.:DeprecationWarning
    ignore: Using `httpx` with:starlette.exceptions.StarletteDeprecationWarning
timeout = 20
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Tests that are counted together.

    `files` are copied from the source: never the package itself, so that nothing can import it.
    `tests` are pytest's arguments. Of the cases that can't pass, cannot_pass/<name>.json has the
    reasons.
    """

    name: str
    pin: vendor.Pin
    files: tuple[str, ...]
    settings: str
    tests: tuple[str, ...]

    def prepare(self, folder: Path) -> None:
        """Makes `folder` anew, with the tests and the programs that they test."""
        source = vendor.fetch_pin(self.pin.dist, self.pin)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in self.files:
            shutil.copytree(source / name, folder / name)  # some tests write beside the programs
        (folder / "pytest.ini").write_text(self.settings)

    def cannot_pass(self) -> dict[str, str]:
        """The reason of each test that can't pass: the file has the tests of each reason."""
        path = HERE / "cannot_pass" / f"{self.name}.json"
        reasons: dict[str, list[str]] = json.loads(path.read_text()) if path.is_file() else {}
        return {test: reason for reason, tests in reasons.items() for test in tests}


SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            name="tutorial",
            pin=FASTAPI,
            files=("tests", "docs_src", "docs"),
            settings=FASTAPI_SETTINGS,
            tests=("tests/test_tutorial",),
        ),
        Suite(
            name="other",
            pin=FASTAPI,
            files=("tests", "docs_src", "docs"),
            settings=FASTAPI_SETTINGS,
            # benchmarks measure, and test what other tests do
            tests=("tests", "--ignore=tests/test_tutorial", "--ignore=tests/benchmarks"),
        ),
        Suite(
            name="starlette",
            pin=STARLETTE,
            files=("tests",),
            settings=STARLETTE_SETTINGS,
            tests=("tests",),
        ),
    )
}
