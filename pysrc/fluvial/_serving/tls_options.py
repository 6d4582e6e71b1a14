"""The options of `fluvial run` that are about TLS."""

from __future__ import annotations

import click

from .config import LONGEST_GRACE, RANGES
from .option_lists import adding
from .secure import CERT_REQS

tls_dev_option = click.option(
    "--tls-dev",
    is_flag=True,
    help="Serve https and wss with a self-signed certificate for local names, which is made in "
    "memory; for development.",
)
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
        "--ssl-ocsp-file",
        metavar="FILE",
        multiple=True,
        help="OCSP response about the certificate, in DER form, for clients that ask for it; as "
        "often as --ssl-certfile and in the same order, - for none. Default: none.",
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
    click.option(
        "--ssl-session-lifetime",
        type=click.IntRange(*RANGES["ssl_session_lifetime"]),
        default=7200,
        show_default=True,
        metavar="SECONDS",
        help="How long clients may resume a session, by a ticket whose keys change as often; 0 for "
        "never.",
    ),
    click.option(
        "--ssl-watch-interval",
        type=click.FloatRange(0, LONGEST_GRACE),
        default=1.0,
        show_default=True,
        metavar="SECONDS",
        help="How often the files of certificates are checked for changes. Changed ones are used "
        "for new connections; 0 for never.",
    ),
    tls_dev_option,
)

tls_options = adding(_OPTIONS)
