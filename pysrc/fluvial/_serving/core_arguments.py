"""What the C server gets of the configuration, whichever app it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .default_fields import make_fields
from .limits import PYTHON_LIMITS
from .proxies import make_proxies
from .secure import speaks_http2

if TYPE_CHECKING:
    from .config import Config


def rules_of(config: Config) -> dict[str, Any]:
    """Limits, allowed hosts and origins, trusted proxies, and fields of responses."""
    return {
        "limits": _limits(config),
        "ws_origins": " ".join(config.ws_origins).lower(),
        "hosts": " ".join(config.allowed_hosts).lower(),
        "proxies": make_proxies(
            config.forwarded_allow_ips, config.forwarded_fields, config.proxy_allow_ips
        ),
        "fields": make_fields(config.header, config.server_header, config.date_header),
    }


def _limits(config: Config) -> dict[str, int]:
    """The limits that C knows."""
    limits = {n: v for n, v in config.limits.items() if n not in PYTHON_LIMITS}
    limits["cancel_on_disconnect"] = int(config.cancel_on_disconnect)
    limits["h2"] = int(speaks_http2(config))
    return limits | {"ws_deflate": int(config.ws_per_message_deflate)}
