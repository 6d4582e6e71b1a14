"""scripts/system.py: what is missing is named, and installed where that is possible."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import system  # noqa: E402


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A system whose PATH is one empty folder; returns the folder."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(system, "has_postgres", lambda: True)
    return tmp_path


def script(folder: Path, name: str, *lines: str) -> None:
    path = folder / name
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)


def fake_apt(folder: Path) -> Path:
    """An apt-get that logs its arguments and 'installs' wrk."""
    log = folder / "log"
    script(folder, "env", 'shift; exec "$@"')
    script(
        folder,
        "apt-get",
        f'echo "$@" >> {log}',
        f'[ "$1" = install ] && echo "#!/bin/sh" > {folder}/wrk && /bin/chmod 755 {folder}/wrk',
        "true",
    )
    return log


def test_nothing_is_installed_when_all_is_there(bare: Path) -> None:
    log = fake_apt(bare)
    script(bare, "wrk")
    script(bare, "taskset")
    system.main(["bench"])
    assert not log.exists()


def test_missing_tools_are_named_where_there_is_no_apt(bare: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        system.main(["bench"])
    message = str(caught.value)
    assert "wrk (wrk), taskset (util-linux)" in message
    assert "apt-get install --yes --no-install-recommends wrk util-linux" in message


def test_apt_installs_what_is_missing_and_only_that(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = fake_apt(bare)
    script(bare, "taskset")
    monkeypatch.setattr(system.os, "geteuid", lambda: 0)
    system.main(["bench"])
    assert log.read_text().splitlines() == [
        "update",
        "install --yes --no-install-recommends wrk",
    ]


def test_a_user_who_is_not_root_goes_through_sudo(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = fake_apt(bare)
    script(bare, "taskset")
    monkeypatch.setattr(system.os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match="Install these"):
        system.main(["bench"])
    script(bare, "sudo", f"echo sudo >> {log}", 'exec "$@"')
    system.main(["bench"])
    assert log.read_text().splitlines()[0] == "sudo"


def test_apt_that_does_not_help_is_an_error(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_apt(bare)
    monkeypatch.setattr(system.os, "geteuid", lambda: 0)
    with pytest.raises(SystemExit, match="still missing after apt-get: taskset"):
        system.main(["bench"])


def test_an_old_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "MINIMUM", (4, 0))
    with pytest.raises(SystemExit, match=r"needs CPython 4\.0 or newer"):
        system.main(["build"])
