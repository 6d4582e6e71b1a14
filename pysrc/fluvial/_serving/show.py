"""The commands that show what an app has, without serving it: `openapi` and `routes`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import click

from .. import _core
from ..applications import App
from .load import LoadError, load_app
from .options import (
    app_dir_option,
    as_fastapi_option,
    factory_option,
)

Command = Callable[..., Any]
_WHERE = {_core.TASK: "loop", _core.INLINE: "loop, inline", _core.POOL: "thread"}


def app_options(command: Command) -> Command:
    """Adds the argument and the options that name the app."""
    for add in (
        as_fastapi_option,
        factory_option,
        app_dir_option,
        click.argument("target", metavar="MODULE:APP"),
    ):
        command = add(command)
    return command


def load_own_app(target: str, app_dir: str, factory: bool, as_fastapi: bool) -> App:
    """The app. Raises: ClickException when it can't be loaded, or belongs to another framework."""
    if as_fastapi:
        from ..compat import install

        install()
    try:
        found = load_app(target, app_dir=os.path.abspath(app_dir), factory=factory)
    except LoadError as exc:
        raise click.ClickException(str(exc)) from None
    if not isinstance(found, App):
        raise click.ClickException(f"{target} is not a Fluvial App")
    return found


@click.command()
@app_options
@click.option("--output", type=click.File("w", atomic=True), default="-", help="Default: stdout.")
@click.option("--indent", type=click.IntRange(0), default=2, show_default=True)
def openapi(output: Any, indent: int, **which: Any) -> None:
    """Write the OpenAPI document of the app that MODULE:APP names, as JSON."""
    document = load_own_app(**which).openapi()
    output.write(json.dumps(document, indent=indent or None, ensure_ascii=False) + "\n")


@click.command()
@app_options
def routes(**which: Any) -> None:
    """List the routes of the app that MODULE:APP names, in the order in which they match.

    Each has its methods, its path, its name, and where its handler runs: on the loop or in a
    thread.
    """
    rows = [("METHODS", "PATH", "NAME", "RUNS IN"), *rows_of(load_own_app(**which))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def rows_of(app: App) -> Iterator[tuple[str, str, str, str]]:
    """For each route: its methods, its path, its name, and where its handler runs."""
    for route in app.http_routes:
        where = "" if route.plan is None else _WHERE[route.plan.kind]
        yield "|".join(route.given_methods), route.path, route.name, where
    for socket in app.websockets.routes:
        yield "WebSocket", socket.path, socket.name or "", "loop"
    for mount in app.mounts:
        yield "mount", mount.prefix or "/", mount.name or "", ""
