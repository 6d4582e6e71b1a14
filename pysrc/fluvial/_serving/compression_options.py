"""Options of `fluvial run` about compressed responses and requests."""

from __future__ import annotations

import click

from .compression import MINIMUM_SIZE, TYPES
from .option_lists import adding, split_values

_OPTIONS = (
    click.option(
        "--compress",
        metavar="LIST",
        multiple=True,
        callback=split_values,
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
        callback=split_values,
        help="Content types that are compressed, such as text/html, text/* or *+json. Default: "
        "texts, JSON, XML and the like, and fonts and images that aren't compressed already.",
    ),
    click.option(
        "--decompress",
        metavar="LIST",
        multiple=True,
        callback=split_values,
        help="Decode bodies of requests: zstd, br and gzip; or all. Others get 415. Default: bodies"
        " are left as they are.",
    ),
)

compression_options = adding(_OPTIONS)
