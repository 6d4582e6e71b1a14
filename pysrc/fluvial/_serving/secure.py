"""The server's own TLS: makes the SecureContext for its connections from the configuration."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from .. import _core

if TYPE_CHECKING:
    from .config import Config

# The values of --ssl-cert-reqs: names, or the numbers of Python's ssl module.
CERT_REQS = {"none": 0, "optional": 1, "required": 2}


# The values of --ssl-minimum-version.
MINIMUM_VERSIONS = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}


class SecureError(Exception):
    """TLS can't be set up; the message names the file or option and the reason, in one line."""


def make_secure(config: Config) -> _core.SecureContext | None:
    """Reads the certificate and the key; returns None if `config` names no certificate.

    Raises: SecureError when they can't be used, or when an option needs another that isn't set.
    """
    if config.ssl_certfile is None:
        _refuse_leftovers(config)
        return None
    verify = read_cert_reqs(config.ssl_cert_reqs)
    if config.ssl_crl is not None and not verify:
        raise SecureError("can't use TLS: --ssl-crl needs --ssl-cert-reqs optional or required")
    if verify and config.ssl_ca_certs is None:
        raise SecureError(
            "can't use TLS: --ssl-cert-reqs needs --ssl-ca-certs, the authorities to trust"
        )
    try:
        return _core.SecureContext(
            config.ssl_certfile,
            config.ssl_certfile if config.ssl_keyfile is None else config.ssl_keyfile,
            password=config.ssl_keyfile_password,
            ca_certs=config.ssl_ca_certs,
            verify=verify,
            ciphers=config.ssl_ciphers,
            crl=config.ssl_crl,
            minimum_version=MINIMUM_VERSIONS[config.ssl_minimum_version],
        )
    except ValueError as exc:
        raise SecureError(f"can't use TLS: {exc}") from exc


def read_cert_reqs(value: str | int) -> int:
    """A name, a number or an ssl.VerifyMode as a number. Raises: SecureError for anything else."""
    number = CERT_REQS.get(str(value).lower(), value)
    try:
        return int(ssl.VerifyMode(int(number)))
    except ValueError:
        names = ", ".join(f"{name} ({number})" for name, number in CERT_REQS.items())
        raise SecureError(f"can't use TLS: --ssl-cert-reqs is {value!r}, not {names}") from None


def _refuse_leftovers(config: Config) -> None:
    """Raises: SecureError when an option for TLS is set, but no certificate."""
    for name in ("ssl_keyfile", "ssl_keyfile_password", "ssl_ca_certs", "ssl_crl", "ssl_ciphers"):
        if getattr(config, name) is not None:
            flag = name.replace("_", "-")
            raise SecureError(f"can't use TLS: --{flag} needs --ssl-certfile")
    if read_cert_reqs(config.ssl_cert_reqs):
        raise SecureError("can't use TLS: --ssl-cert-reqs needs --ssl-certfile")
