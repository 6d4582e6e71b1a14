"""Binding the sockets to listen on."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .addresses import Address, parse_address
from .identity import IdentityError, owner_of_sockets

if TYPE_CHECKING:
    from .config import Config


log = logging.getLogger("fluvial")

SockAddr = tuple[int, tuple[Any, ...]]  # the family and what bind() takes

# How many times a port that is free on several addresses is searched for.
_ATTEMPTS = 10

_LOCK_PATIENCE = 5.0  # seconds for which another server may hold the lock of a Unix socket's folder

# Errors of socket() and bind() that mean: this machine lacks the address, or the protocol.
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


class BindError(Exception):
    """An address can't be listened on; the message names it and the reason, in one line."""


class NotHereError(BindError):
    """This machine has no such address."""


def bind(config: Config, passed: Sequence[int] = ()) -> list[socket.socket]:
    """Bound sockets for `config`.

    The sockets that the service manager has `passed` take the place of host, port and uds;
    `config.bind` adds to them.
    Raises: BindError when an address can't be bound, or a descriptor isn't a socket to listen on.
    """
    sockets: list[socket.socket] = []
    try:
        for address in addresses_of(config, passed):
            sockets += bind_address(address, config)
    except BaseException:
        with closing(sockets):
            raise
    return sockets


def addresses_of(config: Config, passed: Sequence[int] = ()) -> list[Address]:
    """The addresses of `config`, and those of the sockets that were passed."""
    addresses = [Address(fd=fd) for fd in passed]
    for address in map(parse_address, config.bind):
        if address.fd is None or address not in addresses:
            addresses.append(address)
    if not addresses and config.uds is not None:
        addresses = [Address(path=config.uds)]
    return addresses or [Address(config.host, config.port)]


def bind_address(address: Address, config: Config) -> list[socket.socket]:
    """The sockets of one address. Raises: BindError when it can't be listened on."""
    if address.fd is not None:
        return [_adopt(address.fd)]
    if address.path is not None:
        try:
            owner = owner_of_sockets(config)
        except IdentityError as exc:
            raise BindError(f"can't listen on {address.path}: {exc}") from exc
        return [bind_unix(address.path, config.uds_mode, owner)]
    return bind_tcp(address.host, address.port, reuse=config.reuse_port)


def _adopt(fd: int) -> socket.socket:
    """The socket that somebody else has bound. Raises: BindError unless it can be listened on."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError as exc:
        reason = "it isn't open" if exc.errno == errno.EBADF else "it is not a socket"
        raise BindError(f"can't listen on fd://{fd}: {reason}") from exc
    families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    problem = ""
    if sock.family not in families or sock.type != socket.SOCK_STREAM:
        problem = "it is not a stream socket of TCP or Unix"
    elif not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and _is_connected(sock):
        problem = "it is a connection, not a socket to listen on (systemd: Accept=no)"
    if problem:
        sock.detach()
        raise BindError(f"can't listen on fd://{fd}: {problem}")
    sock.setblocking(False)
    sock.set_inheritable(False)
    return sock


def take_over(fd: int) -> socket.socket:
    """A listening socket of another process of ours; a Unix socket's file is that process's."""
    sock = _adopt(fd)
    name = sock.getsockname() if sock.family == socket.AF_UNIX else ""
    if not name or not isinstance(name, str):
        return sock
    unix = UnixSocket(name, sock.detach())
    unix.watch_file()
    return unix


def is_at(sock: socket.socket, family: int, address: tuple[Any, ...]) -> bool:
    """Whether a socket has this address of TCP, or any port of it where the port is 0."""
    if sock.family != family:
        return False
    host, port, *_ = sock.getsockname()
    return host == address[0] and address[1] in (0, port)


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


def bind_tcp(host: str, port: int, *, reuse: bool = False) -> list[socket.socket]:
    """One socket for each address of `host`, all on the same port; port 0 chooses a free one.

    An empty host or "*" stands for all interfaces. If a name has several addresses, those that this
    machine lacks are left out, such as ::1 for localhost on a machine without IPv6. With `reuse`
    other sockets may have the port, if they allow that, too.

    Raises: BindError when an address can't be bound, or when this machine has none of them.
    """
    addresses = resolve(host, port)
    for _ in range(_ATTEMPTS - 1 if port == 0 and len(addresses) > 1 else 0):
        # The port that the kernel chose for one address may be taken on another.
        with contextlib.suppress(BindError):
            return _bind_all(addresses, port, reuse)
    return _bind_all(addresses, port, reuse)


def _bind_all(addresses: list[SockAddr], port: int, reuse: bool) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: BindError | None = None
    with contextlib.ExitStack() as stack:
        for family, address in addresses:
            try:
                sock = _bind_one(family, (address[0], port, *address[2:]), reuse)
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


def resolve(host: str, port: int) -> list[SockAddr]:
    """The addresses of `host`. Raises: BindError when it has none."""
    host = "" if host == "*" else host.removeprefix("[").removesuffix("]")
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


def _bind_one(family: int, address: tuple[Any, ...], reuse: bool) -> socket.socket:
    """Raises: NotHereError when this machine has no such address, BindError for other failures."""
    sock = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except OSError as exc:
        if sock is not None:
            sock.close()
        kind = NotHereError if exc.errno in _NOT_HERE else BindError
        host = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
        raise kind(f"can't listen on {host}:{address[1]}: {_reason(exc)}") from exc
    return sock


@contextlib.contextmanager
def closing(sockets: list[socket.socket]) -> Iterator[list[socket.socket]]:
    """Closes the sockets on exit, and removes the files that bind_unix() has made."""
    try:
        yield sockets
    finally:
        for sock in sockets:
            sock.close()
            if isinstance(sock, UnixSocket):
                sock.remove_file()


class UnixSocket(socket.socket):
    """A Unix socket at `path`. Its file is removed only by the process that has bound it.

    By then there may be another server's file at the path, which must not be removed. The file's
    inode number tells them apart. A descriptor keeps the inode, so that its number isn't reused.
    """

    def __init__(self, path: str, fd: int | None = None) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM, fileno=fd)
        self.path = os.path.abspath(path)
        self._pid = 0
        self._file = -1

    def bind(  # type: ignore[override]
        self, path: str, mode: int | None = None, owner: tuple[int, int] = (-1, -1)
    ) -> None:
        """Creates the file, with `mode` or else the umask's, for `owner`: user and group, -1 for
        the process's own. Raises: OSError when it can't."""
        super().bind(path)
        self._pid = os.getpid()
        self._file = os.open(path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW)
        if owner != (-1, -1):
            os.chown(path, *owner, follow_symlinks=False)
        if mode is not None:
            os.chmod(path, mode)  # nobody can connect before listen()

    def watch_file(self) -> None:
        """Keeps the file in view, which belongs to another process as yet."""
        with contextlib.suppress(OSError):
            self._file = os.open(self.path, getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW)

    def own_file(self) -> None:
        """Makes the file one that this process removes."""
        self._pid = os.getpid()

    def leave_file(self) -> None:
        """Leaves the file to another process, which has the socket, too."""
        self._pid = 0

    def remove_file(self) -> None:
        """Removes the file if it is still this socket's and made by this process. Never fails."""
        if self._file < 0:
            return
        if self._pid == os.getpid():
            try:
                if os.path.samestat(os.fstat(self._file), os.lstat(self.path)):
                    os.unlink(self.path)
            except FileNotFoundError:
                pass
            except OSError as exc:
                log.warning("%s could not be removed: %s", self.path, exc.strerror)
        os.close(self._file)
        self._file = -1


def bind_unix(path: str, mode: int | None = None, owner: tuple[int, int] = (-1, -1)) -> UnixSocket:
    """A Unix socket at `path`; a file there is replaced if no process listens on it any more.

    Raises: BindError when the socket can't be created, when a process listens on it, or when the
    file at `path` isn't a socket.
    """
    sock = UnixSocket(path)
    try:
        sock.setblocking(False)
        with _one_at_a_time(path):
            _remove_stale(path)
            sock.bind(path, mode, owner)
    except OSError as exc:
        reason = "it is there already" if exc.errno == errno.EADDRINUSE else _reason(exc)
        _discard(sock)
        raise BindError(f"can't listen on {path}: {reason}") from exc
    except BindError:
        _discard(sock)
        raise
    return sock


def _discard(sock: UnixSocket) -> None:
    sock.close()
    sock.remove_file()


@contextlib.contextmanager
def _one_at_a_time(path: str) -> Iterator[None]:
    """Servers that start at once look at `path`, and replace a file there, one after the other.

    Otherwise one could remove the file that another has just made. The lock is the folder's; where
    the system has no such locks, it goes without.

    Raises: BindError when the lock isn't released.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
            stack.callback(os.close, folder)
            if not _lock(folder):
                raise BindError(f"can't listen on {path}: its folder is locked by another process")
        yield


def _lock(file: int) -> bool:
    """Whether the lock was had within _LOCK_PATIENCE. Raises: OSError where there are no locks."""
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def _remove_stale(path: str) -> None:
    """Removes a socket's file that no process has any more. Raises: BindError for other files."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise BindError(f"can't listen on {path}: there is a file that is not a socket")
    except OSError:
        return
    if _connects(path, socket.SOCK_STREAM) in (0, errno.EAGAIN):  # or its queue is full
        raise BindError(f"can't listen on {path}: another server listens there")
    # A server listens only when its app has started. Until then the kernel refuses connections to
    # its socket, too, but says EPROTOTYPE to sockets of another kind, and not to a file left over.
    error = _connects(path, socket.SOCK_DGRAM)
    if error == errno.EPROTOTYPE:
        raise BindError(f"can't listen on {path}: another server is starting there")
    if error == errno.ECONNREFUSED:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _connects(path: str, kind: int) -> int:
    """The error number of connecting a socket of this kind; 0: it can be connected."""
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path)


def _reason(exc: OSError) -> str:
    if exc.errno == errno.EADDRINUSE:
        return "the port is in use already"
    if exc.errno in (errno.EACCES, errno.EPERM):
        return "permission denied"
    return exc.strerror or str(exc)


def describe(sock: socket.socket, scheme: str = "http") -> str:
    """The socket's address as a URL."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:  # bytes: an abstract name, which systemd writes like this
        return f"unix:{name}" if isinstance(name, str) else f"unix:@{os.fsdecode(name[1:])}"
    is_ipv6 = sock.family == socket.AF_INET6
    url = f"{scheme}://{f'[{name[0]}]' if is_ipv6 else name[0]}:{name[1]}"
    if name[0] in ("0.0.0.0", "::"):
        url += f" (all {'IPv6' if is_ipv6 else 'IPv4'} interfaces)"
    return url
