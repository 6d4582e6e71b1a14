"""scripts/chroot.py: a system that can't be made is reported, and nothing of it stays mounted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "chroot.py"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front of the PATH, in which tests put a debootstrap of their own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def fake_debootstrap(folder: Path, *lines: str) -> None:
    """Counts its runs in `runs`. The root is its fourth argument: two options, the suite."""
    path = folder / "debootstrap"
    path.write_text("\n".join(("#!/bin/sh", f"echo run >> {folder}/runs", *lines, "")))
    path.chmod(0o755)


def run_chroot(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); import chroot; chroot.PAUSE = 0; "
    code += "sys.exit(chroot.main())"
    arguments = [str(SCRIPT.parent), "--folder", str(tmp_path / "systems"), "forky", *command]
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=100,
    )


def test_a_mirror_that_fails_is_tried_again_and_then_named(
    bin_folder: Path, tmp_path: Path
) -> None:
    fake_debootstrap(bin_folder, "echo E: no such mirror", "exit 1")
    done = run_chroot(tmp_path, "true")
    assert done.returncode == 1
    assert done.stdout.count("E: no such mirror") == 3
    last = done.stdout.splitlines()[-1]
    assert (
        last == "scripts/chroot.py: no Debian forky could be made from http://deb.debian.org/debian"
    )


def test_a_try_that_failed_leaves_no_mounts_and_no_files(bin_folder: Path, tmp_path: Path) -> None:
    fake_debootstrap(
        bin_folder,
        'mkdir --parents "$4/proc" && touch "$4/left" && mount --types proc proc "$4/proc"',
        f'[ "$(wc --lines < {bin_folder}/runs)" = 3 ] && test -e "$4/proc/1" && echo mounted',
        "exit 1",
    )
    done = run_chroot(tmp_path, "true")
    assert "\nmounted\n" in done.stdout  # the third try met nothing that stood in its way
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_half_a_system_is_made_again(bin_folder: Path, tmp_path: Path) -> None:
    half = tmp_path / "systems" / "forky" / "bin"
    half.mkdir(parents=True)
    fake_debootstrap(bin_folder, '[ -e "$4/bin" ] && echo something was left', "exit 1")
    done = run_chroot(tmp_path, "true")
    assert "something was left" not in done.stdout
    assert (bin_folder / "runs").read_text().count("run") == 3
