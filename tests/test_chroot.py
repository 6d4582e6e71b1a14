"""scripts/chroot.py: systems that can't be made are reported; nothing stays mounted or runs on."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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


@pytest.fixture
def bare_system(tmp_path: Path) -> Path:
    """The smallest system that runs something: a shell, and what it is linked with."""
    root = tmp_path / "systems" / "forky"
    for name in ("proc", "sys", "dev", "tmp", "etc/ssl/certs", "usr/bin"):
        (root / name).mkdir(parents=True)
    linked = subprocess.run(["ldd", "/bin/sh"], check=True, capture_output=True, text=True).stdout
    for file in ("/bin/sh", *re.findall(r"(/\S+) \(", linked)):
        copy = root / file.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    return root


@pytest.fixture
def silent_fifo(tmp_path: Path) -> Iterator[Path]:
    """Whoever reads from it waits until the test has ended."""
    path = tmp_path / "silent"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)
    yield path
    os.close(fd)


MAIN = """\
import sys
sys.path.insert(0, sys.argv.pop(1))
import chroot
chroot.PAUSE = 0
try:
    sys.exit(chroot.main())
except chroot.Ended as ended:
    chroot.die_of(ended.number)
"""
# The same for one function, with the arguments ROOT COMMAND...
INSTALL = MAIN.replace("chroot.main()", "chroot.install(chroot.Path(sys.argv[1]), sys.argv[2:])")
RUN = MAIN.replace("chroot.main()", "run()").replace(
    "try:",
    """\
def run():
    chroot.notice_signals()
    return chroot.run(chroot.Path(sys.argv[1]), sys.argv[2:], {}, folder="/")
try:""",
)


def python_command(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, str(SCRIPT.parent), *arguments]


def main_command(tmp_path: Path, *command: str) -> list[str]:
    return python_command(MAIN, "--folder", str(tmp_path / "systems"), "forky", *command)


def run_chroot(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        main_command(tmp_path, *command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=100,
    )


@contextmanager
def started(command: list[str], output: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Starts what writes a line to the FIFO `output` once it runs.

    Yields the process and the FIFO, of which that line was read.
    """
    os.mkfifo(output)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        fd = os.open(output, os.O_RDONLY)
        try:
            assert os.read(fd, 100) == b"runs\n"
            yield process, fd
        finally:
            os.close(fd)
            process.kill()


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


# The last one gives it no chance to do anything.
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]
# Writes "runs", and waits with a child: both hold the FIFO open, and neither heeds a signal.
WAIT = """trap "" INT TERM HUP; exec 3>{fifo}; echo runs >&3; (read line <&4) & read line <&4"""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_what_runs_inside(
    number: signal.Signals, bare_system: Path, tmp_path: Path
) -> None:
    (bare_system / "etc" / "started").mkdir()
    command = ["/bin/sh", "-c", "exec 4<&0; " + WAIT.format(fifo="/etc/started/fifo")]
    fifo = bare_system / "etc/started/fifo"
    with started(python_command(RUN, str(bare_system), *command), fifo) as (process, fd):
        process.send_signal(number)
        assert os.read(fd, 1) == b""  # nobody is left who could write
        assert process.wait(60) == -number
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_debootstrap(
    number: signal.Signals, bin_folder: Path, silent_fifo: Path, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    waiting = f"exec 4<{silent_fifo}; " + WAIT.format(fifo=fifo)
    mount = 'mkdir --parents "$4/proc" && mount --types proc proc "$4/proc"'
    fake_debootstrap(bin_folder, mount, waiting)
    with started(main_command(tmp_path, "true"), fifo) as (process, fd):
        process.send_signal(number)
        assert os.read(fd, 1) == b""
        assert process.wait(60) == -number
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert not (tmp_path / "systems" / "forky.made").exists()  # it is made anew
    assert (bin_folder / "runs").read_text() == "run\n"  # no second try


def install_calls(root: Path, shown: str, *packages: str) -> list[str]:
    """What install() runs where dpkg-query shows this."""
    for name in ("dpkg-query", "dpkg", "apt-get"):
        program = root / "usr/bin" / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >>/etc/calls\n')
        program.chmod(0o755)
    (root / "usr/bin/dpkg-query").write_text(f"#!/bin/sh\nprintf '{shown}'\n")
    (root / "etc/calls").write_text("")
    done = subprocess.run(python_command(INSTALL, str(root), *packages), check=False)
    assert done.returncode == 0
    return (root / "etc/calls").read_text().splitlines()


@pytest.mark.parametrize(
    ("shown", "missing"),
    [
        ("gcc installed\\n", " make"),
        ("make unpacked\\n", ""),
        ("make installed\\nlibc6 half-configured\\n", ""),
        ("make installed\\nlibc6 half-installed\\n", ""),
    ],
)
def test_packages_that_were_left_half_installed_come_first(
    bare_system: Path, shown: str, missing: str
) -> None:
    calls = install_calls(bare_system, shown, "make")
    configured = calls.index("dpkg --configure -a")
    (installed,) = (i for i, call in enumerate(calls) if "apt-get install" in call)
    assert configured < installed
    assert calls[installed].endswith(f" --fix-broken{missing}")


def test_where_all_is_installed_nothing_is_asked(bare_system: Path) -> None:
    shown = "make installed\\nlibc6 triggers-pending\\n"
    assert install_calls(bare_system, shown, "make") == []
    (bare_system / "var/lib/dpkg/updates").mkdir(parents=True)
    (bare_system / "var/lib/dpkg/updates/0001").touch()  # dpkg was interrupted
    assert "dpkg --configure -a" in install_calls(bare_system, shown, "make")


def test_a_system_has_a_mount_at_its_root(bare_system: Path) -> None:
    """unshare(1) refuses to work without, so that no system could be made in another one."""
    look = 'while read -r _ _ _ _ at _; do [ "$at" != / ] || exit 7; done </proc/self/mountinfo'
    assert subprocess.call(python_command(RUN, str(bare_system), "/bin/sh", "-c", look)) == 7


def test_the_copy_has_the_sources_and_the_pages_scripts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import chroot

    assets = tmp_path / "project" / chroot.ASSETS
    assets.mkdir(parents=True)
    (assets / "page.js").write_text("1")
    (tmp_path / "project" / "setup.py").write_text("2")
    (tmp_path / "project" / ".gitignore").write_text("assets/\n/build/\n")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path / "project", check=True)
    monkeypatch.setattr(chroot, "ROOT", tmp_path / "project")
    chroot.copy_sources(tmp_path / "system")
    copy = tmp_path / "system" / "fluvial"
    assert (copy / "setup.py").read_text() == "2"
    assert (copy / chroot.ASSETS / "page.js").read_text() == "1"
    listed = subprocess.run(
        ["git", "ls-files"], cwd=copy, capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == [".gitignore", "setup.py"]
    (assets / "page.js").unlink()
    chroot.copy_sources(tmp_path / "system")
    assert not (copy / chroot.ASSETS / "page.js").exists()


def test_two_may_copy_at_once_and_a_killed_one_leaves_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import chroot

    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "setup.py").write_text("1")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path / "project", check=True)
    monkeypatch.setattr(chroot, "ROOT", tmp_path / "project")
    system = tmp_path / "system"
    chroot.copy_sources(system)
    (system / "fluvial/.git/index.lock").touch()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(chroot.copy_sources, [system] * 8))
