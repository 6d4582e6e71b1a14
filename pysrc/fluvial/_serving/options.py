"""Options that several commands have."""

from __future__ import annotations

import click

from .config import LEVELS, RANGES

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
    help="APP is written for FastAPI: fastapi and starlette are Fluvial's own modules to it.",
)
factory_option = click.option(
    "--factory", is_flag=True, help="APP is a function that returns the app."
)
