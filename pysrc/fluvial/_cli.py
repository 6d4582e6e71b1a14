"""The `fluvial` command."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from . import __version__, _logging
from ._asgi import LIFESPAN_MODES
from ._config import LIMITS, Config
from ._interface import INTERFACES
from ._load import LoadError, load_app
from ._secure import CERT_REQS, SecureError, make_secure
from ._server import StartError, serve_on
from ._sockets import BindError, bind
from ._supervisor import START_FAILED, Supervisor

if TYPE_CHECKING:
    import socket

    from ._app import App
    from ._core import SecureContext
    from ._interface import Foreign

log = logging.getLogger("fluvial")

Command = Callable[..., Any]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fluvial")
def main() -> None:
    """Fluvial: a web framework and server."""


def _limit_options(command: Command) -> Command:
    """A flag for every limit."""
    for limit in reversed(LIMITS):
        kind = click.FloatRange(min=0) if limit.scale > 1 else click.IntRange(min=0)
        option = click.option(
            limit.flag,
            limit.name,
            type=kind,
            metavar=limit.unit,
            default=limit.default,
            show_default=True,
            help=f"{limit.help} 0: no limit.",
        )
        command = option(command)
    return command


@main.command()
@click.argument("target", metavar="MODULE:APP")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--uds", metavar="PATH", help="Listen on a Unix socket instead.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes."
)
@click.option(
    "--threads",
    type=click.IntRange(1, 10000),
    default=64,
    show_default=True,
    help="`def` handlers that run at once, at most.",
)
@click.option(
    "--thread-queue",
    type=click.IntRange(min=1),
    default=16384,
    show_default=True,
    metavar="N",
    help="Calls of `def` handlers that wait, at most; more: 503.",
)
@click.option("--backlog", type=click.IntRange(min=1), default=2048, show_default=True)
@click.option(
    "--log-level",
    type=click.Choice(_logging.LEVELS, case_sensitive=False),
    default="info",
    show_default=True,
)
@click.option("--access-log/--no-access-log", default=True, show_default=True)
@click.option(
    "--app-dir", default="", metavar="DIR", help="Where modules are looked for; default: here."
)
@click.option("--factory", is_flag=True, help="APP is a function that makes the app.")
@click.option(
    "--graceful-timeout",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long requests may take to finish after SIGINT or SIGTERM.",
)
@click.option(
    "--interface",
    type=click.Choice(INTERFACES),
    default="auto",
    show_default=True,
    help="What APP is.",
)
@click.option(
    "--lifespan",
    type=click.Choice(LIFESPAN_MODES),
    default="auto",
    show_default=True,
    help="Tell an ASGI app of the server's start and end.",
)
@click.option(
    "--asgi-debug",
    is_flag=True,
    help="Take http.response.debug from ASGI apps and log it (--log-level debug), for tests that "
    "look into an app; not for production.",
)
@click.option(
    "--root-path",
    default="",
    metavar="PATH",
    help="What a proxy has taken away from the beginning of every path.",
)
@click.option(
    "--ws-per-message-deflate",
    type=bool,
    default=True,
    show_default=True,
    help="Compress WebSocket messages where clients offer it.",
)
@click.option(
    "--ws-origin",
    "ws_origins",
    metavar="ORIGIN",
    multiple=True,
    help="Origin whose pages may open WebSockets, e.g. https://example.org, or `same` for the host "
    "that is asked; may be repeated. Default: all.",
)
@click.option(
    "--ssl-certfile",
    metavar="FILE",
    help="Serve https and wss with this certificate, and those up to an authority's, in PEM form. "
    "Default: http and ws.",
)
@click.option(
    "--ssl-keyfile",
    metavar="FILE",
    help="The certificate's private key, in PEM form; default: in the certificate's file.",
)
@click.option(
    "--ssl-keyfile-password",
    metavar="PASSWORD",
    envvar="FLUVIAL_SSL_KEYFILE_PASSWORD",
    show_envvar=True,
    help="What the private key is encrypted with; better in the environment than here, where other "
    "users see it. Default: it isn't encrypted.",
)
@click.option(
    "--ssl-ca-certs",
    metavar="FILE",
    help="Certificates of the authorities that sign clients', in PEM form; default: none.",
)
@click.option(
    "--ssl-cert-reqs",
    type=click.Choice([*CERT_REQS, *map(str, CERT_REQS.values())], case_sensitive=False),
    default="none",
    show_default=True,
    help="Whether clients are asked for certificates (numbers are those of Python's ssl).",
)
@click.option(
    "--ssl-ciphers",
    metavar="LIST",
    help="OpenSSL's list of ciphers for TLS 1.2; default: those with forward secrecy and "
    "authenticated encryption. TLS 1.3 has no others.",
)
@_limit_options
def run(target: str, app_dir: str, factory: bool, interface: str, **options: Any) -> None:
    """Serve the app that MODULE:APP names."""
    limits = {limit.name: round(options.pop(limit.name) * limit.scale) for limit in LIMITS}
    config = Config(**options, limits=limits)
    _logging.configure(config.log_level)
    load = functools.partial(
        load_app, target, app_dir=os.path.abspath(app_dir), factory=factory, interface=interface
    )
    try:
        work = functools.partial(_work, load, config, make_secure(config))
        status = Supervisor(config, work).run() if config.workers > 1 else work(None)
    except (BindError, SecureError) as exc:
        raise click.ClickException(str(exc)) from exc
    raise SystemExit(status)


def _work(
    load: Callable[[], App | Foreign],
    config: Config,
    secure: SecureContext | None,
    sockets: list[socket.socket] | None,
    lifeline: int | None = None,
) -> int:
    """Loads and serves the app in this process; returns the exit status. Raises: BindError."""
    try:
        app = load()
        sockets = bind(config) if sockets is None else sockets
        serve_on(app, sockets, config, secure, lifeline=lifeline)
    except LoadError as exc:
        click.echo(f"Error: {exc}", err=True)
        return 1
    except StartError:
        return START_FAILED
    except KeyboardInterrupt:
        return 130
    return 0
