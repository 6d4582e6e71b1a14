"""The sockets to listen on, bound and told apart from those that others have."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._config import Config


class BindError(Exception):
    """An address can't be listened on; the message says which and why, in one line."""


def bind(config: Config, *, shared: bool = False) -> list[socket.socket]:
    """Bound sockets for `config`; `shared` lets several processes bind the same port.

    Raises: BindError.
    """
    if config.uds is not None:
        return [bind_unix(config.uds)]
    return bind_tcp(config.host, config.port, shared=shared)


def bind_tcp(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """One socket for each address of `host`, all on one port; port 0 takes any that is free.

    Raises: BindError.
    """
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for family, address in _addresses(host, port):
            sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            _bind_one(sock, (address[0], port, *address[2:]), shared)
            port = port or sock.getsockname()[1]
            sockets.append(sock)
        stack.pop_all()
    return sockets


def _addresses(host: str, port: int) -> list[tuple[int, tuple[object, ...]]]:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise BindError(f"can't listen on {host}:{port}: {reason}") from exc
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _bind_one(sock: socket.socket, address: tuple[object, ...], shared: bool) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind(address)
    except OSError as exc:
        raise BindError(f"can't listen on {address[0]}:{address[1]}: {_reason(exc)}") from exc


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
    host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
    return f"{scheme}://{host}:{name[1]}"
