"""`fluvial dev`: the server for those who write the program."""

from __future__ import annotations

import functools
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from ..applications import App
from ..middleware.errors import traceback_of
from ..middleware.trustedhost import TrustedHostMiddleware
from ..requests import Request  # noqa: TC001  # read from a signature
from ..responses import HTMLResponse, Response
from .blocked import watched
from .config import Config
from .dev_log import UsersFrames, colour_log
from .dev_pages import routes_page
from .discover import find_app, find_module
from .listening_options import bind_option, refuse_two_addresses
from .load import load_app, load_module
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
from .run import start
from .tls_options import tls_dev_option

if TYPE_CHECKING:
    from .._asgi.foreign_app import Foreign

log = logging.getLogger("fluvial")
# A page of another site can make its own host name resolve to this machine (DNS rebinding). The
# browser then treats our responses as that site's.
_LOCAL = ("localhost", "*.localhost", "127.0.0.1", "[::1]", "::1")
_GRACE = 1.0  # seconds that requests have to finish before a restart


@click.command()
@click.argument("target", metavar="[MODULE:APP]", required=False)
@host_option
@port_option
@bind_option
@click.option(
    "--allow-host",
    "allowed",
    metavar="NAME",
    multiple=True,
    help="Name by which the server may be asked, besides local ones; * for any. May be repeated.",
)
@tls_dev_option
@reload_options
@app_dir_option
@as_fastapi_option
@factory_option
@log_level_option
def dev(
    target: str | None,
    host: str,
    port: int,
    bind: tuple[str, ...],
    allowed: tuple[str, ...],
    tls_dev: bool,
    folders: tuple[str, ...],
    included: tuple[str, ...],
    excluded: tuple[str, ...],
    log_level: str,
    **which: Any,
) -> None:
    """Serve an app during development: it restarts whenever a Python file changes.

    Without MODULE:APP, the first of main.py, app.py and api.py that exists here or in app/ is
    served. Browsers see tracebacks and, unless the app has a route for /, a list of all routes
    there. Lines that block the event loop are logged. Only requests for local host names are
    accepted.
    """
    refuse_two_addresses()
    try:
        config = Config(
            host=host,
            port=port,
            bind=bind,
            log_level=log_level,
            tls_dev=tls_dev,
            # Any page may send these fields; a host among them would pass for a local one.
            forwarded_fields=("x-forwarded-for", "x-forwarded-proto"),
            graceful_timeout=_GRACE,
            cleanup_timeout=_GRACE,
        )
    except ValueError as exc:
        raise click.UsageError(str(exc)) from None
    load = functools.partial(load_for_dev, target, hosts=(*_LOCAL, *allowed), **which)
    watched = watched_files(which["app_dir"], folders, included, excluded)
    raise SystemExit(start(load, config, to_the_end=True, watched=watched))


def load_for_dev(
    target: str | None,
    *,
    hosts: tuple[str, ...],
    app_dir: str,
    as_fastapi: bool,
    factory: bool,
) -> App | Foreign:
    """Loads the app in the process that serves it, and adds development pages and the watchdog.

    Raises: LoadError when there is no app.
    """
    # Python considers a .pyc file up to date if the source's size and its modification time, in
    # whole seconds, haven't changed.
    sys.dont_write_bytecode = True
    colour_log()
    logging.getLogger("fluvial.error").addFilter(UsersFrames())
    if as_fastapi:
        from ..compat import install

        install()
    folder = os.path.abspath(app_dir)
    if target is None:
        module = load_module(find_module(app_dir), folder)
        target = f"{module.__name__}:{find_app(module)}"
        log.info("Serving %s", target)
    app = load_app(target, app_dir=folder, factory=factory)
    if isinstance(app, App):
        _show_more(app, hosts)
    return app


def _show_more(app: App, hosts: tuple[str, ...]) -> None:
    """Adds the list of routes, tracebacks and the watchdog to an app."""
    app.routers_lifespans.append(watched)
    if not app.errors.handles_everything:
        app.add_exception_handler(Exception, traceback_of)
    if not _has_root(app):

        async def index(request: Request) -> Response:
            return HTMLResponse(routes_page(app, request.scope.get("root_path", "")))

        app.add_api_route("/", index, include_in_schema=False)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)


def _has_root(app: App) -> bool:
    """Whether a route or a mounted app may respond to GET /."""
    paths = {route.path for route in app.http_routes}
    return (
        "/" in paths
        or any(path.startswith("/{") and path.endswith(":path}") for path in paths)
        or any(mount.prefix == "" for mount in app.mounts)
    )
