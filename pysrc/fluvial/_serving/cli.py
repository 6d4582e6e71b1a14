"""The `fluvial` command."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

from .. import __version__, _core
from .._core import CODINGS
from .early import leave_signals
from .run import start
from .run_options import prepare, run_options
from .settings import ConfiguredCommand, read_again

if TYPE_CHECKING:
    from .config import Config
    from .load import Load

# The modules of all commands but `run`, which imports none of them: a server starts sooner.
_OTHERS = {
    "check": "configured",
    "client": "client",
    "config": "configured",
    "dev": "dev",
    "openapi": "show",
    "routes": "show",
}


def libraries() -> str:
    """What this build has that others may lack."""
    version = _core.nghttp2_version
    return f"with nghttp2 {version}" if version else "without nghttp2"


class Commands(click.Group):
    """A command is imported when it is called or described."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted((*_OTHERS, *super().list_commands(ctx)))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _OTHERS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f".{_OTHERS[cmd_name]}", __package__)
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    __version__,
    prog_name="fluvial",
    message=f"%(prog)s, version %(version)s\nContent codings: {', '.join(CODINGS)}\n{libraries()}",
)
@click.pass_context
def main(context: click.Context) -> None:
    """Fluvial: a web framework and server."""
    if context.invoked_subcommand not in ("run", "dev"):
        leave_signals()


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
