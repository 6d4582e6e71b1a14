""".ci/newer: what refuses a change, and what only says that 3.14 and 3.15 were left out."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = (ROOT / ".ci" / "newer").read_text()

# Stands for scripts/chroot.py: writes down what it is asked, fails at what FAIL says (when it is
# SHAKY, not alone), and stays at what HANG says.
CHROOT = """
import os, signal, sys
asked = " ".join((os.environ["PYTHON"], *sys.argv[sys.argv.index("forky") + 1:]))
with open("asked", "a") as file:
    file.write(asked + "\\n")
if os.environ.get("HANG", "nothing") in asked:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with open(os.environ["STARTED"], "w") as file:
        file.write(str(os.getpid()))
    signal.sigwait({signal.SIGTERM})
    with open("ended", "w"):
        sys.exit(1)
alone = "JOBS=0" in asked and os.environ.get("SHAKY")
if os.environ.get("FAIL", "nothing") in asked and not alone:
    print(os.environ.get("SAYS", ""))
    sys.exit(1)
"""
# Stands for chroot(8), which asks for the packages' versions.
VERSIONS = """#!/bin/sh
echo "${VERSIONS:-%s}"
"""


def known() -> str:
    found = re.search(r'^known="(.+?)"', SCRIPT, re.MULTILINE | re.DOTALL)
    assert found
    return found.group(1)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    programs = {
        "scripts/chroot.py": CHROOT,
        "scripts/system.py": "import os, sys; sys.exit(bool(os.environ.get('NO_TOOLS')))",
        "bin/chroot": VERSIONS % known(),
        "bin/debootstrap": "#!/bin/sh\n",
        ".ci/newer": SCRIPT,
    }
    for name, text in programs.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (tmp_path / "build" / "debian").mkdir(parents=True)
    return tmp_path


def environment(project: Path, env: Mapping[str, str]) -> dict[str, str]:
    path = f"{project / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, "NEWER_USER": "0", "PATH": path, **env}


def run(project: Path, *arguments: str, **env: str) -> tuple[int, str]:
    """(the status, what was printed)"""
    done = subprocess.run(
        [project / ".ci" / "newer", *arguments],
        env=environment(project, env),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def asked(project: Path) -> list[str]:
    return (project / "asked").read_text().splitlines()


def test_both_pythons_are_prepared_and_tried(project: Path) -> None:
    assert run(project, "tools")[0] == 0
    assert run(project, "prepare")[0] == 0
    status, said = run(project, "core")
    assert (status, "left out" in said) == (0, False)
    for python in ("python3.14", "python3.15"):
        assert f"{python} make conformance-loop" in asked(project)


@pytest.mark.parametrize("limit", ["900", "0"])
def test_a_mirror_that_gives_nothing_refuses_no_change(project: Path, limit: str) -> None:
    assert run(project, "prepare")[0] == 0  # of the last time nothing must count
    notes = project / "notes"  # which .ci/run says once more at its end
    status, said = run(project, "prepare", limit, FAIL="make packages", NEWER_NOTES=str(notes))
    assert status == 0
    assert "left out: what they need" in notes.read_text()
    assert "3.14 and 3.15: left out: what they need" in said
    before = asked(project)
    status, said = run(project, "core")
    assert status == 0
    assert "3.14 and 3.15: left out" in said
    assert asked(project) == before


@pytest.mark.parametrize(
    ("part", "hang"),
    [("prepare", "make packages"), ("prepare", "3.14 make build"), ("core", "conformance-loop")],
)
def test_what_takes_too_long_refuses_no_change(project: Path, part: str, hang: str) -> None:
    assert run(project, "prepare")[0] == 0
    started = project / "started"
    status, said = run(project, part, "2", HANG=hang, STARTED=str(started))
    assert status == 0
    assert "3.14 and 3.15: left out: " in said
    if started.exists():  # on a slow machine it didn't come so far
        while not (number := started.read_text()):
            time.sleep(0.05)
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(int(number)).wait(60)
        assert (project / "ended").exists()


def test_without_root_they_are_left_out(project: Path) -> None:
    for part in ("tools", "prepare"):
        status, said = run(project, part, NEWER_USER="1000")
        assert status == 0
        assert "left out: chroot and mount need root" in said


def test_without_debootstrap_they_are_left_out(project: Path) -> None:
    status, said = run(project, "tools", NO_TOOLS="1")
    assert (status, "left out: no debootstrap" in said) == (0, True)
    (project / "bin" / "debootstrap").unlink()
    for name in ("bash", "dirname"):
        (project / "bin" / name).symlink_to(f"/usr/bin/{name}")
    (project / "bin" / "rm").symlink_to("/bin/rm")
    status, said = run(project, "prepare", PATH=str(project / "bin"))
    assert (status, "left out: no debootstrap" in said) == (0, True)


@pytest.mark.parametrize(
    "fault",
    ["3.14 make build", "make strict CC=clang", "3.14 make conformance-loop", "3.14 make test"],
)
def test_what_fails_is_named(project: Path, fault: str) -> None:
    prepared, first = run(project, "prepare", FAIL=fault)
    status, said = (prepared, first) if prepared else run(project, "core", FAIL=fault)
    assert status == 1
    words = fault.partition("make ")[2].replace("test", "tests python3.14")
    assert re.search(f"==== FAILED: .*{words}", said)


def test_a_debian_that_has_moved_on_refuses_no_change(project: Path) -> None:
    versions = known().replace("3.15.0", "3.15.1")
    assert run(project, "prepare")[0] == 0
    status, said = run(project, "core", FAIL="3.15 make conformance-loop", VERSIONS=versions)
    assert status == 0
    assert "FAILED, but no refusal" in said
    assert "python3.14 make conformance-loop" in asked(project)


@pytest.mark.parametrize(
    ("says", "forgiven"),
    [("FAILED tests/test_x.py::test", 0), ("FAILED tests/test_x.py::test\nSegmentation fault", 1)],
)
def test_what_shakes_is_tried_alone(project: Path, says: str, forgiven: int) -> None:
    assert run(project, "prepare")[0] == 0
    status, said = run(project, "core", FAIL="3.15 make test", SHAKY="1", SAYS=says)
    assert status == forgiven
    assert ("UNSTEADY, to be mended: tests/test_x.py::test" in said) == (not forgiven)


@pytest.mark.parametrize("part", ["prepare", "core"])
@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGKILL])
def test_an_end_from_outside_ends_what_was_started(
    project: Path, part: str, way: signal.Signals
) -> None:
    """So do mounts: they are chroot.py's, which ends by SIGTERM as tests/test_chroot.py has it."""
    assert run(project, "prepare")[0] == 0
    started = project / "started"
    os.mkfifo(started)
    env = environment(project, {"HANG": "3.15 make", "STARTED": str(started)})
    with subprocess.Popen([project / ".ci" / "newer", part], env=env) as process:
        chroot = psutil.Process(int(started.read_text()))
        process.send_signal(way)
        chroot.wait(60)
    assert (project / "ended").exists()
