"""The benchmark's own instruments, against the raw C server and a process with known habits."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.certificate import make_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT), str(ROOT / "scripts")]


from bench.harness import servers  # noqa: E402
from bench.harness.cases import Field, Target  # noqa: E402
from bench.harness.expect import Expect, Expected  # noqa: E402
from bench.harness.framework_cases import FRAMEWORK_TARGETS, framework_cases  # noqa: E402
from bench.harness.layers import by_layer  # noqa: E402
from bench.harness.load import Client, LoadFailed, burst_ms  # noqa: E402
from bench.harness.measure import memory  # noqa: E402
from bench.harness.process import ServerFailed, ServerProcess, free_port  # noqa: E402
from bench.harness.raw import build_echo_load  # noqa: E402
from bench.harness.results import Results  # noqa: E402
from bench.loops.cases import CASES, Echo, Lateness, Program  # noqa: E402


@pytest.fixture
def raw() -> Iterator[ServerProcess]:
    with servers.raw().start(cpu=None) as server:
        server.wait_ready()
        yield server


def start_python(program: str, folder: Path) -> ServerProcess:
    return ServerProcess.start(
        "python",
        [sys.executable, "-c", program],
        port=free_port(),
        cpu=None,
        cwd=folder,
        env={},
        log=folder / "log",
    )


def test_raw_server_answers_a_pipelined_batch_in_full(raw: ServerProcess) -> None:
    client = Client(raw.port)
    client.send("/async", times=5000)
    client.receive(times=5000)
    client.sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    client.receive()
    assert client.sock.recv(1) == b""
    client.close()


def test_raw_server_closes_on_what_llhttp_refuses(raw: ServerProcess) -> None:
    client = Client(raw.port)
    client.sock.sendall(b"nonsense\r\n\r\n")
    with pytest.raises(LoadFailed, match="closed"):
        client.receive()
    client.close()


def test_cpu_and_memory_are_read_from_the_process(raw: ServerProcess) -> None:
    before = raw.usage()
    client = Client(raw.port)
    for _ in range(200):
        client.get("/")
    client.close()
    assert (raw.usage() - before).cpu_ns > 0
    assert raw.threads() == 1
    assert raw.wakeups() > 0
    assert memory(raw, 1)["conn_kib"] < 4


def test_burst_asks_on_every_connection(raw: ServerProcess) -> None:
    assert burst_ms(raw.port, "/", 64) > 0


def test_all_processes_of_a_server_are_counted_and_stopped(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('fifo', 'w').write(str(child.pid)); child.wait()\n"
    )
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with start_python(program, tmp_path) as server:
        child = os.pidfd_open(int(fifo.read_text()))
        assert server.threads() == 2
        assert server.resident_bytes() > 0
    ended, _, _ = select.select([child], [], [])  # a pidfd is readable once its process ended
    os.close(child)
    assert ended


def test_a_server_that_ends_is_reported_with_its_output(tmp_path: Path) -> None:
    with (
        start_python("raise SystemExit('no such app')", tmp_path) as server,
        pytest.raises(ServerFailed, match="no such app"),
    ):
        server.wait_ready()


WORKER = ROOT / "bench" / "loops" / "worker.py"


@pytest.mark.parametrize("case", [case for case in CASES if isinstance(case, Echo)], ids=str)
def test_echo_servers_send_back_what_they_got(case: Echo, tmp_path: Path) -> None:
    port = free_port()
    where = str(tmp_path / "socket") if case.server == "unix" else str(port)
    files = make_certificate(tmp_path) if case.server == "tls" else ()
    with ServerProcess.start(
        "echo",
        [sys.executable, str(WORKER), "fluvial", "serve", case.server, where, *map(str, files)],
        port=port,
        cpu=None,
        cwd=ROOT,
        env={},
        log=tmp_path / "log",
    ) as server:
        server.wait_output("ready")
        # It compares what comes back, and fails when anything differs.
        command = [build_echo_load(), case.transport, where, "4", str(case.size), "0.1"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[0]) > 0


@pytest.mark.parametrize("loop", ["asyncio", "fluvial"])
@pytest.mark.parametrize("case", [case for case in CASES if isinstance(case, Program)], ids=str)
def test_programs_for_loops_do_what_they_count(case: Program, loop: str) -> None:
    command = [sys.executable, str(WORKER), loop, "run", case.name, "10000"]
    if case.name == "processes":
        command[-1] = "20"
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["count"] == int(command[-1])


@pytest.mark.parametrize("case", [case for case in CASES if isinstance(case, Lateness)], ids=str)
def test_lateness_is_that_of_each_timer(case: Lateness) -> None:
    command = [sys.executable, str(WORKER), "fluvial", "lateness", case.name, "1000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    assert result["count"] == 1000
    assert 0 <= result["early_us"] <= result["late_p50_us"] <= result["late_p99_us"]


def test_ratios_are_taken_within_rounds() -> None:
    results = Results()
    for ours, theirs in ((10, 5), (30, 10), (4, 4)):
        results.add("async", "fluvial", {"rps": ours})
        results.add("async", "raw", {"rps": theirs})
    assert results.figure("async", "fluvial", "rps") == 10
    assert results.ratio("async", "fluvial", "raw", "rps") == 2
    assert results.ratio("async", "fluvial", "granian", "rps") is None
    target = Target(case="async", label="", figure="rps", bound=2, relative_to="raw")
    assert target.value(results) == 2
    assert target.is_met(2.0)
    assert not target.is_met(1.9)


def test_frameworks_are_measured_only_when_their_responses_are_right(tmp_path: Path) -> None:
    program = (
        "import http.server, sys\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_POST(self):\n"
        "        content = self.rfile.read(int(self.headers['content-length']))\n"
        "        self.send_response(200)\n"
        "        self.send_header('x-stamp', '1')\n"
        "        self.end_headers()\n"
        "        self.wfile.write(content)\n"
        "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()\n"
    )
    port = free_port()
    command = [sys.executable, "-c", program, str(port)]
    server = ServerProcess.start(
        "echo", command, port=port, cpu=None, cwd=tmp_path, env={}, log=tmp_path / "log"
    )
    with server:
        server.wait_ready()
        body = {"name": "Cup", "id": 5}
        right = Expected("POST", "/a", {"id": 5}, body=body, expected_headers={"x-stamp": "1"})
        Expect([right])(server)
        with pytest.raises(LoadFailed, match="echo: /a: 200"):
            Expect([right, Expected("POST", "/a", {"id": 6}, body=body)])(server)
        with pytest.raises(LoadFailed, match="x-stamp"):
            Expect([Expected("POST", "/a", body, body=body, expected_headers={"x-stamp": "2"})])(
                server
            )
    head, _, content = right.request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert b"\r\nContent-Length: %d" % len(content) in head
    assert json.loads(content) == body


def test_targets_of_frameworks_are_for_their_cases() -> None:
    cases = {case.name for case in framework_cases(Field(frozenset()))}
    assert {target.case for target in FRAMEWORK_TARGETS} <= cases


CALLGRIND = """\
# callgrind format
events: Ir
fl=(1) /src/ext/http/h1.c
fn=(1) h1_parse
10 100
cfi=(2) /src/ext/app/coro.c
cfn=(2) coro_go_on
calls=1 20
11 90
cfi=(3) ???
cfn=(3) memcpy
calls=2 0
12 10
fl=(2)
fn=(2)
20 30
cfi=(3)
cfn=(4) PyIter_Send
calls=1 0
21 40
cfi=(3)
cfn=(3)
calls=6 0
22 20
fl=(3)
fn=(3)
0 30
fn=(4)
0 35
cfn=(3)
calls=1 0
0 5
"""


def test_layers_share_what_they_have_called(tmp_path: Path) -> None:
    """memcpy belongs to its callers in proportion: 10, 20 and 5 of 35."""
    dump = tmp_path / "callgrind.out"
    dump.write_text(CALLGRIND)
    costs = {name: round(cost, 1) for name, cost in by_layer(dump).items() if cost}
    share = 30 / 35
    assert costs == {
        "parse": round(100 + 10 * share, 1),
        "call": round(30 + 20 * share, 1),
        "handler": round(35 + 5 * share, 1),
    }
