"""The `fluvial` command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from .client import client
from .configured import check, config
from .dev import dev
from .early import leave_signals
from .run import start
from .run_options import prepare, run_options
from .settings import ConfiguredCommand, read_again
from .show import openapi, routes

if TYPE_CHECKING:
    from .config import Config
    from .load import Load


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fluvial")
@click.pass_context
def main(context: click.Context) -> None:
    """Fluvial: a web framework and server."""
    if context.invoked_subcommand not in ("run", "dev"):
        leave_signals()


main.add_command(check)
main.add_command(client)
main.add_command(config)
main.add_command(dev)
main.add_command(openapi)
main.add_command(routes)


@main.command(cls=ConfiguredCommand)
@click.argument("target", metavar="MODULE:APP")
@run_options
@click.pass_context
def run(context: click.Context, /, **options: Any) -> None:
    """Serve the app that MODULE:APP names.

    Options are also read from the environment (FLUVIAL_PORT, say) and from files, in which they
    have the same names; `fluvial config` shows where each one is from. Where uvicorn, gunicorn,
    hypercorn and granian have other names for the same, these do as well.
    """
    prepared = prepare(**options)

    def again() -> tuple[Load, Config]:
        """Raises: ValueError when a source is wrong now."""
        try:
            with read_again(context) as fresh:
                found = prepare(**fresh.params)
        except click.ClickException as exc:
            raise ValueError(exc.format_message()) from None
        return found.load, found.config

    raise SystemExit(
        start(
            *(prepared.load, prepared.config),
            to_the_end=True,
            watched=prepared.watched,
            again=again,
        )
    )
