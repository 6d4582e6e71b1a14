"""`make run`: from a checkout to an app that answers. `make test`: what it leaves."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from support.postgres import find_programs

ROOT = Path(__file__).resolve().parent.parent

# Variables of `make asan` and `make debug`, which must not reach another make.
FLAVOUR = {"LD_PRELOAD", "PYTHONPATH", "PYTHONMALLOC", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}

pytestmark = pytest.mark.skipif(
    not Path(sys.prefix, ".installed").is_file(), reason="not in an environment of make's"
)


def start_make(*arguments: str) -> subprocess.Popen[str]:
    """Starts make with this environment, in a group of processes of its own."""
    env = {name: value for name, value in os.environ.items() if name not in FLAVOUR}
    env["PYTHONUNBUFFERED"] = "1"
    return subprocess.Popen(
        ["make", f"VENV={sys.prefix}", f"PYTHON={sys.executable}", *arguments],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_make_run_serves_the_tutorial() -> None:
    with start_make("run", "PORT=0") as make:
        assert make.stdout is not None
        lines = []
        try:
            for line in make.stdout:
                lines.append(line)
                if found := re.search(r"http://[\d.]+:\d+", line):
                    with urllib.request.urlopen(found.group() + "/sync", timeout=30) as answer:
                        assert answer.read() == b'{"type":"sync"}'
                    break
            else:
                pytest.fail("no URL:\n" + "".join(lines))
        finally:
            os.killpg(make.pid, signal.SIGINT)
            lines.extend(make.stdout)
    assert "fluvial: starting examples/tutorial.py\n" in lines
    assert "Traceback" not in "".join(lines)


WITH_POSTGRES = """
import os, pathlib, time
from conftest import postgres

def test_that_waits(postgres):
    server = int((postgres.folder / "data/postmaster.pid").read_text().split()[0])
    report = pathlib.Path({report!r})
    report.with_suffix(".new").write_text(f"{{os.getpid()}} {{server}} {{postgres.folder}}")
    report.with_suffix(".new").rename(report)
    time.sleep(1000)
"""


@pytest.mark.skipif(find_programs() is None, reason="no PostgreSQL here")
@pytest.mark.parametrize(
    "way", ["SIGINT", "SIGTERM", "SIGKILL", "SIGTERM of pytest", "SIGKILL of the worker"]
)
def test_an_interrupted_make_test_leaves_no_postgres(way: str, tmp_path: Path) -> None:
    report = tmp_path / "report"
    file = tmp_path / "test_waits.py"
    file.write_text(WITH_POSTGRES.format(report=str(report)))
    tests = f"TESTS=-c {ROOT}/pyproject.toml --rootdir={tmp_path} {file}"
    with start_make("test", "JOBS=1", tests) as make:
        try:
            while not report.exists():
                assert make.poll() is None, make.communicate()[0]
                time.sleep(0.05)
            worker, server, folder = report.read_text().split(" ", 2)
            postgres = psutil.Process(int(server))
            keeper = postgres.parent()
            assert keeper is not None
            assert "keeper.py" in " ".join(keeper.cmdline())
            name, _, only = way.partition(" of ")
            if only == "the worker":
                os.kill(int(worker), getattr(signal, name))
            elif only == "pytest":
                os.kill(psutil.Process(int(worker)).ppid(), getattr(signal, name))
            else:  # as a terminal does
                os.killpg(make.pid, getattr(signal, name))
            keeper.wait(timeout=60)
            assert not postgres.is_running()
            assert not Path(folder).exists()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(make.pid, signal.SIGKILL)
            make.communicate()
