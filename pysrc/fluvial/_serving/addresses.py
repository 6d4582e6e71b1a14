"""Where to listen: the texts of `--bind`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

_HOST_AND_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*):(\d{1,5})")
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port, or the path of a Unix socket, or an open descriptor."""

    host: str = ""
    port: int = 0
    path: str | None = None
    fd: int | None = None


def parse_address(text: str) -> Address:
    """The address that "HOST:PORT", "[IPV6]:PORT", "unix:PATH" or "fd://N" names.

    Raises: ValueError when it is none of these.
    """
    if text.startswith("unix:") and len(text) > len("unix:"):
        path = text.removeprefix("unix:")
        return Address(path=path.removeprefix("//") if path.startswith("///") else path)
    if text.startswith("fd://") and text.removeprefix("fd://").isdecimal():
        return Address(fd=int(text.removeprefix("fd://")))
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None or int(found[2]) > _LAST_PORT:
        raise ValueError(f"bind takes {_hint(text)}, not {text!r}")
    return Address(host=found[1], port=int(found[2]))


def has_unix_socket(uds: object, bind: object) -> bool:
    """Whether one of these options of `Config`, checked or not, names a Unix socket."""
    texts = bind if isinstance(bind, Collection) else ()
    return uds is not None or any(str(text).startswith("unix:") for text in texts)


def _hint(text: str) -> str:
    if text.count(":") > 1 and "[" not in text:
        return "IPv6 addresses in brackets, such as [::1]:8000"
    if ":" not in text and "/" in text:
        return f"unix:PATH for a Unix socket, such as unix:{text}"
    if text and ":" not in text:
        return f"a port, too, such as {text}:8000"
    return "HOST:PORT, [IPV6]:PORT, unix:PATH or fd://N"
