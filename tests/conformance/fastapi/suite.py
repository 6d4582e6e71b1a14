"""FastAPI's sources: where they come from, and the folder in which their tests run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.append(str(ROOT / "scripts"))

import vendor  # noqa: E402

PIN = vendor.Pin(
    dist="fastapi",
    version="0.165.0",
    sha256="dd94d4128319c1e1d50535ab023ab698f850a4d2822f0e181747b46f4ff3c0ab",
    folder="",
)
# All but the package itself, so that nothing can import it from here.
FILES = ("tests", "docs_src", "docs")
# What their pyproject.toml says of pytest.
SETTINGS = """[pytest]
addopts = --strict-config --strict-markers --ignore=docs_src
xfail_strict = true
filterwarnings = error
timeout = 20
"""


def prepare(folder: Path) -> None:
    """Makes `folder` anew, with the tests and the programs that they test."""
    source = vendor.fetch_pin("fastapi", PIN)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copytree(source / name, folder / name)  # some tests write beside the programs
    (folder / "pytest.ini").write_text(SETTINGS)
