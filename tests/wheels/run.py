"""Installs the wheels of dist/ where there is no compiler, and asks a server: `make wheels-test`.

    python tests/wheels/run.py [--python 3.13]

Each wheel for x86-64 and the GNU C library is tried in a minimal Debian of the suite that has its
Python, without compiler and headers, made by debootstrap under build/debian-bare (root only). pip
installs it without a network, from the wheel and a folder of what Fluvial depends on. Then the
server answers over HTTP and over TLS. Fails if one of them doesn't.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import chroot  # noqa: E402

SYSTEMS = ROOT / "build" / "debian-bare"
SUITES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "forky", "3.15": "forky"}
LARGEST = 4 * 1024 * 1024  # bytes
PLATFORM = "manylinux_2_28_x86_64"
# What must not be there, so that it's certain that nothing was compiled.
FORBIDDEN = ("usr/bin/cc", "usr/bin/gcc", "usr/bin/clang", "usr/include/stdlib.h")
# $1: Python. The network is away for pip alone: in its namespace not even 127.0.0.1 answers.
SCRIPT = """
set -e
"$1" -m venv /tmp/venv
unshare --net /tmp/venv/bin/pip install --quiet --no-index --find-links /wheels fluvial
cd /wheels
exec /tmp/venv/bin/python ask.py
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", action="append", choices=SUITES)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("tests/wheels/run.py: chroot and mount need root", file=sys.stderr)
        return 1
    wheels = sorted(options.dist.glob(f"fluvial-*-{PLATFORM}.whl"))
    tried, failed = 0, 0
    for wheel in wheels:
        python = re.sub(r"cp(\d)(\d+)", r"\1.\2", wheel.name.split("-")[2])
        if python not in SUITES:
            print(f"{wheel.name}: no Debian has Python {python}; not tried")
        if python not in (options.python or SUITES):
            continue
        tried += 1
        failed += not passes(wheel, python)
    print(f"{tried - failed} passed, {failed} failed")
    return 1 if failed or not tried else 0


def passes(wheel: Path, python: str) -> bool:
    """Whether a server answers where this wheel was installed."""
    root = make_system(python)
    folder = root / "wheels"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    download_needs(python, folder)
    shutil.copy(wheel, folder)
    shutil.copy(Path(__file__).with_name("ask.py"), folder)
    make_certificate(folder)
    command = ["sh", "-c", SCRIPT, "sh", f"python{python}"]
    answered = chroot.run(root, command, {}, folder="/") == 0
    small = wheel.stat().st_size <= LARGEST
    size = f"{wheel.stat().st_size:,} bytes"
    print(f"{wheel.name}: {size}, {'answers' if answered else 'FAILED'} in {root.name}", flush=True)
    return answered and small


def make_system(python: str) -> Path:
    """A Debian with that Python and venv."""
    root = SYSTEMS / SUITES[python]
    chroot.make_system(SUITES[python], root)
    chroot.install(root, [f"python{python}", f"python{python}-venv"])
    there = [name for name in FORBIDDEN if (root / name).exists()]
    there += [str(path) for path in root.glob("usr/include/python*/Python.h")]
    if there:
        raise SystemExit(f"tests/wheels/run.py: {root} isn't bare: {', '.join(there)}")
    return root


def download_needs(python: str, folder: Path) -> None:
    """What Fluvial depends on, as wheels for that Python."""
    listed = [sys.executable, str(ROOT / "scripts" / "extras.py"), "--dependencies"]
    done = subprocess.run(listed, check=True, capture_output=True, text=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder)]
    command += ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    for platform in (PLATFORM, "manylinux_2_17_x86_64", "manylinux2014_x86_64"):
        command += ["--platform", platform]
    subprocess.run([*command, *done.stdout.split("\n")[:-1]], check=True)


def make_certificate(folder: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
