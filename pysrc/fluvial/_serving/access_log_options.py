"""The options of `fluvial run` that are about logs."""

from __future__ import annotations

import click

from .access_format import PLAIN
from .option_lists import adding

_OPTIONS = (
    click.option(
        "--log-config",
        metavar="FILE",
        help="A dict for logging.config.dictConfig(), as JSON or TOML. Default: to stderr.",
    ),
    click.option(
        "--access-log/--no-access-log",
        default=True,
        show_default=True,
        help="Write a line for each request, unless --log-level is above info.",
    ),
    click.option(
        "--access-log-file",
        metavar="FILE",
        default="-",
        show_default=True,
        help="The file to which they are appended, opened anew on SIGUSR1; - is stdout; logging is "
        "the logger fluvial.access; syslog, or syslog:/dev/log or syslog:HOST:PORT.",
    ),
    click.option(
        "--access-logformat",
        metavar="FORMAT",
        default=PLAIN,
        show_default=True,
        help="The lines' layout: plain, combined, json, or a format with atoms such as "
        "'%(h)s %(s)s %(L)s %({referer}i)s', which are gunicorn's.",
    ),
    click.option(
        "--request-id-header",
        metavar="NAME",
        default="",
        help="Give each request an id, as request.state.request_id, in the log and in this header "
        "field of the response; one of --forwarded-allow-ips may send it in the same field. "
        "Default: no ids.",
    ),
)

access_log_options = adding(_OPTIONS)
