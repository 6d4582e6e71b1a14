"""Breaks the sources at one place after the other, and runs the tests that should notice.

    python tests/mutants/run.py            all mutants
    python tests/mutants/run.py 'ws/*'     those whose names match

Each worker has a copy of the project under build/mutants, which is kept and built incrementally;
the project itself is never touched. First all tests must pass without any breakage. A mutant is
killed when a test fails, when the process crashes, or when it hangs until the timeout, and the
report says which. A breakage that doesn't apply or doesn't build is no kill but an error. The
exit status is 0 only when all have been killed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

import catalogue
import psutil
from catalogue import ROOT, Mutant

COPIES = ROOT / "build" / "mutants"

TEST_TIMEOUT = 40  # seconds for one test, after which pytest-timeout ends the process
RUN_TIMEOUT = 120  # seconds for all tests of a mutant, should pytest itself hang
FIRST_TIMEOUT = 3600  # seconds for all tests without breakage
FIRST_TEST_TIMEOUT = 240  # for one of them, on a busy machine

KILLED, SURVIVED, ERROR = "killed", "SURVIVED", "ERROR"

SOURCES = (".c", ".h", ".py", ".md", ".toml")

# What must not come from outside: the copies are tested as they are built here.
FOREIGN = ("FLUVIAL_", "LD_PRELOAD", "PYTHONPATH", "PYTEST_", "MAKE", "MFLAGS")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a mutant: the verdict, and how, and the end of the output."""

    verdict: str
    how: str
    output: str = ""


class Copy:
    """A copy of the project, in which one mutant is tried at a time."""

    def __init__(self, number: int) -> None:
        self.folder = COPIES / str(number)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}
        self.env = {**kept, "PYTHONPATH": str(self.folder / "pysrc"), "FLUVIAL_LTO": "0"}
        self.env["FLUVIAL_VENDOR_CACHE"] = str(ROOT / "build" / "vendor")

    def refresh(self) -> None:
        """Brings the files to the state of the project; what is the same keeps its time."""
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        names = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
        for name in names:
            source, target = ROOT / name, self.folder / name
            if not target.is_file() or target.read_bytes() != source.read_bytes():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        for top in ("ext", "pysrc", "tests"):
            for path in (self.folder / top).rglob("*.*"):
                known = str(path.relative_to(self.folder)) in names
                if not known and path.suffix in SOURCES:
                    path.unlink()

    def build(self) -> str:
        """Builds what has changed; the errors, if any."""
        return self._run("setup.py", "--quiet", "build_ext", "--inplace")

    def build_probe(self) -> str:
        """The same for what tests of HTTP are built with, which takes longer than a test may."""
        path = "import sys; sys.path.insert(0, 'tests'); "
        return self._run("-c", path + "from support import http_core; http_core.load()")

    def _run(self, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, *args],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr if done.returncode != 0 else ""

    def test(self, nodes: list[str], options: list[str], timeout: float) -> tuple[int | None, str]:
        """(pytest's exit status, or None when it had to be killed; its output)"""
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += [f"--timeout={TEST_TIMEOUT}", "--timeout-method=thread", *options, *nodes]
        pytest = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        status: int | None = None
        try:
            output, _ = pytest.communicate(timeout=timeout)
            status = pytest.returncode
        except subprocess.TimeoutExpired:
            output = ""
        finally:
            end_session(pytest.pid)  # servers that a test left behind, too
        pytest.wait()
        return status, output

    def try_mutant(self, mutant: Mutant, number: int) -> Outcome:
        """Applies the breakage, builds, tests, and takes it out again."""
        path = self.folder / mutant.file
        text, before = path.read_text(), path.stat()
        try:
            path.write_text(mutant.broken(text))
        except ValueError as error:
            return Outcome(ERROR, f"doesn't apply: {error}")
        try:
            if path.suffix == ".py":
                # Cached byte code is told from the source by whole seconds and the size.
                os.utime(path, (before.st_atime, int(before.st_mtime) + number))
            elif errors := self.build():
                return Outcome(ERROR, "doesn't build", errors)
            return judge(*self.test(list(mutant.tests), ["-x"], RUN_TIMEOUT))
        finally:
            path.write_text(text)
            if path.suffix == ".py":
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def end_session(session: int) -> None:
    """Kills what is left of the session that this started: workers have groups of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)
    for process in psutil.pids():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process) == session:
                os.kill(process, signal.SIGKILL)


def judge(status: int | None, output: str) -> Outcome:
    if status is None or "+ Timeout +" in output:
        return Outcome(KILLED, "by a timeout: it hangs", output)
    if status == 0:
        return Outcome(SURVIVED, "all tests pass", output)
    if status == 1:
        failed = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
        return Outcome(KILLED, f"by {failed.group(1) if failed else 'a failure'}", output)
    if status < 0 or status > 128:
        number = -status if status < 0 else status - 128
        return Outcome(KILLED, f"by a crash: signal {number}", output)
    return Outcome(ERROR, f"pytest could not run the tests (status {status})", output)


def try_all(copies: list[Copy], mutants: list[Mutant]) -> dict[str, Outcome]:
    """Tries them all, as many at once as there are copies, and tells of each."""
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)
    telling = threading.Lock()
    outcomes: dict[str, Outcome] = {}

    def one(number: int, mutant: Mutant) -> None:
        copy = free.get()
        started = time.monotonic()
        try:
            outcome = copy.try_mutant(mutant, number)
        finally:
            free.put(copy)
        took = time.monotonic() - started
        with telling:
            outcomes[mutant.name] = outcome
            count = f"[{len(outcomes)}/{len(mutants)}]"
            print(f"{count} {mutant.name}: {outcome.verdict} {outcome.how} ({took:.1f} s)")

    with ThreadPoolExecutor(len(copies)) as pool:
        # Neighbours break the same file: one compilation takes the last out and the next in.
        ordered = sorted(mutants, key=lambda mutant: mutant.file)
        list(pool.map(one, range(1, len(ordered) + 1), ordered))
    return outcomes


def prepare(copies: list[Copy], mutants: list[Mutant], jobs: int, unchecked: bool) -> None:
    """Builds the copies and runs all tests in the first. Raises: SystemExit."""
    if wrong := [f"{m.name}: {fault}" for m in mutants for fault in catalogue.faults(m)]:
        sys.exit("\n".join(["these mutants don't apply:", *wrong]))
    for copy in copies:
        copy.refresh()
        if errors := copy.build() or copy.build_probe():
            sys.exit(f"the copy in {copy.folder} doesn't build:\n{errors}")
    if unchecked:
        return
    nodes = sorted({node for mutant in mutants for node in mutant.tests})
    print(f"{len(mutants)} mutants; first {len(nodes)} tests without any")
    options = ["-n", str(jobs), f"--timeout={FIRST_TEST_TIMEOUT}"]
    status, output = copies[0].test(nodes, options, FIRST_TIMEOUT)
    if status != 0:
        sys.exit(f"{output}\nthe tests must pass before anything is broken (status {status})")


def report(mutants: list[Mutant], outcomes: dict[str, Outcome], verbose: bool) -> None:
    bad = [mutant for mutant in mutants if outcomes[mutant.name].verdict != KILLED]
    for mutant in bad:
        outcome = outcomes[mutant.name]
        print(f"\n{outcome.verdict}: {mutant.name} {outcome.how}\n  {mutant.file}: {mutant.why}")
        if verbose or outcome.verdict == ERROR:
            print(outcome.output[-3000:])
    hung = [name for name, outcome in outcomes.items() if "timeout" in outcome.how]
    print(f"\n{len(mutants) - len(bad)} of {len(mutants)} killed, {len(hung)} of them by a timeout")
    print(f"survivors: {', '.join(mutant.name for mutant in bad) or 'none'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="names, as ws/*")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="copies at once")
    parser.add_argument("--unchecked", action="store_true", help="don't run all tests first")
    parser.add_argument("--verbose", action="store_true", help="the output of survivors, too")
    options = parser.parse_args()
    mutants = catalogue.load(options.patterns)
    if not mutants:
        sys.exit("no mutant has such a name; tests/mutants/*.toml lists them")
    copies = [Copy(number) for number in range(min(options.jobs, len(mutants)))]
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    prepare(copies, mutants, options.jobs, options.unchecked)
    outcomes = try_all(copies, mutants)
    report(mutants, outcomes, options.verbose)
    return 0 if all(outcome.verdict == KILLED for outcome in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
