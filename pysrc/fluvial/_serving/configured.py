"""`fluvial config` and `fluvial check`: what `fluvial run` would do with the same arguments."""

from __future__ import annotations

import json
import logging
from typing import Any

import click

from . import log
from .config import ADDRESS, OF_CERTIFICATES
from .load import LoadError
from .run_options import prepare, run_options
from .secure import SecureError, make_secure
from .settings import ConfiguredCommand, SettingsError, settings_of
from .sources import key_of

_SECRET = "ssl_keyfile_password"


class _Found(SettingsError):
    """Problems that the command was asked to find."""

    exit_code = 1


class _Check(ConfiguredCommand):
    error = _Found


@click.command(cls=ConfiguredCommand)
@click.argument("target", metavar="[MODULE:APP]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Write a JSON object instead.")
@run_options
@click.pass_context
def config(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """Show the options of `fluvial run`, and where each has its value from.

    What is written is a fluvial.toml with the same meaning. Nothing is started.
    """
    found = settings_of(context).found
    unused = ADDRESS if options["bind"] or options["uds"] is not None else ()
    entries = {}
    for param in context.command.params:
        name = param.name
        if name in options and name != "config_file":
            origin = found[name].origin if name in found else "default"
            value = None if name in unused else _plain(param, options[name])
            entries[key_of(param)] = (value, origin)
    if as_json:
        table = {
            key: {"value": value, "origin": origin} for key, (value, origin) in entries.items()
        }
        click.echo(json.dumps(table, indent=2))
        return
    for key, (value, origin) in entries.items():
        click.echo(_line(key, value, origin))


def _plain(param: click.Parameter, value: Any) -> Any:
    """A value as fluvial.toml would have it; None when there is none."""
    if param.name == _SECRET and value is not None:
        return "***"
    if param.type.name == "mode" and value is not None:
        return f"{value:03o}"
    if param.name in OF_CERTIFICATES and len(value) < 2:
        return value[0] if value else None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def _line(key: str, value: Any, origin: str) -> str:
    """TOML's values are written as JSON's, but for None, which it doesn't have."""
    if value is None:
        return f"# {key}: {origin}, none"
    text = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    return f"# {text}  # {origin}" if value == "***" else f"{text}  # {origin}"


@click.command(cls=_Check)
@click.argument("target", metavar="MODULE:APP")
@run_options
def check(target: str, **options: Any) -> None:
    """Read the options of `fluvial run`, and import the app, but serve nothing.

    The exit status is 1, with a line for each problem, when `fluvial run` would fail.
    """
    log.configure(options["log_level"])
    if options["log_level"] != "debug":
        logging.getLogger("fluvial").setLevel(logging.CRITICAL)  # the lines below say it all
    prepared = prepare(target=target, **options)
    problems = []
    for step in (lambda: make_secure(prepared.config), prepared.load):
        try:
            step()
        except (SecureError, LoadError) as exc:
            problems.append(str(exc))
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
    if problems:
        raise SystemExit(1)
    click.echo(f"{target} can be served")
