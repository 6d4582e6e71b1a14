"""Tests whose own part has a deadline at the server, on machines too busy to keep it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 30  # seconds


class TooLate(Exception):
    """The deadline passed before the test had done its part, so it has seen nothing."""


def in_time(attempt: Callable[[int], None], *, first: int = 500) -> None:
    """Calls `attempt` with `first` as the limit, in milliseconds, which is soon over. Where it was
    too late for that, which it must say by raising TooLate: with longer ones."""
    for limit in (first, first * 8):
        try:
            return attempt(limit)
        except TooLate:
            continue
    attempt(20_000)
    return None


@contextlib.contextmanager
def or_too_late() -> Iterator[None]:
    """A part of the test that the server may already have closed the connection to."""
    try:
        yield
    except (EOFError, ConnectionError):
        raise TooLate from None


def is_quiet(sock: Any) -> bool:
    """Whether nothing has come from the server so far, not even the end."""
    sock.settimeout(0.01)
    try:
        sock.recv(1)
    except TimeoutError:
        return True
    except ConnectionResetError:
        return False
    finally:
        sock.settimeout(PATIENCE)
    return False


def trickle(sock: Any, piece: bytes) -> bytes:
    """Sends `piece` again and again until the server says something: that, or b"" when it has
    closed the connection. With some pieces unread that is a reset."""
    while True:
        sock.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError):  # closed in between: recv() tells
            sock.sendall(piece)
        sock.settimeout(0.01)
        try:
            return bytes(sock.recv(65536))
        except TimeoutError:
            continue
        except ConnectionResetError:
            return b""
