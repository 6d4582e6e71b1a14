"""scripts/extras.py: what `make` installs beside the project."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import extras  # noqa: E402


def test_several_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = project["optional-dependencies"]
    assert extras.requirements("test, lint") == known["test"] + known["lint"]


def test_an_extra_that_is_not_there() -> None:
    with pytest.raises(SystemExit, match="no extra tset"):
        extras.requirements("test,tset")
