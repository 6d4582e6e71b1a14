"""Which of the sockets of a process before this one stay, when the configuration has changed since
then: those of addresses that it still names. The others are closed, and new ones bound.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from .sockets import (
    UnixSocket,
    addresses_of,
    bind_address,
    closing,
    describe,
    is_at,
    resolve,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from .addresses import Address
    from .config import Config

log = logging.getLogger("fluvial")


def settle(
    config: Config, passed: Sequence[int], inherited: list[socket.socket]
) -> tuple[list[socket.socket], list[socket.socket]]:
    """The sockets to listen on, in the configuration's order, and those that are no longer wanted.

    `passed` are the descriptors of those that a service manager has passed. Raises: BindError when
    a new address can't be bound; then all are closed.
    """
    addresses = addresses_of(config, passed)
    left, bound = list(inherited), list(inherited)
    found: dict[int, list[socket.socket]] = {}
    try:
        for index in sorted(range(len(addresses)), key=lambda n: _is_for_any(addresses[n])):
            found[index] = _take(addresses[index], left)
        for index, address in enumerate(addresses):
            if not found[index]:
                found[index] = bind_address(address, config)
                bound += found[index]
    except BaseException:
        with closing(bound):
            raise
    for sock in left:
        where = describe(sock, config.scheme)
        log.info("No longer listening on %s: the configuration doesn't name it", where)
        sock.close()
    return [sock for index in range(len(addresses)) for sock in found[index]], left


def _is_for_any(address: Address) -> bool:
    """Whether any port will do, which is therefore chosen last."""
    return address.path is None and address.fd is None and address.port == 0


def _take(address: Address, left: list[socket.socket]) -> list[socket.socket]:
    """Removes the sockets of `address` from `left`."""
    taken: list[socket.socket] = []
    if address.fd is not None:
        taken = [sock for sock in left if sock.fileno() == address.fd]
    elif address.path is not None:
        path = os.path.abspath(address.path)
        taken = [sock for sock in left if isinstance(sock, UnixSocket) and sock.path == path]
    else:
        for family, name in resolve(address.host, address.port):
            taken += [sock for sock in left if sock not in taken and is_at(sock, family, name)][:1]
    for sock in taken:
        left.remove(sock)
    return taken
