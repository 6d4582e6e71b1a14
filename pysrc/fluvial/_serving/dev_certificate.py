"""The certificate of --tls-dev: for local names, signed by itself, never on a disk."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import logging
import re
from typing import TYPE_CHECKING

from .. import _core

if TYPE_CHECKING:
    from .config import Config

DEV = "the certificate of --tls-dev"
_NAMES = ("DNS:localhost", "IP:127.0.0.1", "IP:::1")
_DAYS = 30
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
log = logging.getLogger("fluvial")


def make_dev_certificate(config: Config) -> bytes:
    """The certificate and its key in PEM form. A line in the log says what clients see."""
    names = [*_NAMES, *_name_of(config.host)]
    pem = _core.make_certificate(",".join(names), _DAYS)
    text = pem.decode().partition("-----END CERTIFICATE-----")[0].partition("-----\n")[2]
    digest = hashlib.sha256(base64.b64decode(text)).hexdigest().upper()
    log.warning(
        "--tls-dev: self-signed certificate for %s, valid for %d days; clients will not trust it; "
        "SHA-256 fingerprint %s",
        ", ".join(name.partition(":")[2] for name in names),
        _DAYS,
        ":".join(digest[at : at + 2] for at in range(0, len(digest), 2)),
    )
    return pem


def _name_of(host: str) -> list[str]:
    """The name of the address that is listened on, if it isn't there already, or all addresses."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        is_new = _HOST.fullmatch(host) is not None and host != "localhost"
        return [f"DNS:{host}"] if is_new else []
    name = f"IP:{address}"
    return [] if address.is_unspecified or name in _NAMES else [name]
