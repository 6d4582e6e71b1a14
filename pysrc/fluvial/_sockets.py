"""The sockets to listen on, bound and told apart from those that others have."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._config import Config


log = logging.getLogger("fluvial")

Address = tuple[int, tuple[Any, ...]]  # the family and what bind() takes

# How often a free port for several addresses is looked for.
_ATTEMPTS = 10

# Errors of socket() and bind() that say: this machine has no such address, or no such protocol.
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


class BindError(Exception):
    """An address can't be listened on; the message says which and why, in one line."""


class NotHereError(BindError):
    """This machine has no such address."""


def bind(config: Config, *, shared: bool = False) -> list[socket.socket]:
    """Bound sockets for `config`; `shared` lets several processes bind the same port.

    Raises: BindError.
    """
    if config.uds is not None:
        return [bind_unix(config.uds)]
    return bind_tcp(config.host, config.port, shared=shared)


def bind_tcp(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """One socket for each address of `host`, all on one port; port 0 takes any that is free.

    An empty host or "*" stands for all interfaces. An address of a name with several is left out
    where this machine does not have it, as ::1 of localhost where there is no IPv6.

    Raises: BindError, also when no address is left.
    """
    host = "" if host == "*" else host.removeprefix("[").removesuffix("]")
    addresses = _addresses(host, port)
    for _ in range(_ATTEMPTS - 1 if port == 0 and len(addresses) > 1 else 0):
        # The port that the kernel chose for one address may be taken on another.
        with contextlib.suppress(BindError):
            return _bind_all(addresses, port, shared)
    return _bind_all(addresses, port, shared)


def _bind_all(addresses: list[Address], port: int, shared: bool) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: BindError | None = None
    with contextlib.ExitStack() as stack:
        for family, address in addresses:
            try:
                sock = _bind_one(family, (address[0], port, *address[2:]), shared)
            except NotHereError as exc:
                log.debug("%s", exc)
                missing = missing or exc
                continue
            stack.push(sock)
            port = port or sock.getsockname()[1]
            sockets.append(sock)
        if not sockets and missing is not None:
            raise missing
        stack.pop_all()
    return sockets


def _addresses(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        name, _, end = host.partition(":")
        hint = f"; did you mean --host {name} --port {end}?" if end.isdigit() else ""
        raise BindError(f"can't listen on {host}:{port}: {reason}{hint}") from exc
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _bind_one(family: int, address: tuple[Any, ...], shared: bool) -> socket.socket:
    """Raises: BindError; NotHereError when this machine has no such address."""
    sock = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except OSError as exc:
        if sock is not None:
            sock.close()
        kind = NotHereError if exc.errno in _NOT_HERE else BindError
        host = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
        raise kind(f"can't listen on {host}:{address[1]}: {_reason(exc)}") from exc
    return sock


def bind_unix(path: str) -> socket.socket:
    """A Unix socket at `path`, in place of one that nobody listens on any more.

    Raises: BindError.
    """
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(path)
        os.chmod(path, 0o666)
    except OSError as exc:
        sock.close()
        raise BindError(f"can't listen on {path}: {_reason(exc)}") from exc
    return sock


def _remove_stale(path: str) -> None:
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise BindError(f"can't listen on {path}: something that is not a socket is there")
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            return
        else:
            raise BindError(f"can't listen on {path}: another server does")


def _reason(exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return "the port is in use already"
    if exc.errno in (errno.EACCES, errno.EPERM):
        return "permission denied"
    return exc.strerror or str(exc)


def describe(sock: socket.socket, scheme: str = "http") -> str:
    """The socket's address as a URL."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    is_ipv6 = sock.family == socket.AF_INET6
    url = f"{scheme}://{f'[{name[0]}]' if is_ipv6 else name[0]}:{name[1]}"
    if name[0] in ("0.0.0.0", "::"):
        url += f" (all {'IPv6' if is_ipv6 else 'IPv4'} interfaces)"
    return url
