"""`.ci/run`: what it asks, and that a failure is named. Everything it calls is a stand-in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Writes down what it is asked, and fails at what FAIL says.
ASKED = """#!/bin/sh
echo "$(basename "$0") $*" >>"$ASKED"
case "$(basename "$0") $*" in *"${FAIL:-nothing}"*) exit 1 ;; esac
"""
# Stands for an interpreter: says where it is, or which version it has.
PYTHON = """#!/bin/sh
case "$*" in
    *sys.executable*) echo "$0" ;;
    *) echo "$(basename "$0") $*" >>"$ASKED" ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout where 3.11 to 3.13 are found."""
    programs = {".ci/run": (ROOT / ".ci" / "run").read_text(), "bin/make": ASKED}
    programs |= {f"bin/python3.{minor}": PYTHON for minor in (11, 12, 13)}
    for name, text in programs.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    return tmp_path / "project"


def run(project: Path, **env: str) -> tuple[int, str, list[str]]:
    """(the status, what was printed, what was asked)"""
    path = f"{project / 'bin'}:{os.environ['PATH']}"
    asked = project / "asked"
    done = subprocess.run(
        [project / ".ci" / "run"],
        env={**os.environ, "PATH": path, "ASKED": str(asked), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, asked.read_text().splitlines()


def test_every_python_is_tried(project: Path) -> None:
    status, said, asked = run(project)
    assert (status, "all passed" in said) == (0, True), said
    verbs = {"packages", "test", "conformance-loop"}
    first = verbs | {"asan", "conformance-ws", "conformance-fastapi"}
    for minor, wanted in ((11, first), (12, verbs), (13, verbs)):
        python = f"PYTHON={project / 'bin'}/python3.{minor}"
        calls = [line.split()[1] for line in asked if line.startswith("make ") and python in line]
        assert sorted(calls) == sorted(wanted)


def test_one_python_is_enough(project: Path) -> None:
    for minor in (12, 13):
        (project / "bin" / f"python3.{minor}").write_text("#!/bin/sh\nexit 1\n")
    status, _, asked = run(project, PYENV_ROOT="/nonexistent")
    assert status == 0
    verbs = [line.split()[1] for line in asked if line.startswith("make ")]
    assert sorted(verbs) == sorted({*verbs})


def test_tests_come_after_lint_and_packages(project: Path) -> None:
    asked = run(project)[2]
    verbs = [line.split()[1] for line in asked if line.startswith("make ")]
    assert verbs[:3] == ["packages"] * 3
    assert sum("packages lint" in line for line in asked) == 1


@pytest.mark.parametrize("part", ["packages lint", "asan", "conformance-loop", "conformance-ws"])
def test_what_fails_is_named(project: Path, part: str) -> None:
    status, said, _ = run(project, FAIL=f"make {part} ")
    assert status == 1
    assert f"==== FAILED: make {part}" in said
    assert "all passed" not in said
