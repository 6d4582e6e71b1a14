"""Options that several commands have."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import click

from .config import LEVELS, RANGES
from .watched_files import INCLUDED, WatchedFiles

host_option = click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address or name to listen on; empty for all interfaces.",
)
port_option = click.option(
    "--port",
    type=click.IntRange(*RANGES["port"]),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
log_level_option = click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="info",
    show_default=True,
    help="Severity from which on messages are logged.",
)
app_dir_option = click.option(
    "--app-dir", default="", metavar="DIR", help="Folder to import MODULE from. Default: here."
)
as_fastapi_option = click.option(
    "--as-fastapi",
    is_flag=True,
    help="APP is written for FastAPI: its imports of fastapi and starlette get Fluvial's modules.",
)
factory_option = click.option(
    "--factory", is_flag=True, help="APP is a function that returns the app."
)


def reload_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say which files are watched: `folders`, `included`, `excluded`."""
    for option in (
        click.option(
            "--reload-exclude",
            "excluded",
            metavar="GLOB",
            multiple=True,
            help="Pattern of files, or a folder, whose changes don't count; may be repeated.",
        ),
        click.option(
            "--reload-include",
            "included",
            metavar="GLOB",
            multiple=True,
            help="Pattern of further files whose changes count, besides *.py, such as *.html; may "
            "be repeated.",
        ),
        click.option(
            "--reload-dir",
            "folders",
            type=click.Path(exists=True, file_okay=False),
            multiple=True,
            help="Folder whose files are watched; may be repeated. Default: that of --app-dir.",
        ),
    ):
        command = option(command)
    return command


def watched_files(
    app_dir: str,
    folders: tuple[str, ...],
    included: tuple[str, ...],
    excluded: tuple[str, ...],
) -> WatchedFiles:
    """The files of these options. Raises: click.ClickException without watchfiles."""
    if importlib.util.find_spec("watchfiles") is None:
        raise click.ClickException("reloading needs watchfiles: pip install 'fluvial[standard]'")
    found = tuple(os.path.abspath(folder) for folder in folders or (app_dir or ".",))
    return WatchedFiles(found, (*INCLUDED, *included), excluded)
