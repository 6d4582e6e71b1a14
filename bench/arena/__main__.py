"""Measures Fluvial beside servers in Python, Go, Rust, JavaScript and C, on HttpArena's profiles.

One core for the server, another one for the load. The figure is the server's CPU time per request,
user and system, of all its threads and processes: it minds other work on the machine least, and
the limits of the load generator not at all. All responses are compared with what they must be
before any is timed.

    python bench/arena                                     all, about fifteen minutes
    python bench/arena --only json,static --contenders fluvial,nginx --rounds 3
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from contextlib import ExitStack
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent.parent
if __name__ == "__main__":
    sys.path[:1] = [str(ROOT), str(ROOT / "scripts")]

from bench.arena import data, table  # noqa: E402
from bench.arena.contenders import CONTENDERS, DATA, NotHere, told  # noqa: E402
from bench.arena.profiles import PROFILES, Profile  # noqa: E402
from bench.harness import load  # noqa: E402
from bench.harness.options import some_of  # noqa: E402
from bench.harness.others import Others  # noqa: E402
from bench.harness.process import ServerFailed, ServerProcess  # noqa: E402
from bench.harness.results import Results  # noqa: E402
from bench.harness.run import OPEN_FILES, default_cpus, parse_cpus, print_machine  # noqa: E402

if TYPE_CHECKING:
    from bench.harness.servers import Server


def main() -> int:
    options = parse_options()
    if shutil.which("wrk") is None or shutil.which("taskset") is None:
        print(
            "wrk and taskset are needed (Debian: apt-get install wrk util-linux)", file=sys.stderr
        )
        return 1
    load.allow_descriptors(OPEN_FILES)
    data.write(DATA)
    made = make_contenders(options.contenders)
    load.pin_to(options.cpus[1])
    print_machine(*options.cpus, options)
    results, profiles = Results(), [PROFILES[name] for name in options.only]
    started = time.monotonic()
    complete = all([measure(profile, made, results, options) for profile in profiles])
    print(f"\n{table.figures(profiles, list(made), results)}\n")
    print(table.judged(profiles, results))
    print(f"\n{time.monotonic() - started:.0f} s")
    if options.json is not None:
        options.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    return 0 if complete else 1


def make_contenders(names: list[str]) -> dict[str, Server]:
    """Builds them; one whose tools are missing is named, and left out."""
    made = {}
    for name in names:
        try:
            made[name] = CONTENDERS[name].make()
        except NotHere as why:
            print(f"without {name}: {why}", file=sys.stderr)
    return made


def measure(
    profile: Profile, made: dict[str, Server], results: Results, options: argparse.Namespace
) -> bool:
    """Runs the profile on its contenders in turns; whether all responded right to the end.

    One that fails is named, and takes no further part in this profile.
    """
    print(f"{profile.name}: {profile.title}", file=sys.stderr, flush=True)
    how = {"tls": profile.tls, "compressed": profile.compressed, "http2": profile.http2}
    wanted = [told(each, **how) for name, each in made.items() if name in profile.contenders]
    with ExitStack() as stack:
        running = [stack.enter_context(server.start(options.cpus[0])) for server in wanted]
        racing = [each for each in running if is_ready(profile, each)]
        for _ in range(options.rounds):
            racing = [each for each in racing if one_round(profile, each, results, options)]
    return len(racing) == len(wanted)


def is_ready(profile: Profile, server: ServerProcess) -> bool:
    """Checks and warms up a server, and freezes it."""
    try:
        server.wait_ready()
        profile.check(server.name, server.port)
        profile.measure(server, 1)
    except (ServerFailed, load.LoadFailed, OSError, HTTPException) as error:
        print(f"  FAILED {server.name}: {error}", file=sys.stderr, flush=True)
        return False
    server.pause()
    return True


def one_round(
    profile: Profile, server: ServerProcess, results: Results, options: argparse.Namespace
) -> bool:
    server.resume()
    others = Others(server, [cpu for cpu in options.cpus if cpu is not None])
    try:
        figures = profile.measure(server, options.seconds)
        server.check()
    except (ServerFailed, load.LoadFailed) as error:
        print(f"  FAILED {server.name}: {error}", file=sys.stderr, flush=True)
        return False
    figures["others"] = others.share()
    results.add(profile.name, server.name, figures)
    server.pause()
    return True


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/arena", description=(__doc__ or "").split("\n\n", maxsplit=1)[0]
    )
    everything, everybody = list(PROFILES), list(CONTENDERS)
    parser.add_argument("--only", type=some_of(everything), default=everything, metavar="PROFILE,…")
    parser.add_argument(
        "--contenders", type=some_of(everybody), default=everybody, metavar="NAME,…"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds per profile (5)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds per round, whole (2)")
    parser.add_argument("--cpus", type=parse_cpus, default=default_cpus(), metavar="SERVER,LOAD")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds there")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
