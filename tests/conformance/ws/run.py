"""The Autobahn cases for WebSocket, run by kosoku against `fluvial run` on two echo apps.

    make conformance-ws                     sections 1 to 7, 9 and 10, and a part of 12 and 13
    make conformance-ws CONFORMANCE=--all   all of 12 and 13, too: takes 20 minutes or more

Every case has to end OK or INFORMATIONAL; NON-STRICT isn't enough. How many there are of each
section stands in EXPECTED, so that cases that are not run show, too. Exit status 1 when anything
is missing. Reports of single cases, with the frames of both sides, are in build/conformance-ws.

Two things about kosoku 0.1. Its cases of sections 12 and 13 take an echo that comes uncompressed
for an error ("Strings must be encoded before hashing"), which is the right of a server
(RFC 7692 section 6); so Fluvial runs without its threshold here. And nothing of them hangs, but
the large ones take up to half a minute each, which is compression on both sides.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPORTS = HERE.parents[2] / "build" / "conformance-ws"
# Cases in each section; of 12 and 13 in the parts that are run by default and in all.
EXPECTED = {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1}
DEFLATE = {12: 5, 13: 7}  # subsections, each with the same 18 sizes
SIZES = 18
PART = (2, 4, 5, 11)  # up to 8 KiB, also in fragments
PARALLEL = 4
GOOD = ("OK", "INFORMATIONAL")


def select(everything: bool) -> tuple[list[str], dict[int, int]]:
    """The cases as kosoku wants them, and how many each section has."""
    cases = [f"{section}.*" for section in EXPECTED]
    if everything:
        cases += [f"{section}.*" for section in DEFLATE]
    else:
        cases += [
            f"{s}.{n + 1}.{size}"
            for s, count in DEFLATE.items()
            for n in range(count)
            for size in PART
        ]
    sizes = SIZES if everything else len(PART)
    return cases, EXPECTED | {s: count * sizes for s, count in DEFLATE.items()}


@contextlib.contextmanager
def served(app: str) -> Iterator[int]:
    """Runs `fluvial run apps:APP`; the port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    options = ["--port", str(port), "--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "fluvial", "run", f"apps:{app}", "--app-dir", str(HERE)]
    server = subprocess.Popen([*command, *options, "--ws-deflate-threshold", "0"])
    try:
        wait_for(port, server)
        yield port
    finally:
        server.terminate()
        if server.wait(30) != 0:
            raise SystemExit(f"the server of {app} ended with {server.returncode}")


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Returns when the port takes connections. Raises: SystemExit."""
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"the server does not listen (status {server.poll()})")


def run(app: str, cases: list[str], timeout: float) -> dict[str, str]:
    """Each case's outcome."""
    out = REPORTS / app
    shutil.rmtree(out, ignore_errors=True)
    kosoku = shutil.which("kosoku", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
    if kosoku is None:
        raise SystemExit("kosoku is missing: pip install 'fluvial[conformance-ws]'")
    chosen = [word for case in cases for word in ("--include", case)]
    with served(app) as port:
        address = f"ws://127.0.0.1:{port}/"
        command = [kosoku, address, "--outdir", str(out), "-p", str(PARALLEL), *chosen]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    try:
        index = json.loads((out / "index.json").read_text(encoding="utf-8"))
    except OSError:
        raise SystemExit(f"kosoku gave no report:\n{done.stdout}{done.stderr}") from None
    return {case: outcome(found) for agent in index.values() for case, found in agent.items()}


def outcome(found: dict[str, str]) -> str:
    """One word for how a case ended: the worse of its messages and its close handshake."""
    words = (found["behavior"], found["behaviorClose"])
    return next((word for word in words if word not in GOOD), words[0])


def natural(case: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", case)]


def summarise(app: str, outcomes: dict[str, str], expected: dict[int, int]) -> bool:
    """Prints a line for each section and each bad case; whether all is as expected."""
    fine = True
    by_section = collections.defaultdict(collections.Counter)
    for case, word in outcomes.items():
        by_section[natural(case)[0]][word] += 1
    for section, count in expected.items():
        words = by_section[section]
        good = sum(words[word] for word in GOOD)
        fine &= good == count == words.total()
        detail = ", ".join(f"{n} {word}" for word, n in sorted(words.items()))
        print(f"  {app:7} {section:3}: {good} of {count}  ({detail})")
    for case in sorted(outcomes, key=natural):
        if outcomes[case] not in GOOD:
            print(f"  {app:7} {case}: {outcomes[case]}")
    return fine


def main() -> int:
    """Runs, prints, judges."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="all sizes of sections 12 and 13")
    parser.add_argument("--app", choices=("native", "asgi"), action="append", help="only this one")
    args = parser.parse_args()
    cases, expected = select(args.all)
    fine = True
    for app in args.app or ("native", "asgi"):
        started = time.monotonic()
        outcomes = run(app, cases, 7200 if args.all else 240)
        fine &= summarise(app, outcomes, expected)
        print(f"  {app:7} {len(outcomes)} cases in {time.monotonic() - started:.0f} s")
    print("all as expected" if fine else "NOT as expected")
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(main())
