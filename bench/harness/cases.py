"""The cases: which servers meet under which load, and the targets that Fluvial has to reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import servers
from .load import Load
from .measure import Beside, Burst, Measure, Throughput, idle, memory
from .servers import Peers, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .process import ServerProcess
    from .results import Results

POOL_THREADS = 64
SLEEPS_PER_SECOND = POOL_THREADS / 0.01
DELAYED_CONNECTIONS = 1000
DELAYED_PER_SECOND = DELAYED_CONNECTIONS / 0.05

THROUGHPUT = ("cpu_us", "user_us", "system_us", "p50_ms", "p99_ms", "rss_mib", "load_busy")
_LATENCY = ("p50_ms", "p99_ms", "cpu_us", "server_busy", "load_busy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One table of the report.

    `warm` is the load before the first round. A `fresh` case starts its servers anew for every
    round and sends nothing before it measures. `compare` names the servers to which the figure
    `ratio_of` is set in relation. `check` is called once for each server, before it is measured:
    it raises LoadFailed unless the responses are right.
    """

    name: str
    title: str
    servers: Sequence[Server]
    measure: Measure
    columns: Sequence[str]
    warm: Load | None = None
    check: Callable[[ServerProcess], None] | None = None
    fresh: bool = False
    compare: Sequence[str] = ()
    ratio_of: str = "rps"
    rounds: int | None = None  # None: as many as the command line says
    timed: bool = True  # whether other work on the cores would change the figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What Fluvial has to reach in a case: a figure, or its ratio to a peer's in the same round."""

    case: str
    label: str
    figure: str
    bound: float
    at_most: bool = False
    relative_to: str | None = None
    scale: float = 1.0
    unit: str = ""

    def value(self, results: Results) -> float | None:
        if self.relative_to is not None:
            found = results.ratio(self.case, "fluvial", self.relative_to, self.figure)
        else:
            found = results.figure(self.case, "fluvial", self.figure)
        return None if found is None else found / self.scale

    def is_met(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound


@dataclass(slots=True)
class Field:
    """The servers that take part in this run."""

    wanted: frozenset[str]
    env: dict[str, str] = field(default_factory=dict)
    _peers: Peers | None = None

    def __call__(self, *names: str, threads: int | None = None) -> list[Server]:
        return [self._one(name, threads) for name in names if name in self.wanted]

    def tutorial(self) -> list[Server]:
        """The tutorial app of examples/ for Fluvial's memory; the others run the benchmark's."""
        if "fluvial" not in self.wanted or not (servers.EXAMPLES / "tutorial.py").is_file():
            return self("fluvial")
        return [servers.fluvial(app="tutorial:app", folder=servers.EXAMPLES)]

    def each(self, app: str, *names: str, interface: str = "asginl") -> list[Server]:
        """Servers of `app`, a module and a name in apps/."""
        self._peers = self._peers or (Peers.install() if self.wanted else None)
        found = []
        for name in names:
            if name in self.wanted and self._peers is not None:
                server = self._peers.serve(name, app, interface)
                server.env.update(self.env)
                found.append(server)
        return found

    def _one(self, name: str, threads: int | None) -> Server:
        if name == "raw":
            return servers.raw()
        if name == "fluvial":
            server = servers.fluvial(threads=threads)
        else:
            self._peers = self._peers or Peers.install()
            if name == "fastapi":
                server = self._peers.fastapi(threads=threads)
            else:
                server = getattr(self._peers, name)()
        server.env.update(self.env)
        return server


SERVERS = ("raw", "fluvial", "uvicorn", "granian", "fastpysgi", "fastapi")
EVERY_SERVER = (*SERVERS, "gunicorn")


def all_cases(taking_part: Field) -> list[Case]:
    return [*_route_cases(taking_part), *_pool_cases(taking_part), *_rest_cases(taking_part)]


def _route_cases(taking_part: Field) -> list[Case]:
    plain, deep = Load(path="/async"), Load(path="/async", depth=16)
    items = Load(path="/items/42?q=river")
    delayed = Load(path="/delayed", connections=DELAYED_CONNECTIONS)
    return [
        Case(
            name="async",
            title="/async, 64 connections",
            servers=taking_part(*SERVERS),
            measure=Throughput(plain),
            warm=plain,
            columns=THROUGHPUT,
            compare=("raw", "uvicorn"),
        ),
        Case(
            name="async16",
            title="/async, 64 connections, 16 requests pipelined",
            servers=taking_part(*SERVERS),
            measure=Throughput(deep),
            warm=deep,
            columns=THROUGHPUT,
            compare=("raw", "uvicorn"),
        ),
        Case(
            name="items",
            title="/items/{item_id}?q= with an int and an optional str, 64 connections",
            servers=taking_part("raw", "fluvial", "fastapi"),
            measure=Throughput(items),
            warm=items,
            columns=THROUGHPUT,
            compare=("raw", "fastapi"),
        ),
        Case(
            name="delayed",
            title=f"/delayed with 50 ms, {DELAYED_CONNECTIONS} connections",
            servers=taking_part("fluvial", "fastapi"),
            measure=Throughput(delayed),
            warm=delayed,
            columns=_LATENCY,
            compare=("fastapi",),
        ),
    ]


def _pool_cases(taking_part: Field) -> list[Case]:
    sync = Load(path="/sync")
    sleep = Load(path="/sleep", connections=POOL_THREADS)
    light, heavy = Load(path="/async", connections=8), Load(path="/cpu", connections=8)
    sleepers = taking_part("fluvial", "fastapi", threads=POOL_THREADS)
    return [
        Case(
            name="sync",
            title="/sync (def, thread pool), 64 connections",
            servers=taking_part("raw", "fluvial", "fastapi"),
            measure=Throughput(sync),
            warm=sync,
            columns=THROUGHPUT,
            compare=("raw", "fastapi"),
        ),
        Case(
            name="busy",
            title="/async on 8 connections while 8 others keep a def busy that computes for 10 ms",
            servers=taking_part("fluvial", "fastapi"),
            measure=Beside(light, heavy),
            warm=heavy,
            columns=("p50_ms", "p99_ms", "def_rps", "def_p99_ms"),
            compare=("fastapi",),
            ratio_of="def_rps",
        ),
        Case(
            name="sleep",
            title=f"def that sleeps 10 ms, 64 connections, limit of {POOL_THREADS} threads",
            servers=sleepers,
            measure=Throughput(sleep),
            warm=sleep,
            columns=_LATENCY,
            compare=("fastapi",),
        ),
        Case(
            name="cold",
            title="the same from a cold pool, start of the load included",
            servers=sleepers,
            measure=Throughput(sleep),
            fresh=True,
            columns=_LATENCY,
            compare=("fastapi",),
        ),
        Case(
            name="burst",
            title="64 requests at once to a cold pool, def sleeps 10 ms: time to the last answer",
            servers=sleepers,
            measure=Burst("/sleep", POOL_THREADS),
            fresh=True,
            columns=("burst_ms",),
        ),
    ]


def _rest_cases(taking_part: Field) -> list[Case]:
    return [
        Case(
            name="idle",
            title="idle server: voluntary context switches of all its threads",
            servers=taking_part(*SERVERS),
            measure=idle,
            warm=Load(path="/async"),
            columns=("wakeups", "idle_cpu_us", "threads"),
            rounds=1,
            timed=False,
        ),
        Case(
            name="memory",
            title="resident memory (Fluvial: the tutorial app), and per idle keep-alive connection",
            servers=[
                *taking_part("raw"),
                *taking_part.tutorial(),
                *taking_part("uvicorn", "granian", "fastpysgi", "fastapi"),
            ],
            measure=memory,
            fresh=True,
            columns=("rss_mib", "conn_kib", "threads"),
            timed=False,
        ),
    ]


TARGETS = (
    Target(case="async", label="/async", figure="rps", bound=0.75, relative_to="raw"),
    Target(case="async", label="/async", figure="rps", bound=2.5, relative_to="uvicorn"),
    Target(
        case="async",
        label="/async",
        figure="user_us",
        bound=0.25,
        at_most=True,
        relative_to="uvicorn",
    ),
    Target(
        case="async16", label="/async, 16 pipelined", figure="rps", bound=0.25, relative_to="raw"
    ),
    Target(case="sync", label="/sync", figure="rps", bound=0.6, relative_to="raw"),
    Target(case="sync", label="/sync", figure="rps", bound=15, relative_to="fastapi"),
    Target(case="items", label="/items/{item_id}?q=", figure="rps", bound=0.65, relative_to="raw"),
    Target(
        case="delayed",
        label="/delayed, of the possible",
        figure="rps",
        bound=0.85,
        scale=DELAYED_PER_SECOND,
    ),
    Target(
        case="busy",
        label="/async beside a busy def",
        figure="p99_ms",
        bound=12,
        at_most=True,
        unit="ms",
    ),
    Target(
        case="busy",
        label="/async beside a busy def",
        figure="p50_ms",
        bound=3,
        at_most=True,
        unit="ms",
    ),
    Target(
        case="busy",
        label="the busy def itself",
        figure="def_rps",
        bound=0.75,
        relative_to="fastapi",
    ),
    Target(
        case="sleep",
        label="sleeping def, of the possible",
        figure="rps",
        bound=0.8,
        scale=SLEEPS_PER_SECOND,
    ),
    Target(
        case="cold",
        label="the same, cold pool",
        figure="rps",
        bound=0.8,
        scale=SLEEPS_PER_SECOND,
    ),
    Target(case="idle", label="idle", figure="wakeups", bound=1, at_most=True, unit="/s"),
    Target(
        case="memory", label="tutorial app", figure="rss_mib", bound=35, at_most=True, unit="MiB"
    ),
    Target(
        case="memory",
        label="idle connection",
        figure="conn_kib",
        bound=4,
        at_most=True,
        unit="KiB",
    ),
)
