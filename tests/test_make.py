"""`make run`: from a checkout to an app that answers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Variables of `make asan` and `make debug`, which must not reach another make.
FLAVOUR = {"LD_PRELOAD", "PYTHONPATH", "PYTHONMALLOC", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}


@pytest.mark.skipif(
    not Path(sys.prefix, ".installed").is_file(), reason="not in an environment of make's"
)
def test_make_run_serves_the_tutorial() -> None:
    env = {name: value for name, value in os.environ.items() if name not in FLAVOUR}
    env["PYTHONUNBUFFERED"] = "1"
    command = ["make", "run", f"VENV={sys.prefix}", f"PYTHON={sys.executable}", "PORT=0"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as make:
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
