"""The options of `fluvial run` that are about workers."""

from __future__ import annotations

from typing import Any

import click

from .config import LONGEST_LIFETIME, RANGES
from .cpus import usable_cpus
from .option_lists import adding


class _Workers(click.ParamType[int]):
    """A number, or "auto"."""

    name = "workers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. Raises: click.UsageError when it is none, or out of range."""
        if value == "auto":
            return min(usable_cpus(), RANGES["workers"][1])
        return click.IntRange(*RANGES["workers"]).convert(value, param, ctx)


_OPTIONS = (
    click.option(
        "--workers",
        type=_Workers(),
        default=1,
        show_default=True,
        metavar="N|auto",
        help="Number of worker processes; auto: the processors that the affinity mask and the "
        "cgroup allow.",
    ),
    click.option(
        "--preload",
        is_flag=True,
        help="Import the app before workers are forked. It saves memory; SIGHUP doesn't read its "
        "code again, and connections and threads that it makes at import don't work.",
    ),
    click.option(
        "--worker-timeout",
        type=click.FloatRange(0, LONGEST_LIFETIME),
        default=None,
        metavar="SECONDS",
        help="How long a worker's event loop may be blocked before its stacks are logged and it is "
        "replaced. 0 for no limit. Default: 30 where there is a parent process, as with several "
        "workers or any of these limits.",
    ),
    click.option(
        "--startup-timeout",
        type=click.FloatRange(0, LONGEST_LIFETIME),
        default=None,
        metavar="SECONDS",
        help="How long a worker may take to start before it logs its stacks and is killed. 0 "
        "for no limit. Default: 300 where there is a parent process.",
    ),
    click.option(
        "--max-requests",
        type=click.IntRange(*RANGES["max_requests"]),
        default=0,
        show_default=True,
        metavar="N",
        help="Replace a worker after this many requests; 0 for never.",
    ),
    click.option(
        "--max-requests-jitter",
        type=click.IntRange(*RANGES["max_requests_jitter"]),
        default=0,
        show_default=True,
        metavar="N",
        help="Add a random number up to N to --max-requests, a different one for each worker.",
    ),
    click.option(
        "--max-lifetime",
        type=click.FloatRange(0, LONGEST_LIFETIME),
        default=0.0,
        show_default=True,
        metavar="SECONDS",
        help="Replace a worker after this time; 0 for never.",
    ),
    click.option(
        "--max-rss",
        type=click.IntRange(*RANGES["max_rss"]),
        default=0,
        show_default=True,
        metavar="BYTES",
        help="Replace a worker that uses this much resident memory; 0 for never.",
    ),
)

worker_options = adding(_OPTIONS)
