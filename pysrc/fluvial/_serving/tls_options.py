"""The options of `fluvial run` that are about TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from .secure import CERT_REQS

_OPTIONS = (
    click.option(
        "--ssl-certfile",
        metavar="FILE",
        multiple=True,
        help="Serve https and wss with this certificate, followed by its intermediates, in PEM "
        "form; may be repeated: clients get the one for the server name that they ask for, or the "
        "first. Default: http and ws.",
    ),
    click.option(
        "--ssl-keyfile",
        metavar="FILE",
        multiple=True,
        help="The certificate's private key, in PEM form; as often as --ssl-certfile and in the "
        "same order. Default: in the certificate's file.",
    ),
    click.option(
        "--ssl-keyfile-password",
        metavar="PASSWORD",
        help="Password of the private keys. Prefer FLUVIAL_SSL_KEYFILE_PASSWORD in the "
        "environment: on the command line other users can see it. Default: they aren't encrypted.",
    ),
    click.option(
        "--ssl-ca-certs",
        metavar="FILE",
        help="Certificates of the authorities that sign client certificates, in PEM form. "
        "Default: none.",
    ),
    click.option(
        "--ssl-cert-reqs",
        type=click.Choice([*CERT_REQS, *map(str, CERT_REQS.values())], case_sensitive=False),
        default="none",
        show_default=True,
        help="Whether clients must present a certificate (numbers: those of Python's ssl module).",
    ),
    click.option(
        "--ssl-crl",
        metavar="FILE",
        help="Lists of clients' certificates that were revoked, in PEM form. Default: none.",
    ),
    click.option(
        "--ssl-minimum-version",
        type=click.Choice(["TLSv1.2", "TLSv1.3"], case_sensitive=False),
        default="TLSv1.2",
        show_default=True,
        help="Oldest version of TLS that clients may use.",
    ),
    click.option(
        "--ssl-ciphers",
        metavar="LIST",
        help="OpenSSL's list of ciphers for TLS 1.2; default: those with forward secrecy and "
        "authenticated encryption. TLS 1.3 has no others.",
    ),
)


def tls_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds these options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
