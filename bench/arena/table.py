"""The arena's table: CPU µs per request, a row for each profile; and one of the targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.harness.report import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.harness.results import Results

    from .profiles import Profile, Target

OURS = "fluvial"


def figures(profiles: Sequence[Profile], contenders: Sequence[str], results: Results) -> str:
    """A row for each profile, a column for each contender."""
    rows = [
        [
            profile.name,
            *(_cell(results.figure(profile.name, name, "cpu_us")) for name in contenders),
        ]
        for profile in profiles
    ]
    return table(["CPU µs", *contenders], rows)


def judged(profiles: Sequence[Profile], results: Results) -> str:
    """A row for each target whose contenders were measured."""
    rows = []
    for profile in profiles:
        for target in profile.targets:
            if (found := _ratio(profile, target, results)) is not None:
                ratio, other = found
                met = "met" if ratio <= target.at_most else "MISSED"
                rows.append(
                    [profile.name, f"≤ {target.at_most:.2g} x {other}", f"{ratio:.2f}", met]
                )
    return table(["profile", "target", "measured", ""], rows, left=2)


def _ratio(profile: Profile, target: Target, results: Results) -> tuple[float, str] | None:
    """Ours beside the best of the others, within the rounds."""
    ratios = [
        (ratio, other)
        for other in target.others
        if (ratio := results.ratio(profile.name, OURS, other, "cpu_us")) is not None
    ]
    return max(ratios, default=None)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if value < 1000 else f"{value:,.0f}"
