"""Prints what extras of pyproject.toml stand for, one requirement a line, for `pip install`.

    python scripts/extras.py test,lint
    python scripts/extras.py --dependencies     what the project itself depends on

pip could install the extras itself, but only together with the project, which it would build anew
each time; and two that do so at once write into the same folder. Standard library only.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def requirements(names: str) -> list[str]:
    """Those of the extras, whose names stand between commas. Raises: SystemExit."""
    extras: dict[str, list[str]] = tomllib.loads(PROJECT.read_text())["project"][
        "optional-dependencies"
    ]
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in chosen if name not in extras]:
        sys.exit(f"fluvial: pyproject.toml has no extra {', '.join(unknown)}")
    return [requirement for name in chosen for requirement in extras[name]]


def dependencies() -> list[str]:
    """Those of the project itself."""
    listed: list[str] = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    return listed


if __name__ == "__main__":
    own = sys.argv[1:] == ["--dependencies"]
    print(*(dependencies() if own else requirements(",".join(sys.argv[1:]))), sep="\n")
