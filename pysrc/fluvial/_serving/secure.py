"""The server's own TLS: makes the SecureContext for its connections from the configuration."""

from __future__ import annotations

import itertools
import os
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import _core
from .dev_certificate import DEV, make_dev_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .config import Config

Stamps = dict[str, tuple[int, ...] | None]

_OF_TLS = (
    *("ssl_keyfile", "ssl_keyfile_password", "ssl_ca_certs", "ssl_crl", "ssl_ciphers"),
    "ssl_ocsp_file",
)

# The values of --ssl-cert-reqs: names, or the numbers of Python's ssl module.
CERT_REQS = {"none": 0, "optional": 1, "required": 2}


# The values of --ssl-minimum-version.
MINIMUM_VERSIONS = {"tlsv1.2": ssl.TLSVersion.TLSv1_2, "tlsv1.3": ssl.TLSVersion.TLSv1_3}


class SecureError(Exception):
    """TLS can't be set up; the message names the file or option and the reason, in one line."""


@dataclass(frozen=True)
class Files:
    """What is in the files that a configuration names, and what they were when they were read."""

    contents: dict[str, bytes]
    stamps: Stamps

    def file(self, name: str) -> tuple[str, bytes]:
        """A file's name and contents. Raises: SecureError when it was not read."""
        if name not in self.contents:
            raise SecureError(f"can't use TLS: {name} was not read")
        return name, self.contents[name]

    def any(self, name: str | None) -> tuple[str, bytes] | None:
        """The same where there may be no file."""
        return None if name is None else self.file(name)


def make_secure(
    config: Config,
    files: Files | None = None,
    tickets: _core.SessionTickets | None = None,
) -> _core.SecureContext | None:
    """Makes the SecureContext of `files`, by default of those that are there now; returns None if
    `config` names no certificate. `tickets` are the keys for sessions that clients take up again.

    Raises: SecureError when they can't be used, or when an option needs another that isn't set.
    """
    if config.tls_dev:
        _refuse_mixture(config)
    elif config.ssl_certfile is None:
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
    files = read_files(config) if files is None else files
    try:
        return _core.SecureContext(
            tuple(tuple(map(files.any, names)) for names in _pairs(config)),
            password=config.ssl_keyfile_password,
            ca_certs=files.any(config.ssl_ca_certs),
            verify=verify,
            ciphers=config.ssl_ciphers,
            crl=files.any(config.ssl_crl),
            minimum_version=minimum,
            tickets=tickets,
            http2=speaks_http2(config),
        )
    except ValueError as exc:
        raise SecureError(f"can't use TLS: {exc}") from exc


def speaks_http2(config: Config) -> bool:
    """Whether HTTP/2 is spoken with clients that ask for it; never without nghttp2."""
    return config.http in ("auto", "2") and bool(_core.nghttp2_version)


def _pairs(config: Config) -> Iterator[tuple[str, str, str | None]]:
    """The names of each certificate's file, of its key's and of its OCSP response's.

    Raises: SecureError when a file can't be read or used.
    """
    if config.tls_dev:
        yield DEV, DEV, None
        return
    certs, keys = _listed(config.ssl_certfile), _listed(config.ssl_keyfile)
    staples = [None if each == "-" else each for each in _listed(config.ssl_ocsp_file)]
    if staples and len(staples) != len(certs):
        raise SecureError(
            f"can't use TLS: there are {len(certs)} of --ssl-certfile and {len(staples)} of "
            "--ssl-ocsp-file: name a response for each, in the same order, or - for none"
        )
    if keys and len(keys) != len(certs):
        raise SecureError(
            f"can't use TLS: there are {len(certs)} of --ssl-certfile and {len(keys)} of "
            "--ssl-keyfile: name a key for each, in the same order, or put each key into its "
            "certificate's file"
        )
    yield from zip(certs, keys or certs, staples or [None] * len(certs), strict=True)


def _listed(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return names if isinstance(names, tuple) else () if names is None else (names,)


def read_files(config: Config) -> Files:
    """Reads all files that `config` names.

    Raises: SecureError when a file can't be read or used.
    """
    if config.tls_dev:
        return Files({DEV: make_dev_certificate(config)}, {})
    if config.ssl_certfile is None:
        return Files({}, {})
    pairs = _pairs(config)
    others = [name for name in (config.ssl_ca_certs, config.ssl_crl) if name is not None]
    contents: dict[str, bytes] = {}
    stamps: Stamps = {}
    for name in dict.fromkeys([*itertools.chain(*pairs), *others]):
        if name is None:
            continue
        try:
            with open(name, "rb") as file:
                stamps[name] = _stamp(os.fstat(file.fileno()))
                contents[name] = file.read()
        except OSError as exc:
            raise SecureError(f"can't use TLS: {name}: {exc.strerror}") from exc
    return Files(contents, stamps)


def stamps_of(names: Iterable[str]) -> Stamps:
    """What the files are now: the same as before, as long as nobody has written or replaced them,
    or a link on the way to them. None stands for one that can't be found.
    """
    found: Stamps = {}
    for name in names:
        try:
            found[name] = _stamp(os.stat(name))
        except OSError:
            found[name] = None
    return found


def _stamp(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def read_cert_reqs(value: str | int) -> int:
    """A name, a number or an ssl.VerifyMode as a number. Raises: SecureError for anything else."""
    number = CERT_REQS.get(str(value).lower(), value)
    try:
        return int(ssl.VerifyMode(int(number)))
    except ValueError:
        names = ", ".join(f"{name} ({number})" for name, number in CERT_REQS.items())
        raise SecureError(f"can't use TLS: --ssl-cert-reqs is {value!r}, not {names}") from None


def _refuse_mixture(config: Config) -> None:
    """Raises: SecureError when there is a certificate, too."""
    if config.ssl_certfile is not None:
        raise SecureError(
            "can't use TLS: --tls-dev makes a certificate for development, and --ssl-certfile "
            "names one: give one of them"
        )


def _refuse_leftovers(config: Config) -> None:
    """Raises: SecureError when an option for TLS is set, but no certificate."""
    for name in _OF_TLS:
        if getattr(config, name) is not None:
            flag = name.replace("_", "-")
            raise SecureError(f"can't use TLS: --{flag} needs --ssl-certfile")
    if read_cert_reqs(config.ssl_cert_reqs):
        raise SecureError("can't use TLS: --ssl-cert-reqs needs --ssl-certfile")
