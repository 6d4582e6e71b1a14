"""One measurement's process: a loop, by name, that runs a case of this folder.

    python worker.py LOOP run CASE COUNT               prints operations, CPU and wall seconds
    python worker.py LOOP lateness CASE COUNT          prints the microseconds that timers are late
    python worker.py LOOP serve CASE WHERE [FILE ...]  an echo server until SIGTERM; prints "ready"

Standard library only, besides the loop.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import signal
import sys
import time

import callbacks
import echo


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """A loop of asyncio, uvloop or fluvial; also what asyncio.new_event_loop() would give."""
    if name == "asyncio":
        return asyncio.SelectorEventLoop()
    module = importlib.import_module(name)
    loop: asyncio.AbstractEventLoop = module.new_event_loop() if name == "uvloop" else module.Loop()
    return loop


def run(loop: asyncio.AbstractEventLoop, case: str, count: int) -> None:
    function = callbacks.CASES[case]
    if sys.version_info < (3, 12) and case == "processes" and type(loop).__module__ != "uvloop":
        # Before 3.12 asyncio's own loop wants a watcher; this one is what 3.12 made the default.
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(loop)
        asyncio.get_event_loop_policy().set_child_watcher(watcher)
    function(loop, max(count // 20, 10_000 if case == "call_later" else 10))  # warm-up
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    done = function(loop, count)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"count": done, "cpu": cpu, "wall": wall}))


def lateness(loop: asyncio.AbstractEventLoop, case: str, count: int) -> None:
    function = callbacks.LATENESS[case]
    function(loop, count // 10)  # warm-up
    late = sorted(seconds * 1e6 for seconds in function(loop, count))
    shown = {
        "early_us": late[0],
        "late_p50_us": late[count // 2],
        "late_p99_us": late[-count // 100],
    }
    print(json.dumps({"count": len(late), **shown}))


def serve(loop: asyncio.AbstractEventLoop, case: str, where: str, files: list[str]) -> None:
    loop.run_until_complete(echo.SERVERS[case](where, files))
    loop.add_signal_handler(signal.SIGTERM, loop.stop)
    print("ready", flush=True)
    loop.run_forever()


def main() -> None:
    name, action, case, *rest = sys.argv[1:]
    loop = new_loop(name)
    asyncio.set_event_loop(loop)
    if action == "run":
        run(loop, case, int(rest[0]))
        loop.close()
    elif action == "lateness":
        lateness(loop, case, int(rest[0]))
        loop.close()
    else:
        serve(loop, case, rest[0], rest[1:])


if __name__ == "__main__":
    main()
