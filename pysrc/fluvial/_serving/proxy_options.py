"""Options of `fluvial run` about proxies in front, and about allowed hosts and origins."""

from __future__ import annotations

import click

from .option_lists import adding, split_values
from .proxies import FIELDS, LOCAL

_OPTIONS = (
    click.option(
        "--root-path",
        default="",
        metavar="PATH",
        help="Path prefix that a proxy removes from each request's path.",
    ),
    click.option(
        "--forwarded-allow-ips",
        metavar="LIST",
        default=",".join(LOCAL),
        show_default=True,
        help="Proxies whose header fields about a request's client are trusted: addresses and "
        "networks; `unix` for Unix sockets, * for everybody. Empty: nobody.",
    ),
    click.option(
        "--forwarded-fields",
        metavar="LIST",
        multiple=True,
        default=tuple(FIELDS),
        callback=split_values,
        help=f"The header fields that are read from them. Default: {', '.join(FIELDS)}.",
    ),
    click.option(
        "--allowed-hosts",
        metavar="LIST",
        multiple=True,
        callback=split_values,
        help="Hosts that requests may name, such as example.org or *.example.org, which means all "
        "below it; others get 400. Default: all.",
    ),
    click.option(
        "--ws-origin",
        "ws_origins",
        metavar="ORIGIN",
        multiple=True,
        help="Origin whose pages may open WebSockets, such as https://example.org; `same` for the "
        "request's host, * for all; may be repeated. Default: all, but at a local name such as "
        "localhost only pages of local names.",
    ),
)

proxy_options = adding(_OPTIONS)
