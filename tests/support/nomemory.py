"""Requests of a kind, again and again, each with another allocation that fails; run as a program.

    python nomemory.py HOOK FOLDER KINDS TIMES STEP

HOOK is ext/base/nomemory.c, compiled (`build`), which must be loaded before anything uses OpenSSL.
KINDS are names of `nomemory_kinds.py`, divided by commas. Of each, every STEP-th allocation of a
request fails, one after the other, in TIMES requests; a line of JSON says what came of them.

A request may be answered as ever, or with 500 or 503, or its connection is closed, whatever part of
a response has come; others are answered as ever, on their connections and on new ones; and nothing
of it stays. It is an error when a client waits in vain.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

ROOT = Path(__file__).resolve().parents[2]

# Libraries and modules that are not prepared for it: msgspec crashes, what is written in Rust ends
# its thread, and the standard library doesn't release locks that its `with` has taken.
SPARED = ("/msgspec/", "/pydantic_core/", "/threading.py", "/concurrent/futures/")
PATIENCE = 30  # seconds, for a server under a sanitizer on a busy machine
MANY = 300
MOST = 5000  # allocations of one request
PING = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"


def build(folder: Path) -> Path:
    """Compiles the hook. It has no sanitizer: it only passes calls on."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import native

    target = folder / "nomemory.so"
    flags = ["-std=c11", "-fPIC", "-shared", "-g", "-O1", "-fvisibility=hidden"]
    flags += ["-DFLUVIAL_TEST_HOOKS", "-I", str(ROOT / "ext"), *native.python_flags()]
    source = ROOT / "ext" / "base" / "nomemory.c"
    command = [*native.Toolchain().cc, *flags, "-o", target, source, "-lcrypto"]
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(command, env=env, check=True)
    return target


def load(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("nomemory", path)
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    for index, part in enumerate(SPARED):
        hook.spare(index, part)
    return hook


def place(hook: Any) -> str:
    """The functions that called for the allocation that failed last."""
    found = []
    env = {"PATH": os.environ["PATH"]}
    for file, offset in hook.where()[2:24]:
        command = ["addr2line", "-f", "-s", "-e", file, hex(offset - 1)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        found.append("@".join(done.stdout.split()[:2]))
    return " < ".join(found)


def ask(sock: socket.socket) -> None:
    """Raises: OSError or AssertionError when there is no answer."""
    sock.sendall(PING)
    answer = b""
    while not answer.endswith(b'"pong"'):
        piece = sock.recv(4096)
        assert piece, "closed"
        answer += piece


class Sweep:
    """The requests of one kind to `served`."""

    def __init__(self, hook: Any, served: Any, kind: Any) -> None:
        self.hook = hook
        self.served = served
        self.kind = kind
        self.outcomes: dict[str, int] = {}
        self.faults: list[str] = []
        self.usual = {kind.exchange(served) for _ in range(10)}
        self.other = self._connect()

    def _connect(self) -> socket.socket:
        sock: socket.socket = self.served.connect()
        sock.settimeout(PATIENCE)
        ask(sock)  # from then on it has been accepted
        return sock

    def run(self, times: int, step: int) -> int:
        """How many allocations there are."""
        for number in range(1, MOST, step):
            if self._fail(number, times) < number:
                break
        self.other.close()
        if b"HTTP/1.1 " in min(self.usual):
            assert self.kind.exchange(self.served) in self.usual
        return number

    def _fail(self, number: int, times: int) -> int:
        """The allocation of this number fails. How many there were."""
        seen = max(self._fail_once(number) for _ in range(times))
        # What Python and we keep for the next time has its bounds: it doesn't grow so often.
        if times > 1 and all(self._grows(number, many) for many in (times, MANY, MANY, MANY)):
            self.faults.append(f"{number}: leaks: {place(self.hook)}")
        return seen

    def _fail_once(self, number: int) -> int:
        self.hook.fail(number, 1)
        answer = self.kind.exchange(self.served)
        seen: int = self.hook.seen()
        self.hook.fail(0, 0)
        self._judge(number, answer)
        self._ask_others(number)
        return seen

    def _grows(self, number: int, times: int) -> bool:
        """Whether each time leaves something."""
        before = self._blocks()
        for _ in range(times):
            self._fail_once(number)
        return self._blocks() - before >= times

    def _judge(self, number: int, answer: bytes) -> None:
        outcome = self.kind.outcome(self.usual, answer)
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if outcome not in {"usual", "closed", "cut", "500", "503"}:
            self.faults.append(f"{number}: {outcome}: {answer[:300]!r}: {place(self.hook)}")

    def _ask_others(self, number: int) -> None:
        """Somebody else's connection, which was there before."""
        try:
            ask(self.other)
        except (OSError, AssertionError) as exc:
            self.faults.append(f"{number}: another connection: {exc!r}: {place(self.hook)}")
            self.other.close()
            self.other = self._connect()

    def _blocks(self) -> int:
        self.kind.wait_until_idle(self.served, 1)
        gc.collect()
        blocks: int = self.hook.blocks()
        return blocks


def main(path: str, folder: str, names: str, times: str, step: str) -> None:
    hook = load(path)
    sys.path.insert(0, str(ROOT / "tests"))
    import faulthandler
    import logging

    from support import nomemory_kinds

    faulthandler.enable()
    logging.disable(logging.CRITICAL)  # what the handlers' errors say is of no interest
    sys.unraisablehook = lambda _: None
    hook.exempt()
    with nomemory_kinds.served(Path(folder), tls="tls" in names) as served:
        gc.collect()
        gc.freeze()  # what is there from the start need not be looked at each time
        for name in names.split(","):
            sweep = Sweep(hook, served, nomemory_kinds.KINDS[name])
            number = sweep.run(int(times), int(step))
            nomemory_kinds.wait_until_idle(served, 0)
            result = {"kind": name, "allocations": number, "outcomes": sweep.outcomes}
            print(json.dumps({**result, "faults": sweep.faults[:20]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
