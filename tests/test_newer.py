""".ci/newer: what refuses a change, and what only says that 3.14 and 3.15 were left out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Stands for scripts/chroot.py: writes down what it is asked, and fails at what FAIL says.
CHROOT = """
import os, sys
asked = " ".join((os.environ["PYTHON"], *sys.argv[sys.argv.index("forky") + 1:]))
with open("asked", "a") as file:
    file.write(asked + "\\n")
sys.exit(os.environ.get("FAIL", "nothing") in asked)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {"scripts/chroot.py": CHROOT, "scripts/system.py": ""}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (tmp_path / ".ci").mkdir()
    (tmp_path / "build" / "debian").mkdir(parents=True)
    script = tmp_path / ".ci" / "newer"
    script.write_text((ROOT / ".ci" / "newer").read_text())
    script.chmod(0o755)
    return tmp_path


def run(project: Path, *arguments: str, **env: str) -> tuple[int, str]:
    """(the status, what was printed)"""
    done = subprocess.run(
        [project / ".ci" / "newer", *arguments],
        env={**os.environ, "NEWER_USER": "0", **env},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def asked(project: Path) -> list[str]:
    return (project / "asked").read_text().splitlines()


def test_both_pythons_are_prepared_and_tried(project: Path) -> None:
    assert run(project, "prepare")[0] == 0
    assert run(project, "core")[0] == 0
    for python in ("python3.14", "python3.15"):
        assert f"{python} make conformance-loop" in asked(project)


def test_a_mirror_that_gives_nothing_refuses_no_change(project: Path) -> None:
    assert run(project, "prepare")[0] == 0  # of the last time nothing must count
    status, said = run(project, "prepare", FAIL="make packages")
    assert status == 0
    assert "3.14 and 3.15 are left out" in said
    before = asked(project)
    status, said = run(project, "core")
    assert status == 0
    assert "3.14 and 3.15 are left out" in said
    assert asked(project) == before


def test_without_root_they_are_left_out(project: Path) -> None:
    status, said = run(project, "prepare", NEWER_USER="1000")
    assert status == 0
    assert "left out: chroot and mount need root" in said


@pytest.mark.parametrize(
    "fault", ["python3.14 make build", "make strict CC=clang", "python3.14 make conformance-loop"]
)
def test_what_fails_is_named(project: Path, fault: str) -> None:
    prepared, first = run(project, "prepare", FAIL=fault)
    status, said = (prepared, first) if prepared else run(project, "core", FAIL=fault)
    assert status == 1
    assert f"==== FAILED: within {fault}".split("make")[-1].strip() in said
    assert "FAILED" in said
