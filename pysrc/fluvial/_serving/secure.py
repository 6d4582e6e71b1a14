"""The server's own TLS: makes the SecureContext for its connections from the configuration."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from .. import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .config import Config

# The values of --ssl-cert-reqs: names, or the numbers of Python's ssl module.
CERT_REQS = {"none": 0, "optional": 1, "required": 2}


# The values of --ssl-minimum-version.
MINIMUM_VERSIONS = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}


class SecureError(Exception):
    """TLS can't be set up; the message names the file or option and the reason, in one line."""


def make_secure(config: Config) -> _core.SecureContext | None:
    """Reads the certificates and keys; returns None if `config` names no certificate.

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
    minimum = MINIMUM_VERSIONS[config.ssl_minimum_version]
    try:
        return _core.SecureContext(
            tuple((_read(cert), _read(key)) for cert, key in _pairs(config)),
            password=config.ssl_keyfile_password,
            ca_certs=_read_any(config.ssl_ca_certs),
            verify=verify,
            ciphers=config.ssl_ciphers,
            crl=_read_any(config.ssl_crl),
            minimum_version=minimum,
        )
    except ValueError as exc:
        raise SecureError(f"can't use TLS: {exc}") from exc


def _pairs(config: Config) -> Iterator[tuple[str, str]]:
    """The names of each certificate's file and of its key's. Raises: SecureError."""
    certs, keys = _listed(config.ssl_certfile), _listed(config.ssl_keyfile)
    if keys and len(keys) != len(certs):
        raise SecureError(
            f"can't use TLS: there are {len(certs)} of --ssl-certfile and {len(keys)} of "
            "--ssl-keyfile: name a key for each, in the same order, or put each key into its "
            "certificate's file"
        )
    return zip(certs, keys or certs, strict=True)


def _listed(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return names if isinstance(names, tuple) else () if names is None else (names,)


def _read_any(name: str | None) -> tuple[str, bytes] | None:
    return None if name is None else _read(name)


def _read(name: str) -> tuple[str, bytes]:
    """A file's name and contents. Raises: SecureError."""
    try:
        return name, Path(name).read_bytes()
    except OSError as exc:
        raise SecureError(f"can't use TLS: {name}: {exc.strerror}") from exc


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
