"""Load that wrk can't give: few requests for each connection, large bodies, and HTTP/2."""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.harness.load import LoadFailed, children_cpu_seconds
from bench.harness.raw import build_http_load
from bench.harness.servers import WORK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.harness.measure import Figures
    from bench.harness.process import ServerProcess

_SUCCEEDED = re.compile(r"^requests: .* (\d+) succeeded, (\d+) failed, (\d+) errored", re.M)


@dataclass(frozen=True, slots=True)
class Counted:
    """CPU per request of what a command sends. `count` reads its output: how many responses."""

    command: Callable[[int, int], Sequence[str]]
    count: Callable[[str], float]

    def __call__(self, server: ServerProcess, seconds: int) -> Figures:
        used, load_used = server.usage(), children_cpu_seconds()
        start = time.perf_counter()
        command = list(self.command(server.port, seconds))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wall, used = time.perf_counter() - start, server.usage() - used
        if done.returncode != 0:
            raise LoadFailed(f"{command[0]}: {(done.stderr or done.stdout)[-500:]}")
        responses = self.count(done.stdout)
        if not responses:
            raise LoadFailed(f"{command[0]}: no response\n{done.stdout[-500:]}")
        cpu_us = used.cpu_ns / 1000 / responses
        return {
            "rps": responses / wall,
            "cpu_us": cpu_us,
            "user_us": cpu_us * used.user_share,
            "system_us": cpu_us * (1 - used.user_share),
            "load_busy": (children_cpu_seconds() - load_used) / wall,
        }


def by_http_load(name: str, requests: Sequence[bytes], *, connections: int, each: int) -> Counted:
    """The requests in turn, `each` of them on a connection (0: all), by raw/http_load.c."""

    def command(port: int, seconds: int) -> list[str]:
        file = WORK / "arena" / f"{name}.requests"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"".join(b"%d\n%s" % (len(each), each) for each in requests))
        options = [str(port), str(connections), str(seconds), str(each), str(file)]
        return [str(build_http_load()), *options]

    return Counted(command, lambda output: float(output.split()[0]))


def by_h2load(paths: Sequence[str], *, connections: int, streams: int) -> Counted:
    """The paths in turn over HTTP/2 with TLS, so many streams at once on each connection."""

    def command(port: int, seconds: int) -> list[str]:
        urls = [f"https://127.0.0.1:{port}{path}" for path in paths]
        options = ["-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}"]
        return ["h2load", *options, *urls]

    return Counted(command, _succeeded)


def _succeeded(output: str) -> float:
    found = _SUCCEEDED.search(output)
    if found is None or "Application protocol: h2" not in output:
        raise LoadFailed(f"h2load: {output[-500:]}")
    succeeded, failed, errored = map(int, found.groups())
    if failed or errored:
        raise LoadFailed(f"h2load: {failed} failed, {errored} errored")
    return succeeded
