"""The cases of bench/loop.py, how long each runs, and the targets."""

from __future__ import annotations

from dataclasses import dataclass

CONNECTIONS = 64
IDLE_CONNECTIONS = 2000
SHORT_CONNECTIONS = 2000
KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A function of callbacks.py, `count` operations a round; `wall`: judged by wall time, since
    most of the work is done by other processes."""

    name: str
    about: str
    count: int
    target: float
    wall: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """A function of callbacks.py with `count` timers: how late they are. Not judged."""

    name: str
    about: str
    count: int
    target: float = 0.0

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """A server of echo.py under echo_load.c: 64 connections, messages of `size` bytes."""

    name: str
    about: str
    server: str
    transport: str
    size: int
    target: float

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """What connections cost the protocol echo server: CPU of short ones, or memory of idle ones."""

    name: str
    about: str
    idle: bool
    target: float
    server: str = "protocol"


Case = Program | Lateness | Echo | Connections

CASES: tuple[Case, ...] = (
    Program(name="call_soon", about="call_soon + run", count=2_000_000, target=1.5),
    Program(
        name="call_soon_chain", about="callbacks that schedule the next", count=500_000, target=1.0
    ),
    Program(
        name="call_later", about="call_later, 10,000, half cancelled", count=300_000, target=3.0
    ),
    Lateness(name="late_sparse", about="how late: one timer at a time", count=300),
    Lateness(name="late_dense", about="how late: a timer every 4 µs", count=20_000),
    Program(name="tasks", about="task create + finish", count=200_000, target=1.5),
    Program(name="sleep_0", about="await sleep(0)", count=500_000, target=2.0),
    Program(name="threadsafe", about="call_soon_threadsafe, 4 threads", count=400_000, target=1.5),
    Program(name="pipes", about="100 bytes to and fro over two pipes", count=200_000, target=1.0),
    Program(name="processes", about="/bin/true", count=1000, target=1.0, wall=True),
    Echo(
        name="tcp_1k",
        about="TCP echo by protocol, 1 KiB",
        server="protocol",
        transport="tcp",
        size=KIB,
        target=1.15,
    ),
    Echo(
        name="tcp_100k",
        about="TCP echo by protocol, 100 KiB",
        server="protocol",
        transport="tcp",
        size=100 * KIB,
        target=1.0,
    ),
    Echo(
        name="streams",
        about="TCP echo by streams, 1 KiB",
        server="streams",
        transport="tcp",
        size=KIB,
        target=1.2,
    ),
    Echo(
        name="sock",
        about="TCP echo by sock_recv and sock_sendall, 1 KiB",
        server="sock",
        transport="tcp",
        size=KIB,
        target=1.0,
    ),
    Echo(
        name="sock_100k",
        about="TCP echo by sock_recv and sock_sendall, 100 KiB",
        server="sock",
        transport="tcp",
        size=100 * KIB,
        target=1.0,
    ),
    Echo(
        name="unix",
        about="Unix socket echo, 1 KiB",
        server="unix",
        transport="unix",
        size=KIB,
        target=1.1,
    ),
    Echo(name="udp", about="UDP echo, 1 KiB", server="udp", transport="udp", size=KIB, target=1.1),
    Echo(
        name="tls_1k",
        about="TLS echo, 1 KiB",
        server="tls",
        transport="tls",
        size=KIB,
        target=1.0,
    ),
    Echo(
        name="tls_100k",
        about="TLS echo, 100 KiB",
        server="tls",
        transport="tls",
        size=100 * KIB,
        target=1.0,
    ),
    Connections(name="connect", about="accept, echo one byte, close", idle=False, target=1.0),
    Connections(
        name="tls_connect",
        about="accept, TLS handshake, echo one byte, close",
        idle=False,
        target=1.0,
        server="tls",
    ),
    Connections(name="idle", about="memory of an idle connection", idle=True, target=1.0),
)
