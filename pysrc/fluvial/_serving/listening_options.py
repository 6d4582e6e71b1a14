"""Options of `fluvial run` about addresses to listen on, and the user to run as."""

from __future__ import annotations

import re
from typing import Any

import click
from click.core import ParameterSource

from .addresses import has_unix_socket
from .config import ADDRESS, OF_FILES
from .option_lists import adding


class _Mode(click.ParamType[int]):
    """A file's mode, in octal digits."""

    name = "mode"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The mode as an int. Raises: click.UsageError unless it is octal and at most 777."""
        if re.fullmatch("(0o)?[0-7]{1,4}", value) is None or int(value, 8) > 0o777:
            self.fail(f"{value!r} is not a mode in octal digits such as 660", param, ctx)
        return int(value, 8)


bind_option = click.option(
    "--bind",
    metavar="ADDRESS",
    multiple=True,
    help="Where to listen: HOST:PORT, [IPV6]:PORT, unix:PATH, or fd://N for an open socket; may be "
    "repeated. Takes the place of --host and --port.",
)
_OPTIONS = (
    bind_option,
    click.option("--uds", metavar="PATH", help="Listen on a Unix socket instead."),
    click.option(
        "--uds-mode",
        type=_Mode(),
        metavar="MODE",
        help="File mode of Unix sockets, in octal, such as 660. Default: what the umask leaves.",
    ),
    click.option(
        "--uds-owner", metavar="USER", help="Owner of their files. Default: --user, or you."
    ),
    click.option("--uds-group", metavar="GROUP", help="Their files' group. Default: --group."),
    click.option(
        "--reuse-port",
        is_flag=True,
        help="Other servers may listen on the same ports; the kernel distributes connections.",
    ),
    click.option(
        "--proxy-protocol",
        is_flag=True,
        help="Connections begin with a header of the PROXY protocol (version 1 or 2), and only "
        "--proxy-allow-ips may connect.",
    ),
    click.option(
        "--proxy-allow-ips",
        metavar="LIST",
        default=None,
        help="Who may connect with --proxy-protocol: addresses, networks, `unix`, *. Default: "
        "--forwarded-allow-ips.",
    ),
    click.option(
        "--user", metavar="USER", help="Run the app as this user, by name or number (for root)."
    ),
    click.option(
        "--group", metavar="GROUP", help="Run the app as this group. Default: that of --user."
    ),
    click.option(
        "--umask",
        type=_Mode(),
        metavar="MODE",
        help="The process's umask, in octal, such as 027. Default: the caller's.",
    ),
    click.option("--pid", metavar="FILE", help="Keep the process's id in a file."),
)

listening_options = adding(_OPTIONS)


def refuse_two_addresses() -> None:
    """Raises: click.UsageError when --bind, --uds, and --host or --port are combined, or when there
    is no Unix socket for an option about its file."""
    context = click.get_current_context()

    def is_given(name: str) -> bool:
        source = context.get_parameter_source(name)
        return source not in (None, ParameterSource.DEFAULT) and context.params[name] != ()

    for one, others in (("bind", ("uds", *ADDRESS)), ("uds", ADDRESS)):
        for other in others:
            if is_given(one) and is_given(other):
                raise click.UsageError(f"--{one} and --{other} can't be combined: give one of them")
    for name in OF_FILES:
        params = context.params
        if is_given(name) and not has_unix_socket(params["uds"], params["bind"]):
            flag = name.replace("_", "-")
            raise click.UsageError(f"--{flag} is for a Unix socket: give --uds or --bind unix:PATH")
