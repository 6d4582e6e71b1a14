"""A strict reader of what Prometheus and OpenMetrics get."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME = r"[a-z][a-z0-9_]*"
_LABEL = rf'{_NAME}="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (\d[\d.e+-]*)")
_SUFFIXES = ("_total", "_bucket", "_count", "_sum")
PATIENCE = 60  # seconds
Seen = TypeVar("Seen")


class Scraped(dict[str, float]):
    """Values by name and labels, as in `requests_total{route="/"}`."""

    types: dict[str, str]

    def sum(self, name: str) -> float:
        """The sum of all values with this name."""
        return sum(value for key, value in self.items() if key.split("{")[0] == name)

    def requests(self) -> dict[tuple[str, str, str], int]:
        """How many requests were counted, by route, method and status."""
        found = {}
        for key, value in self.items():
            if key.startswith("fluvial_requests_total{"):
                route, method, status = re.findall(r'="((?:[^"\\]|\\.)*)"', key)
                found[route, method, status] = int(value)
        return found


def scraped(text: str) -> Scraped:
    """Reads the text; each line must be right, and each sample below its metric's type."""
    found = Scraped()
    found.types = {}
    family = ""
    lines = text.split("\n")
    assert lines.pop() == "", "the last line has an end"
    openmetrics = lines[-1] == "# EOF"
    for line in lines[:-1] if openmetrics else lines:
        if line.startswith("# "):
            _, what, family, words = line.split(" ", 3)
            assert what in ("HELP", "TYPE", "UNIT"), line
            if what == "TYPE":
                assert family not in found.types, line
                found.types[family] = words
            elif what == "UNIT":
                assert openmetrics, line
                assert family.endswith(f"_{words}"), line
            continue
        sample = _SAMPLE.fullmatch(line)
        assert sample, line
        name, labels, value = sample.groups()
        assert _belongs(name, family, found.types[family], openmetrics), line
        key = name if labels is None else f"{name}{{{labels}}}"
        assert key not in found, line
        found[key] = float(value)
    return found


def _belongs(name: str, family: str, kind: str, openmetrics: bool) -> bool:
    if kind == "counter":
        return name == (f"{family}_total" if openmetrics else family) and name.endswith("_total")
    if kind == "histogram":
        return name in {family + suffix for suffix in _SUFFIXES[1:]}
    return kind == "gauge" and name == family


def until(scrape: Callable[[], Seen], condition: Callable[[Seen], bool]) -> Seen:
    """The first of many looks that meets the condition."""
    end = time.monotonic() + PATIENCE
    while not condition(found := scrape()):
        assert time.monotonic() < end, found
    return found
