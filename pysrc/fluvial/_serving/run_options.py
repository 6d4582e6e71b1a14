"""The options of `fluvial run`, and what is made of their values."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from .._asgi.foreign_app import INTERFACES
from .access_log_options import access_log_options
from .compression_options import compression_options
from .config import HTTP_VERSIONS, LIFESPAN_MODES, LONGEST_GRACE, RANGES, Config
from .limits import LIMITS
from .listening_options import listening_options, refuse_two_addresses
from .load import Load, load_app
from .option_lists import adding
from .options import (
    app_dir_option,
    as_fastapi_option,
    factory_option,
    host_option,
    log_level_option,
    port_option,
    reload_options,
    watched_files,
)
from .proxy_options import proxy_options
from .settings import source_options
from .tls_options import tls_options
from .worker_options import worker_options

if TYPE_CHECKING:
    from .._asgi.foreign_app import Foreign
    from ..applications import App
    from .watched_files import WatchedFiles

Command = Callable[..., Any]


class _Seconds(click.FloatRange):
    """A number within a range; "nan" is refused."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def _limit_options(command: Command) -> Command:
    """Adds an option for each limit."""
    for limit in reversed(LIMITS):
        most = limit.most // limit.scale
        kind = _Seconds(0, most) if limit.scale > 1 else click.IntRange(0, most)
        option = click.option(
            limit.flag,
            limit.name,
            type=kind,
            metavar=limit.unit,
            default=limit.default,
            show_default=True,
            help=f"{limit.help} 0 for no limit.",
        )
        command = option(command)
    return command


_OPTIONS = (
    source_options,
    host_option,
    port_option,
    listening_options,
    worker_options,
    click.option(
        "--threads",
        type=click.IntRange(*RANGES["threads"]),
        default=64,
        show_default=True,
        help="Maximum number of `def` handlers that run at once in a process.",
    ),
    click.option(
        "--thread-queue",
        type=click.IntRange(*RANGES["thread_queue"]),
        default=16384,
        show_default=True,
        metavar="N",
        help="Maximum number of `def` handlers that wait for a thread; further requests get 503.",
    ),
    click.option(
        "--backlog",
        type=click.IntRange(*RANGES["backlog"]),
        default=2048,
        show_default=True,
        help="Maximum number of connections that the kernel holds until they are accepted.",
    ),
    log_level_option,
    access_log_options,
    app_dir_option,
    as_fastapi_option,
    factory_option,
    click.option(
        "--graceful-timeout",
        type=_Seconds(0, LONGEST_GRACE),
        default=8.0,
        show_default=True,
        metavar="SECONDS",
        help="How long requests may take to finish after SIGINT or SIGTERM; streams without an end "
        "are cancelled after half of it.",
    ),
    click.option(
        "--cleanup-timeout",
        type=_Seconds(0, LONGEST_GRACE),
        default=1.5,
        show_default=True,
        metavar="SECONDS",
        help="How long the rest of the shutdown may take: cancelled handlers, the lifespan's end, "
        "threads, atexit. Then the process is terminated.",
    ),
    click.option(
        "--health",
        is_flag=True,
        help="Respond to /-/live and, with 503 while the server isn't ready, to /-/ready, whatever "
        "the app is.",
    ),
    click.option(
        "--metrics",
        metavar="PATH|HOST:PORT",
        default="",
        help="Count requests by route, method and status, and more, and serve the figures in the "
        "formats of Prometheus and OpenMetrics: at this path, or at /metrics on a port of its own, "
        "which has the paths of --health, too. Default: nothing is counted.",
    ),
    click.option(
        "--metrics-series",
        type=click.IntRange(*RANGES["metrics_series"]),
        default=1000,
        show_default=True,
        metavar="N",
        help="Maximum number of combinations of route, method and status that are counted "
        "separately; further ones count as other.",
    ),
    click.option(
        "--otel",
        is_flag=True,
        help="Send OpenTelemetry's spans and measurements of requests by OTLP, as its variables in "
        "the environment say; needs fluvial[otel].",
    ),
    click.option(
        "--drain-delay",
        type=_Seconds(0, LONGEST_GRACE),
        default=0.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to keep serving after SIGINT or SIGTERM while /-/ready responds with 503, "
        "so that load balancers notice; then --graceful-timeout begins.",
    ),
    click.option(
        "--interface",
        type=click.Choice(INTERFACES),
        default="auto",
        show_default=True,
        help="What kind of app APP is; auto detects it.",
    ),
    click.option(
        "--lifespan",
        type=click.Choice(LIFESPAN_MODES),
        default="auto",
        show_default=True,
        help="Notify an ASGI app of startup and shutdown; auto: if it supports that.",
    ),
    click.option(
        "--asgi-extensions",
        is_flag=True,
        help="Offer ASGI apps http.response.pathsend, zerocopysend, early_hint and trailers. Leave "
        "it off for apps with middleware that doesn't know them.",
    ),
    click.option(
        "--asgi-debug",
        is_flag=True,
        help="Take http.response.debug from ASGI apps and log it (--log-level debug), for tests "
        "that look into an app; not for production.",
    ),
    proxy_options,
    compression_options,
    click.option(
        "--header",
        multiple=True,
        metavar="NAME:VALUE",
        help="Header field to add to responses that don't set it themselves; may be repeated.",
    ),
    click.option(
        "--server-header/--no-server-header",
        default=True,
        show_default=True,
        help="Send the field Server.",
    ),
    click.option(
        "--date-header/--no-date-header",
        default=True,
        show_default=True,
        help="Send the field Date.",
    ),
    click.option(
        "--cancel-on-disconnect",
        is_flag=True,
        help="Cancel a handler when its client has left, unless its route says otherwise.",
    ),
    click.option(
        "--priority-path",
        multiple=True,
        metavar="PATH",
        help="Respond to requests for this path however many others there are, with two threads "
        "for `def` handlers of such paths alone; may be repeated.",
    ),
    click.option(
        "--ws-per-message-deflate",
        type=bool,
        default=True,
        show_default=True,
        help="Compress WebSocket messages if the client offers it.",
    ),
    click.option(
        "--http",
        type=click.Choice(HTTP_VERSIONS),
        default="1.1",
        show_default=True,
        help="auto or 2: HTTP/2, too, with clients that ask for it: by ALPN where there is TLS, by "
        "its preface where there is none. All others: HTTP/1.1 alone.",
    ),
    tls_options,
    click.option(
        "--reload",
        is_flag=True,
        help="Start again when a file changes; for one process. The port stays open meanwhile.",
    ),
    reload_options,
    _limit_options,
)

run_options = adding(_OPTIONS)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `fluvial run` serves, and how."""

    load: Load
    config: Config
    watched: WatchedFiles | None


def prepare(
    target: str,
    app_dir: str,
    factory: bool,
    interface: str,
    as_fastapi: bool,
    reload: bool,
    folders: tuple[str, ...],
    included: tuple[str, ...],
    excluded: tuple[str, ...],
    **options: Any,
) -> Prepared:
    """What the values of the options mean.

    Raises: click.ClickException when they don't fit together.
    """
    config = _config_of(options)
    load: Load = functools.partial(
        load_app, target, app_dir=os.path.abspath(app_dir), factory=factory, interface=interface
    )
    if as_fastapi:
        load = functools.partial(_load_as_fastapi, load)
    watched = None
    if reload:
        _refuse_workers(config)
        load = functools.partial(_load_for_reload, load)
        watched = watched_files(app_dir, folders, included, excluded)
    elif folders or included or excluded:
        raise click.UsageError("--reload-dir, --reload-include and --reload-exclude need --reload")
    return Prepared(load, config, watched)


def _config_of(options: dict[str, Any]) -> Config:
    """Raises: click.UsageError when an option is wrong."""
    refuse_two_addresses()
    for name in ("config_file", "env_file"):
        del options[name]
    try:
        limits = {limit.name: round(options.pop(limit.name) * limit.scale) for limit in LIMITS}
        return Config(**options, limits=limits)
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None


def _load_for_reload(load: Callable[[], App | Foreign]) -> App | Foreign:
    """Loads a program that is being edited."""
    # Python takes a cached file for up to date when the source's size and its second are the same.
    sys.dont_write_bytecode = True
    return load()


def _refuse_workers(config: Config) -> None:
    if config.supervised:
        flag = config.supervised[0].replace("_", "-")
        raise click.UsageError(f"--reload and --{flag} can't be combined: give one of them")


def _load_as_fastapi(load: Callable[[], App | Foreign]) -> App | Foreign:
    """Loads a program that imports FastAPI, in the process that is going to serve it."""
    from ..compat import install

    install()
    return load()
