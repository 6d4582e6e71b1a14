"""Counts the instructions that Fluvial spends on one request of a route, and where.

Runs the server under valgrind's callgrind, which simulates: the figure hardly varies from run to
run, so that it shows what a change of a few instructions does. The server is warmed up without
counting, a fixed number of requests is sent one after the other, and the counts are divided by it.

    python bench/callgrind.py /async
    python bench/callgrind.py '/items/42?q=river' --requests 2000 --depth 16 --top 40
    python bench/callgrind.py /async --tree conn_read       callers and callees of a function
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

# The folder of this file must not be searched: it holds an http.py.
ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "scripts")]

from bench.harness import servers  # noqa: E402
from bench.harness.layers import by_layer  # noqa: E402
from bench.harness.load import Client  # noqa: E402
from bench.harness.process import ServerFailed, ServerProcess, free_port  # noqa: E402

WARM_UP = 300
START_SECONDS = 120.0


def main() -> int:
    options = parse_options()
    if shutil.which("valgrind") is None:
        print("valgrind is needed (Debian: apt-get install valgrind)", file=sys.stderr)
        return 1
    profile = servers.WORK / "callgrind.out"
    try:
        with start(options, profile) as server:
            server.wait_ready(START_SECONDS)
            client = Client(server.port)
            ask(client, options, WARM_UP)
            control(server, "--instr=on")
            ask(client, options, options.requests)
            control(server, "--dump")
    except ServerFailed as error:
        print(error, file=sys.stderr)
        return 1
    dump = Path(f"{profile}.1")  # .1 is what --dump wrote; the rest is the server's end
    print_report(dump, options)
    return 0


def start(options: argparse.Namespace, profile: Path) -> ServerProcess:
    name = options.server
    for old in profile.parent.glob(f"{profile.name}*"):
        old.unlink()
    server = {
        "raw": servers.raw,
        "fluvial": lambda: servers.fluvial(
            threads=options.threads, app=options.app, options=shlex.split(options.options)
        ),
        "fluvial-asgi": servers.fluvial_asgi,
    }[name]()
    port = free_port()
    command = [
        *("valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}"),
        *("--instr-atstart=no", "--separate-threads=no", "--trace-children=no"),
    ]
    return ServerProcess.start(
        name,
        [*command, *server.command(port)],
        port=port,
        cpu=None,
        cwd=server.cwd,
        env={**server.env, "PYTHONHASHSEED": "0"},
        log=servers.WORK / "callgrind.log",
    )


def ask(client: Client, options: argparse.Namespace, count: int) -> None:
    """Sends `count` requests, `options.depth` at a time."""
    for _ in range(count // options.depth):
        client.send(options.path, options.depth, options.json)
        client.receive(options.depth)


def control(server: ServerProcess, command: str) -> None:
    # callgrind_control works through vgdb; the server must be in a system call, which it is now.
    subprocess.run(
        ["callgrind_control", command, str(server.pid)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=60,
    )


def print_report(dump: Path, options: argparse.Namespace) -> None:
    requests = options.requests // options.depth * options.depth
    command = ["callgrind_annotate", "--threshold=100", "--auto=no"]
    if options.tree:
        command += ["--tree=both", "--inclusive=yes"]
    elif options.inclusive:
        command.append("--inclusive=yes")
    text = subprocess.run(
        [*command, str(dump)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    total = re.search(r"^([\d,]+) .*PROGRAM TOTALS", text, re.MULTILINE)
    if total is None:
        raise SystemExit(f"callgrind_annotate printed no totals:\n{text[:500]}")
    print(f"{options.server} {options.path}: {requests} requests, depth {options.depth}")
    all_of_it = _number(total.group(1))
    print(f"{all_of_it / requests:>12,.0f}  instructions per request, outside the kernel")
    if options.layers:
        for layer, count in by_layer(dump).items():
            print(f"{count / requests:>12,.0f}  {layer}")
        return
    if options.tree:
        text = _around(text, options.tree)
    # The counters were zeroed inside main() and its like: callgrind charges them with everything.
    entries: dict[str, int] = {}
    for line in text.splitlines():
        if re.match(r"^ *[\d,]+ \(", line):
            count, where = _parse(line)
            if count < all_of_it:
                entries.setdefault(where, count)  # --inclusive lists some functions twice
    for where, count in list(entries.items())[: options.top]:
        print(f"{count / requests:>12,.1f}  {where}")


def _around(text: str, name: str) -> str:
    """The blocks of callgrind_annotate --tree that belong to functions called `name`."""
    blocks = re.split(r"\n\s*\n", text)
    marker = re.compile(rf"^ *[\d,]+ .*\* .*\b{re.escape(name)}\b", re.MULTILINE)
    return "\n".join(block for block in blocks if marker.search(block))


def _parse(line: str) -> tuple[int, str]:
    """'1,234 (5.6%)  some/file.c:function [some/object]' to 1234 and 'file.c:function'."""
    count, _, rest = line.strip().partition(" ")
    rest = re.sub(r"^\([^)]*\)\s*", "", rest)
    rest = re.sub(r" \[[^\]]*\]$", "", rest)
    return _number(count), re.sub(r"[^ ]*/", "", rest)


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("path", help="what to request")
    parser.add_argument("--app", default="fluvial_app:app", help="of bench/apps (fluvial_app:app)")
    parser.add_argument("--json", metavar="BODY", help="to POST; otherwise it is a GET")
    parser.add_argument("--server", choices=("fluvial", "fluvial-asgi", "raw"), default="fluvial")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--depth", type=int, default=1, help="requests per write (1)")
    parser.add_argument("--threads", type=int, help="the pool's limit")
    parser.add_argument("--options", default="", help="of `fluvial run`, as one text")
    parser.add_argument("--top", type=int, default=30, help="lines to print (30)")
    parser.add_argument("--layers", action="store_true", help="what reading, parsing … cost")
    parser.add_argument("--inclusive", action="store_true", help="with what a function calls")
    parser.add_argument("--tree", metavar="FUNCTION", help="its callers (<) and callees (>)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
