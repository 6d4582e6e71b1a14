"""The cases of h2spec, and a client in Go, which a `fluvial run` has to please by TLS and without.

    make conformance-h2

h2spec is built from its Go module, version 2.2.1, whose cases with --strict are 146.

One case may fail without TLS: "Sends invalid connection preface" wants a connection that begins
with other bytes to be closed, or GOAWAY. Such bytes are a malformed request of HTTP/1.1 there,
which gets its 400. Exit status 1 when any other fails, or some were not run.

The client, client/main.go, asks by Go's net/http: by TLS in its usual way, else with prior
knowledge.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[2] / "build" / "conformance-h2"
MODULE = "github.com/summerwind/h2spec/cmd/h2spec"
CASES = 146
MAY_FAIL = {"h2c": {"Sends invalid connection preface"}, "tls": set[str]()}
TIMEOUT = "5"  # seconds in which a case has to see its answer


def build() -> tuple[Path, Path]:
    """Compiles h2spec and the client. Raises: SystemExit."""
    go = shutil.which("go")
    if go is None:
        raise SystemExit("go is missing (Debian: apt-get install golang-go)")
    BUILD.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "go.mod", BUILD)
    shutil.copytree(HERE / "client", BUILD / "client", dirs_exist_ok=True)
    for name, package in (("h2spec", MODULE), ("go-client", "./client")):
        command = [go, "build", "-mod=mod", "-o", name, package]
        if subprocess.run(command, cwd=BUILD, check=False).returncode != 0:
            raise SystemExit(f"{name} couldn't be built")
    return BUILD / "h2spec", BUILD / "go-client"


@contextlib.contextmanager
def served(kind: str) -> Iterator[int]:
    """Runs `fluvial run apps:app` on any port that is free; the port. Raises: SystemExit."""
    command = [sys.executable, "-m", "fluvial", "run", "apps:app", "--app-dir", str(HERE)]
    options = ["--port", "0", "--http", "auto", "--no-access-log"]
    secure = ["--tls-dev"] if kind == "tls" else []
    log = BUILD / f"{kind}.log"
    with log.open("w") as errors:
        server = subprocess.Popen([*command, *options, *secure], stderr=errors)
    try:
        yield port_of(log, server)
    finally:
        server.terminate()
        if server.wait(30) != 0:
            raise SystemExit(f"the server ended with {server.returncode}")


def port_of(log: Path, server: subprocess.Popen[bytes]) -> int:
    """The port, once the log names it. Raises: SystemExit."""
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        found = re.search(r"running on https?://127\.0\.0\.1:(\d+)", log.read_text())
        if found is not None:
            return int(found[1])
        time.sleep(0.05)
    raise SystemExit(f"the server does not listen:\n{log.read_text()}")


def run(program: Path, kind: str) -> tuple[int, list[tuple[str, str]]]:
    """How many cases were run, and those that failed: their section and title."""
    report = BUILD / f"{kind}.xml"
    report.unlink(missing_ok=True)
    with served(kind) as port:
        secure = ["--tls", "--insecure"] if kind == "tls" else []
        options = ["--strict", "--timeout", TIMEOUT, "--junit-report", str(report)]
        command = [str(program), "--port", str(port), *options, *secure]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    if not report.exists():
        raise SystemExit(f"h2spec gave no report:\n{done.stdout}{done.stderr}")
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [
        (case.get("package", ""), case.get("classname", ""))
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    return len(cases), failed


def ask(client: Path, kind: str) -> bool:
    """Whether the client has got what it wanted."""
    scheme = "https" if kind == "tls" else "http"
    with served(kind) as port:
        command = [str(client), f"{scheme}://127.0.0.1:{port}"]
        done = subprocess.run(command, timeout=300, check=False)
    print(f"  {kind}: Go's client {'is content' if done.returncode == 0 else 'failed'}")
    return done.returncode == 0


def judge(kind: str, count: int, failed: list[tuple[str, str]]) -> bool:
    """Prints what has come out; whether that is as expected."""
    print(f"  {kind}: {count - len(failed)} of {count}")
    for section, title in failed:
        print(f"  {kind}: {section}: {title}")
    return count == CASES and {title for _, title in failed} <= MAY_FAIL[kind]


def main() -> int:
    """Runs, prints, judges."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=("tls", "h2c"), action="append", help="this way alone")
    args = parser.parse_args()
    program, client = build()
    fine = True
    for kind in args.only or ("tls", "h2c"):
        fine &= judge(kind, *run(program, kind))
        fine &= ask(client, kind)
    print("all as expected" if fine else "NOT as expected")
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
