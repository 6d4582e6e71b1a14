"""Figures by case, server and round; medians and ratios of them."""

from __future__ import annotations

from statistics import fmean, median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The kernel's tick samples the split into user and system: a mean over all rounds is more exact.
_MEANS = frozenset({"user_us", "system_us"})


class Results:
    """All rounds of a run. A figure is the median over the rounds."""

    def __init__(self) -> None:
        self._rounds: dict[str, dict[str, list[dict[str, float]]]] = {}

    def add(self, case: str, server: str, figures: dict[str, float]) -> None:
        self._rounds.setdefault(case, {}).setdefault(server, []).append(figures)

    def servers(self, case: str) -> list[str]:
        return list(self._rounds.get(case, {}))

    def figure(self, case: str, server: str, name: str) -> float | None:
        values = self._values(case, server, name)
        if not values:
            return None
        return fmean(values) if name in _MEANS else median(values)

    def ratio(self, case: str, server: str, other: str, name: str) -> float | None:
        """The median of the ratios within a round: both servers ran right after one another."""
        ours, theirs = self._values(case, server, name), self._values(case, other, name)
        if name in _MEANS and ours and theirs:
            return fmean(ours) / fmean(theirs)
        ratios = [a / b for a, b in zip(ours, theirs, strict=False) if b]
        return median(ratios) if ratios else None

    def as_json(self) -> Mapping[str, object]:
        return {
            case: {
                server: {
                    "figures": {name: self.figure(case, server, name) for name in rounds[0]},
                    "rounds": rounds,
                }
                for server, rounds in by_server.items()
            }
            for case, by_server in self._rounds.items()
        }

    def _values(self, case: str, server: str, name: str) -> list[float]:
        rounds = self._rounds.get(case, {}).get(server, [])
        return [figures[name] for figures in rounds if name in figures]
