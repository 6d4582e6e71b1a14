"""What `metrics` may be: a path of the server, or the address of a port of its own."""

from __future__ import annotations

from .addresses import parse_address


def check_metrics(text: str) -> None:
    """Raises: ValueError when `text` is neither "", a path nor an address."""
    if not text.startswith("/"):
        if text:
            host_and_port(text)
    elif "?" in text or "#" in text or "%" in text or not text.isascii() or " " in text:
        raise ValueError(f"metrics must be a plain path such as /metrics, not {text!r}")


def host_and_port(text: str) -> tuple[str, int]:
    """Host and port of a port of its own. Raises: ValueError when `text` has none."""
    try:
        address = parse_address(text)
    except ValueError:
        address = None
    if address is None or address.path is not None or address.fd is not None:
        raise ValueError(f"metrics must be a path such as /metrics or HOST:PORT, not {text!r}")
    return address.host, address.port
