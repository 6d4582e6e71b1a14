"""Which proxies in front of the server are believed, and what, in the form that C takes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

# Networks, whether Unix sockets count, fields; and, perhaps, the first two of those that may send a
# header of the PROXY protocol: ext/http/trust.h
Proxies = tuple[bytes, bool, int] | tuple[bytes, bool, int, bytes, bool]

LOCAL = ("127.0.0.1", "::1", "unix")
# The fields, with their bits in C.
FIELDS = {
    "x-forwarded-for": 1,
    "x-forwarded-proto": 2,
    "x-forwarded-host": 4,
    "x-forwarded-port": 8,
    "x-forwarded-prefix": 16,
    "forwarded": 32,
}
_V4_MAPPED = bytes(10) + b"\xff\xff"
_V4_BITS = 96
_EVERYBODY = bytes(17)


def split(texts: str | Iterable[str]) -> tuple[str, ...]:
    """The items of comma-separated lists."""
    texts = (texts,) if isinstance(texts, str) else texts
    return tuple(item for text in texts for item in map(str.strip, text.split(",")) if item)


def make_proxies(
    allowed: str | Iterable[str], fields: Iterable[str], greeters: str | Iterable[str] | None = None
) -> Proxies:
    """What C takes for the addresses, networks, "unix" or "*" in `allowed`, and in `greeters`.

    Raises: ValueError for what is none of these, and for unknown fields.
    """
    nets, unix = _networks("forwarded_allow_ips", allowed)
    bits = 0
    for name in split(fields):
        if name.lower() not in FIELDS:
            expected = ", ".join(FIELDS)
            raise ValueError(f"forwarded_fields must be of {expected}, not {name!r}")
        bits |= FIELDS[name.lower()]
    if greeters is None:
        return nets, unix, bits
    return nets, unix, bits, *_networks("proxy_allow_ips", greeters)


def _networks(name: str, allowed: str | Iterable[str]) -> tuple[bytes, bool]:
    nets = b""
    unix = False
    for text in split(allowed):
        if text in ("*", "unix"):
            unix = True
            nets += _EVERYBODY if text == "*" else b""
        else:
            nets += _pack(name, text)
    return nets, unix


def _pack(name: str, text: str) -> bytes:
    try:
        net = ipaddress.ip_network(text)
    except ValueError as exc:
        hint = ""
        if "host bits set" in str(exc):
            hint = f"; did you mean {ipaddress.ip_network(text, strict=False)}?"
        raise ValueError(
            f"{name} takes addresses, networks, unix or *, not {text!r}{hint}"
        ) from None
    packed = net.network_address.packed
    if net.version == 4:
        return _V4_MAPPED + packed + bytes([_V4_BITS + net.prefixlen])
    return packed + bytes([net.prefixlen])


def check_hosts(hosts: Iterable[str]) -> None:
    """Raises: ValueError unless all are names, "*.NAME" or "*"."""
    for host in hosts:
        name = host.removeprefix("*.") if host != "*" else "any"
        is_v6 = name.startswith("[") and name.endswith("]")
        if not name or set(name) & set(" */@?#") or (":" in name and not is_v6):
            raise ValueError(
                f"Config: allowed_hosts takes names without a port, such as example.org, "
                f"*.example.org, [::1] or *, not {host!r}"
            )
