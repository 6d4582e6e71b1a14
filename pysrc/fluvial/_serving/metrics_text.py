"""What has been counted, as text: Prometheus' format 0.0.4 and OpenMetrics 1.0."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .. import _core
from .metrics_memory import LAYOUT

if TYPE_CHECKING:
    from .metrics_memory import MetricsMemory

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Labels = tuple[tuple[str, str], ...]
_BOUNDS = [ns / 1e9 for ns in _core.metrics_bounds()]
_HISTOGRAM = LAYOUT["histogram"]

# The names of words of a slot, by the names of metrics; counters get "_total" appended.
_COUNTERS = {
    "fluvial_connections_accepted": ("accepted", "Connections that were accepted."),
    "fluvial_requests_rejected": (
        "rejected",
        "Requests that the server itself has refused: malformed, too large, too slow or too many.",
    ),
    "fluvial_received_bytes": ("received", "Bytes read from connections, after TLS."),
    "fluvial_sent_bytes": ("sent", "Bytes written to connections, before TLS."),
    "fluvial_websockets_accepted": ("websockets_total", "WebSockets that were accepted."),
    "fluvial_pool_jobs": ("jobs", "Calls of `def` handlers that a thread has begun."),
    "fluvial_pool_refused": (
        "jobs_refused",
        "Requests that got 503 because they had waited for a thread for too long.",
    ),
}
_GAUGES = {
    "fluvial_connections": ("open", "Connections that are open."),
    "fluvial_requests_in_flight": ("in_flight", "Requests without their whole response."),
    "fluvial_websockets": ("websockets", "WebSockets that are open."),
    "fluvial_pool_threads": ("threads", "Threads for `def` handlers."),
    "fluvial_pool_threads_busy": ("threads_busy", "Threads that run a `def` handler."),
    "fluvial_pool_threads_limit": (
        "threads_limit",
        "How many threads may be busy now: more while handlers block, fewer while they compute.",
    ),
    "fluvial_pool_threads_max": ("threads_most", "The option --threads, of all workers."),
    "fluvial_pool_queue": ("queued", "Calls of `def` handlers that wait for a thread."),
}


def text_of(memory: MetricsMemory, *, openmetrics: bool) -> bytes:
    """All metrics, added up over the workers."""
    writer = _Writer(openmetrics)
    _Reader(memory).write(writer)
    return writer.finish()


def takes_openmetrics(accept: str) -> bool:
    """Whether an Accept field asks for OpenMetrics, as Prometheus' own does."""
    for each in accept.split(","):
        kind, _, params = each.partition(";")
        if kind.strip().lower() == "application/openmetrics-text":
            weight = [p.partition("=")[2].strip() for p in params.split(";") if "q=" in p]
            return not weight or weight[0] not in ("0", "0.0", "0.00", "0.000")
    return False


class _Writer:
    """Lines of one of the two formats."""

    def __init__(self, openmetrics: bool) -> None:
        self._open = openmetrics
        self._lines: list[str] = []

    def family(self, name: str, kind: str, words: str) -> None:
        """Begins a metric. In OpenMetrics a counter's name has no suffix here."""
        if kind == "counter" and not self._open:
            name += "_total"
        self._lines += (f"# HELP {name} {words}", f"# TYPE {name} {kind}")
        if self._open:
            for unit in ("seconds", "bytes", "ratio"):
                if name.endswith(f"_{unit}"):
                    self._lines.append(f"# UNIT {name} {unit}")

    def sample(self, name: str, value: float, labels: Labels = ()) -> None:
        """Adds one value."""
        inner = ",".join(f'{key}="{_escape(text)}"' for key, text in labels)
        self._lines.append(f"{name}{{{inner}}} {value}" if inner else f"{name} {value}")

    def counter(self, name: str, words: str, values: Iterable[tuple[Labels, float]]) -> None:
        """Adds a metric whose values only grow."""
        self.family(name, "counter", words)
        for labels, value in values:
            self.sample(f"{name}_total", value, labels)

    def gauge(self, name: str, words: str, values: Iterable[tuple[Labels, float]]) -> None:
        """Adds a metric whose values come and go."""
        self.family(name, "gauge", words)
        for labels, value in values:
            self.sample(name, value, labels)

    def histogram(self, name: str, words: str, values: Iterable[tuple[Labels, list[int]]]) -> None:
        """Adds histograms; each has its buckets' counts, and the sum in ns."""
        self.family(name, "histogram", words)
        for labels, counts in values:
            total = 0
            for bound, count in zip((*map(str, _BOUNDS), "+Inf"), counts[:-1], strict=True):
                total += count
                self.sample(f"{name}_bucket", total, (*labels, ("le", bound)))
            self.sample(f"{name}_count", total, labels)
            self.sample(f"{name}_sum", counts[-1] / 1e9, labels)

    def finish(self) -> bytes:
        """The whole text."""
        end = ["# EOF"] if self._open else []
        return "".join(f"{line}\n" for line in (*self._lines, *end)).encode()


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class _Reader:
    """What stands in the memory, added up."""

    def __init__(self, memory: MetricsMemory) -> None:
        self._memory = memory
        self._used = memory.used()
        self._words = [memory.words[at : at + LAYOUT["slot"]].tolist() for at in self._slots()]

    def _slots(self) -> Iterator[int]:
        return map(self._memory.at, range(self._memory.slots))

    def _sum(self, name: str) -> int:
        index = LAYOUT[name]
        return sum(words[index] for words in self._words)

    def _histogram(self, name: str) -> list[int]:
        at = LAYOUT[name]
        return [sum(words[at + n] for words in self._words) for n in range(_HISTOGRAM)]

    def write(self, writer: _Writer) -> None:
        """Writes all metrics."""
        self._write_requests(writer)
        for name, (word, words) in _COUNTERS.items():
            writer.counter(name, words, [((), self._sum(word))])
        results = [((("result", r),), self._sum(f"tls_{r}")) for r in ("done", "failed")]
        writer.counter("fluvial_tls_handshakes", "TLS handshakes, by their result.", results)
        for name, (word, words) in _GAUGES.items():
            writer.gauge(name, words, [((), self._sum(word))])
        most = self._sum("threads_most")
        wanted = self._sum("threads_busy") + self._sum("queued")
        writer.gauge(
            "fluvial_pool_saturation_ratio",
            "Calls of `def` handlers that run or wait, by the most that may run.",
            [((), wanted / most if most else 0.0)],
        )
        writer.histogram(
            "fluvial_pool_wait_seconds",
            "How long calls of `def` handlers waited for a thread.",
            [((), self._histogram("wait"))],
        )
        writer.histogram(
            "fluvial_loop_lag_seconds",
            "How long callbacks kept the event loop from looking at its sockets.",
            [((), self._histogram("lag"))],
        )
        self._write_workers(writer)

    # ---- Requests -------------------------------------------------------------------------------

    def _write_requests(self, writer: _Writer) -> None:
        counts: dict[Labels, int] = defaultdict(int)
        times: dict[Labels, list[int]] = {}
        for (route, method, status), values in self._series():
            place = (("route", route), ("method", method))
            counts[(*place, ("status", status))] += sum(values[:-1])
            before = times.get(place)
            times[place] = values if before is None else _added(before, values)
        writer.counter(
            "fluvial_requests",
            "Requests that are over, by the route's path, method and status.",
            sorted(counts.items()),
        )
        writer.histogram(
            "fluvial_request_duration_seconds",
            "The time from a request's first byte to the end of its response.",
            sorted(times.items()),
        )

    def _series(self) -> Iterator[tuple[tuple[str, str, str], list[int]]]:
        """Each series that was entered, and the sum of its histogram over all slots."""
        memory = self._memory
        count = min(memory.words[LAYOUT["entered"]], memory.words[LAYOUT["capacity"]])
        size = count * _HISTOGRAM
        sums = [0] * size
        for at in self._slots():
            first = at + LAYOUT["slot"]
            sums = _added(sums, memory.words[first : first + size].tolist())
        for index in range(count):
            values = sums[index * _HISTOGRAM : (index + 1) * _HISTOGRAM]
            if any(values) and (labels := self._labels(index)) is not None:
                yield labels, values

    def _labels(self, index: int) -> tuple[str, str, str] | None:
        """Route, method and status of a series; None while it is being entered."""
        at = LAYOUT["head"] + index * LAYOUT["series"]
        entry = self._memory.words[at : at + LAYOUT["series"]].tobytes()
        if not entry[0]:
            return None
        status = int.from_bytes(entry[4:6], "little")
        length = int.from_bytes(entry[6:8], "little")
        method = entry[8 : 8 + LAYOUT["method"]].rstrip(b"\0").decode()
        start = 8 + LAYOUT["method"]
        route = entry[start : start + length].decode("utf-8", "replace")
        return route, method, str(status) if status else "other"

    # ---- Workers --------------------------------------------------------------------------------

    def _write_workers(self, writer: _Writer) -> None:
        memory = self._memory
        writer.gauge("fluvial_workers", "Processes that serve.", [((), len(self._used))])
        ready = sum(words[LAYOUT["ready"]] for words in self._words)
        writer.gauge("fluvial_workers_ready", "Those that may get requests.", [((), ready)])
        writer.counter(
            "fluvial_worker_starts", "Processes that were started.", [((), memory.starts)]
        )
        writer.counter(
            "fluvial_worker_restarts",
            "Processes that took the place of another one: crashed, replaced or stood still.",
            [((), memory.restarts)],
        )
        pids = [self._words[slot][LAYOUT["pid"]] for slot in self._used]
        writer.gauge(
            "fluvial_worker_resident_memory_bytes",
            "Resident memory of each process.",
            [((("pid", str(pid)),), resident_size(pid)) for pid in pids],
        )
        from .. import __version__  # only here, since it imports all of this

        info = [((("version", __version__),), 1)]
        writer.gauge("fluvial_build_info", "The version that serves.", info)


def _added(first: list[int], second: list[int]) -> list[int]:
    return [a + b for a, b in zip(first, second, strict=True)]


def resident_size(pid: int) -> int:
    """The bytes of memory that a process has; 0 where the system doesn't tell."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
