"""One round of each kind of measurement: a running server in, figures by name out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .load import Client, Load, burst_ms, children_cpu_seconds, finish_wrk, run_wrk, start_wrk
from .process import ServerProcess

MIB = 1024 * 1024
IDLE_CONNECTIONS = 4000  # many: the first ones may live in memory that the start-up freed

Figures = dict[str, float]
Measure = Callable[[ServerProcess, int], Figures]
"""Takes the server and the seconds of one round."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Requests/s, latency and CPU per request under one load."""

    load: Load

    def __call__(self, server: ServerProcess, seconds: int) -> Figures:
        used, load_used = server.usage(), children_cpu_seconds()
        start = time.perf_counter()
        reply = run_wrk(self.load, server.port, seconds)
        wall = time.perf_counter() - start
        used = server.usage() - used
        cpu_us = used.cpu_ns / 1000 / reply.requests
        return {
            "rps": reply.rps,
            "p50_ms": reply.p50_ms,
            "p99_ms": reply.p99_ms,
            "cpu_us": cpu_us,
            "per_cpu_s": 1e6 / cpu_us,
            "user_us": cpu_us * used.user_share,
            "system_us": cpu_us * (1 - used.user_share),
            "rss_mib": server.resident_bytes() / MIB,
            "server_busy": used.cpu_ns / 1e9 / wall,
            "load_busy": (children_cpu_seconds() - load_used) / wall,
        }


@dataclass(frozen=True, slots=True)
class Beside:
    """A light load's latency while another load keeps the server busy."""

    light: Load
    heavy: Load

    def __call__(self, server: ServerProcess, seconds: int) -> Figures:
        heavy_wrk = start_wrk(self.heavy, server.port, seconds)
        light_wrk = start_wrk(self.light, server.port, seconds)
        light, heavy = finish_wrk(light_wrk), finish_wrk(heavy_wrk)
        return {
            "rps": light.rps,
            "p50_ms": light.p50_ms,
            "p99_ms": light.p99_ms,
            "def_rps": heavy.rps,
            "def_p99_ms": heavy.p99_ms,
        }


@dataclass(frozen=True, slots=True)
class Burst:
    """The time that a burst of requests takes, one on each of `count` connections."""

    path: str
    count: int

    def __call__(self, server: ServerProcess, seconds: int) -> Figures:
        return {"burst_ms": burst_ms(server.port, self.path, self.count)}


def start(server: ServerProcess, seconds: int) -> Figures:
    """What the server has used since it was started: it accepts connections now."""
    used = server.usage().cpu_ns / 1e6
    return {"start_ms": used, "rss_mib": server.resident_bytes() / MIB}


def idle(server: ServerProcess, seconds: int) -> Figures:
    """How often the server wakes up when nobody asks for anything, after it has served."""
    time.sleep(1)
    before, start = server.wakeups(), time.perf_counter()
    cpu = server.usage()
    time.sleep(max(seconds, 5))
    wall = time.perf_counter() - start
    return {
        "wakeups": (server.wakeups() - before) / wall,
        "idle_cpu_us": (server.usage() - cpu).cpu_ns / 1e3 / wall,
        "threads": server.threads(),
    }


def memory(server: ServerProcess, seconds: int) -> Figures:
    """Resident memory after start and a few requests, and what each idle connection adds."""
    clients = [Client(server.port)]
    try:
        for _ in range(100):
            clients[0].get("/async")
        before = server.resident_bytes()
        for _ in range(IDLE_CONNECTIONS):
            client = Client(server.port)
            clients.append(client)
            client.get("/async")
        after = server.resident_bytes()
    finally:
        for client in clients:
            client.close()
    return {
        "rss_mib": before / MIB,
        "conn_kib": (after - before) / 1024 / IDLE_CONNECTIONS,
        "threads": server.threads(),
    }
