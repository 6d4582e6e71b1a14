"""A worker class for those who keep gunicorn: `gunicorn -k fluvial.GunicornWorker main:app`.

gunicorn starts, watches and replaces the processes; in each of them this serves the app, of any
kind, on gunicorn's sockets. This module needs gunicorn and is imported by nothing of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from .._loop import Loop
from .access_log import AccessLogError
from .certificates import Certificates
from .config import Config
from .draining import end_tasks
from .gunicorn_hooks import Hooks
from .limits import SECONDS
from .load import LoadError, make_app
from .secure import SecureError
from .server import Service, StartError, StartStopped

if TYPE_CHECKING:
    from .._asgi.foreign_app import Foreign
    from ..applications import App

_LONGEST_TICK = 1.0  # seconds between two looks at what the worker should know
_CLEANUP_SHARE = 0.15  # of gunicorn's graceful_timeout, after which it kills
_FEW_THREADS = 1  # gunicorn's default, which asks for nothing
_SHARED = 2  # gunicorn and its other workers have the same sockets


class GunicornWorker(Worker):  # type: ignore[misc]  # gunicorn has no types
    """Serves an app within gunicorn.

    Of gunicorn's settings these count: bind and everything of its sockets, workers, timeout,
    graceful_timeout, keepalive, worker_connections, threads, max_requests, limit_request_line,
    limit_request_fields, forwarded_allow_ips, proxy_protocol, proxy_allow_ips, root_path,
    asgi_lifespan, the TLS files, reload, accesslog, access_log_format, the error log and the hooks
    pre_request and post_request.
    """

    alive: bool
    _service: _Service | None = None

    def run(self) -> None:
        """Serves until gunicorn wants the worker to end. The app is `self.wsgi`, of any kind."""
        _log_as(self.log.error_log)
        try:
            app = make_app(self.wsgi, "the app", factory=False, interface="auto")
            app = Hooks.of(self).around(app)
            config = _config_of(self.cfg)
            certificates = Certificates(config)
        except (LoadError, SecureError, TypeError, ValueError) as exc:
            self.log.error("%s", exc)
            sys.exit(Arbiter.APP_LOAD_ERROR)
        sockets = [socket.socket(fileno=os.dup(sock.fileno())) for sock in self.sockets]
        try:
            with asyncio.Runner(loop_factory=Loop) as runner:
                runner.run(self._serve(app, sockets, config, certificates))
        except AccessLogError as exc:
            self.log.error("%s", exc)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        except StartError:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        except StartStopped:
            pass
        finally:
            for sock in sockets:
                sock.close()

    async def _serve(
        self,
        app: App | Foreign,
        sockets: list[socket.socket],
        config: Config,
        certificates: Certificates,
    ) -> None:
        loop = asyncio.get_running_loop()
        service = self._service = _Service(app, sockets, config, certificates)
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGUSR1, self._reopen)
        for number in (signal.SIGINT, signal.SIGQUIT):
            loop.add_signal_handler(number, self._hurry)
        loop.add_reader(self.PIPE[0], self._woken)
        self._tick(loop)
        try:
            await service.run()
        finally:
            loop.remove_reader(self.PIPE[0])
            await end_tasks(config.cleanup_timeout)

    # ---- On the loop ------------------------------------------------------------------------

    def _reopen(self) -> None:
        """Opens the log's files again, after others have been renamed."""
        self.log.reopen_files()
        if self._service is not None:
            self._service.reopen_logs()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tells gunicorn that the loop runs, and looks whether the worker should end."""
        self.notify()
        self._look()
        loop.call_later(min(_LONGEST_TICK, (self.timeout or _LONGEST_TICK) / 2), self._tick, loop)

    def _look(self) -> None:
        service = self._service
        assert service is not None
        if not self.alive or service.stops:
            if not service.stops:  # the reloader, or a signal before the loop ran
                self._stop()
        elif os.getppid() != self.ppid:
            self.log.info("Parent changed, shutting down: %s", self)
            self._stop()
        elif service.requests >= self.max_requests:
            self.log.info("Autorestarting worker after %d requests", service.requests)
            self.alive = False
            service.retire()

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.PIPE[0], 1024)
        self._look()

    def _stop(self) -> None:
        self.alive = False
        if self._service is not None and not self._service.stops:
            self._service.stop()

    def _hurry(self) -> None:
        """Ends at once, as gunicorn's workers do after SIGINT and SIGQUIT."""
        self._stop()
        self.cfg.worker_int(self)
        assert self._service is not None
        self._service.stop()


class _Service(Service):
    """A service that reports to gunicorn."""

    @property
    def stops(self) -> int:
        """How often it was asked to stop."""
        return self._stops or int(self._retiring)

    @property
    def requests(self) -> int:
        """How many requests it has had."""
        server = getattr(self, "server", None)
        return server.stats()["requests"] if server is not None else 0


def _log_as(error_log: logging.Logger) -> None:
    """Has the server's log go to gunicorn's error log."""
    log = logging.getLogger("fluvial")
    log.handlers = list(error_log.handlers)
    log.setLevel(error_log.level)
    log.propagate = False


def _networks(found: Any) -> tuple[str, ...]:
    """The trusted proxies; clients of a Unix socket are trusted, too."""
    texts = found.split(",") if isinstance(found, str) else found
    return (*filter(None, map(str.strip, texts)), "unix")


def _config_of(cfg: Any) -> Config:
    """gunicorn's settings as ours.

    Raises: TypeError or ValueError when `Config` refuses one of them.
    """
    grace = float(cfg.graceful_timeout)
    tls = {
        "ssl_certfile": cfg.certfile,
        "ssl_keyfile": cfg.keyfile,
        "ssl_ca_certs": cfg.ca_certs,
        "ssl_cert_reqs": int(cfg.cert_reqs),
        "ssl_ciphers": cfg.ciphers,
    }
    return Config(
        workers=max(_SHARED, cfg.workers),
        backlog=cfg.backlog,
        access_log=bool(cfg.accesslog),
        access_log_file=cfg.accesslog or "-",
        access_logformat=cfg.access_log_format,
        threads=cfg.threads if cfg.threads > _FEW_THREADS else Config().threads,
        graceful_timeout=grace * (1 - _CLEANUP_SHARE),
        cleanup_timeout=grace * _CLEANUP_SHARE / 2,
        root_path=getattr(cfg, "root_path", ""),
        lifespan=getattr(cfg, "asgi_lifespan", "auto"),
        proxy_protocol=getattr(cfg, "proxy_protocol", "off") not in ("off", False, None),
        forwarded_allow_ips=_networks(cfg.forwarded_allow_ips),
        proxy_allow_ips=_networks(cfg.proxy_allow_ips),
        limits={
            "connections": cfg.worker_connections,
            "keep_alive": max(1, int(cfg.keepalive * SECONDS)),
            "request_line": cfg.limit_request_line,
            "header_fields": cfg.limit_request_fields,
        },
        **(tls if cfg.is_ssl else {}),
    )
