"""Certificates that are renewed while the server runs: their files are looked at now and then, and
what is new in them counts for connections that are accepted from then on.

With a parent process it is the parent that looks, since workers may run as a user who can't read
the keys. It passes the files' contents on, so that all workers have the same ones. See ADR 27.
"""

from __future__ import annotations

import contextlib
import logging
import marshal
import signal
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from .. import _core
from .._loop.main_thread import hears_signals
from .secure import Files, SecureError, Stamps, make_secure, read_files, stamps_of
from .shared_bytes import SharedBytes
from .signals import OURS

if TYPE_CHECKING:
    import asyncio

    from .._loop import Loop
    from .config import Config
    from .server import Service

log = logging.getLogger("fluvial")
_RENEW = getattr(signal, "SIGHUP", None)


class Certificates:
    """The SecureContext of a server's configuration; None without TLS. `sessions` is what another
    process has had as its `sessions`.

    Raises: SecureError when it can't be made.
    """

    def __init__(
        self, config: Config, before: Certificates | None = None, sessions: bytes = b""
    ) -> None:
        self._config = config
        files = _files_of(config, before)
        self._dev = files if config.tls_dev else None
        self._used = self._seen = files.stamps
        self._refused: Stamps | None = None  # of files that couldn't be used
        self._tickets = _tickets(config, before, sessions)
        self.secure = make_secure(config, files, self._tickets)
        self.shared: SharedBytes | None = None if before is None else before.shared

    @property
    def interval(self) -> float:
        """Seconds between two looks; 0 when there is nothing to look at."""
        return self._config.ssl_watch_interval if self._used else 0.0

    @property
    def sessions(self) -> bytes:
        """The keys of session tickets, for a process that takes this one's place."""
        return b"" if self._tickets is None else self._tickets.state()

    # ---- Looking at the files ------------------------------------------------------------------

    def share(self) -> None:
        """From now on, renewed certificates reach the processes that are forked after this call."""
        if self.secure is not None and self.shared is None:
            self.shared = SharedBytes()

    def look(self) -> bool:
        """Whether there are new certificates, which `secure` has then.

        Files that changed since the last look are left for the next one: they may be half of a
        pair. If they can't be used, that is logged once, and the old certificates stay.
        """
        if self._tickets is not None:
            self._tickets.advance()  # in a parent, which uses none itself
        now = stamps_of(self._used)
        settled = now == self._seen
        self._seen = now
        if now in (self._used, self._refused) or not settled:
            return False
        return self._read(settled=False)

    def read_now(self) -> bool:
        """The same without waiting until the files stay as they are."""
        return bool(self._used) and self._read(settled=True)

    def _read(self, *, settled: bool) -> bool:
        now = stamps_of(self._used)
        try:
            files = read_files(self._config)
            if not settled and files.stamps != stamps_of(self._used):
                return False  # something has changed meanwhile: the next look sees it
            secure = make_secure(self._config, files, self._tickets)
        except SecureError as exc:
            self._refused = now
            reason = str(exc).removeprefix("can't use TLS: ")
            log.error("Keeping the old certificates: %s", reason)
            return False
        self._used = self._seen = files.stamps
        self._refused = None
        self.secure = secure
        log.info("Reloaded the certificates; new connections use them")
        if self.shared is not None:
            self.shared.post(marshal.dumps(files.contents))
        return True

    # ---- For workers ---------------------------------------------------------------------------

    def take(self) -> bool:
        """Whether the parent has passed new certificates on, which `secure` has then."""
        data = None if self.shared is None else self.shared.take()
        if data is None:
            return False
        try:
            self.secure = make_secure(self._config, Files(marshal.loads(data), {}), self._tickets)
        except SecureError:  # of a configuration with other files, which takes this worker's place
            return False
        return True


def _files_of(config: Config, before: Certificates | None) -> Files:
    """The files; the certificate for development stays the same when workers are restarted."""
    made = None if before is None or not config.tls_dev else before._dev
    return read_files(config) if made is None else made


def _tickets(
    config: Config, before: Certificates | None, sessions: bytes
) -> _core.SessionTickets | None:
    """The keys of session tickets: those of `before`, so that its sessions can be taken up."""
    lifetime = config.ssl_session_lifetime
    if before is not None and before._config.ssl_session_lifetime == lifetime:
        return before._tickets
    if config.scheme != "https" or not lifetime:
        return None
    with contextlib.suppress(ValueError):  # of another version of Fluvial
        return _core.SessionTickets(lifetime, sessions)
    return _core.SessionTickets(lifetime)


@contextlib.contextmanager
def watching(
    loop: asyncio.AbstractEventLoop, certificates: Certificates, server: _core.Server
) -> Iterator[None]:
    """Looks for new certificates as long as the block runs, for new connections of `server`."""
    if not certificates.interval:
        yield
        return
    look = certificates.look if certificates.shared is None else certificates.take
    timers: list[asyncio.TimerHandle] = []  # the one that runs

    def again() -> None:
        timers[:] = [loop.call_later(certificates.interval, again)]
        if look() and certificates.secure is not None:
            server.renew_secure(certificates.secure)

    timers.append(loop.call_later(certificates.interval, again))
    try:
        yield
    finally:
        timers[0].cancel()


@contextlib.contextmanager
def renewing(loop: Loop, service: Service, *, alone: bool) -> Iterator[None]:
    """Reads the certificates of `service` again on SIGHUP, if there are any and the process has no
    parent, unless the app has a use for the signal.
    """
    is_free = _RENEW is not None and hears_signals() and signal.getsignal(_RENEW) in OURS
    if service.certificates.secure is None or not alone or not is_free:
        yield
        return
    assert _RENEW is not None

    def on_signal(number: int, frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(service.renew_certificates)

    OURS.append(on_signal)
    before = signal.signal(_RENEW, on_signal)
    try:
        yield
    finally:
        if signal.getsignal(_RENEW) is on_signal:
            signal.signal(_RENEW, before)
        OURS.remove(on_signal)
