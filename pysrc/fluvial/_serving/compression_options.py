"""Options of `fluvial run` about compressed responses and requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from .compression import MINIMUM_SIZE, TYPES
from .proxies import split

Command = Callable[..., Any]


def _split(context: click.Context, param: click.Parameter, value: Any) -> tuple[str, ...]:
    return split(value)


_OPTIONS = (
    click.option(
        "--compress",
        metavar="LIST",
        multiple=True,
        callback=_split,
        help="Compress responses for clients that accept it: zstd, br and gzip, the best one first,"
        " each with :LEVEL or without; or all. Default: none.",
    ),
    click.option(
        "--compress-min-size",
        type=click.IntRange(0, 2**31 - 1),
        metavar="BYTES",
        default=MINIMUM_SIZE,
        show_default=True,
        help="Smallest body that is compressed.",
    ),
    click.option(
        "--compress-types",
        metavar="LIST",
        multiple=True,
        default=TYPES,
        callback=_split,
        help="Content types that are compressed, such as text/html, text/* or *+json. Default: "
        "texts, JSON, XML and the like, and fonts and images that aren't compressed already.",
    ),
    click.option(
        "--decompress",
        metavar="LIST",
        multiple=True,
        callback=_split,
        help="Decode bodies of requests: zstd, br and gzip; or all. Others get 415. Default: bodies"
        " are left as they are.",
    ),
)


def compression_options(command: Command) -> Command:
    """Adds the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
